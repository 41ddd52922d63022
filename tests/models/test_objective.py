"""The terms of equation (8) against SciPy's densities."""

import numpy as np
import pytest
import tensorflow as tf
from scipy import stats
from scipy.special import log_softmax

from filvm.models.objective import (
    base_log_prob,
    categorical_log_likelihood,
    continuous_log_likelihood,
    objective,
    standard_normal_log_prob,
)

rng = np.random.default_rng(0)
Z = rng.normal(size=[7, 3]).astype(np.float32)
MEAN = rng.normal(size=[7, 3]).astype(np.float32)
LOG_VAR = rng.normal(size=[7, 3]).astype(np.float32)


def test_term_1_is_the_unit_gaussian():
    expected = stats.norm.logpdf(Z).sum(axis=1)
    np.testing.assert_allclose(standard_normal_log_prob(Z), expected, rtol=1e-5)


def test_term_3_of_a_label_is_its_log_probability():
    logits = rng.normal(size=[7, 4]).astype(np.float32)
    labels = rng.integers(0, 4, 7)
    expected = log_softmax(logits, axis=1)[np.arange(7), labels]
    one_hot = np.eye(4, dtype=np.float32)[labels]
    np.testing.assert_allclose(categorical_log_likelihood(one_hot, logits), expected, rtol=1e-5)


def test_term_3_of_an_unknown_label_is_the_mean_over_the_labels_it_may_have():
    logits = rng.normal(size=[7, 4]).astype(np.float32)
    q = rng.dirichlet(np.ones(4), 7).astype(np.float32)
    expected = (q * log_softmax(logits, axis=1)).sum(axis=1)
    np.testing.assert_allclose(categorical_log_likelihood(q, logits), expected, rtol=1e-5)


def test_term_3_of_a_number_is_a_gaussian_of_variance_one():
    expected = stats.norm.logpdf(Z[:, 0], MEAN[:, 0])
    np.testing.assert_allclose(
        continuous_log_likelihood(Z[:, :1], MEAN[:, :1]), expected, rtol=1e-5
    )


def test_term_4_is_the_base_distribution():
    expected = stats.norm.logpdf(Z, MEAN, np.exp(LOG_VAR / 2)).sum(axis=1)
    np.testing.assert_allclose(base_log_prob(Z, MEAN, LOG_VAR), expected, rtol=1e-4)


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0])
def test_beta_weighs_the_kl_part_and_each_attribute_has_its_weight(beta):
    terms = {
        "log_prior": tf.constant([-1.0]),
        "log_likelihood_z": tf.constant([-2.0]),
        "log_likelihood_digit": tf.constant([-4.0]),
        "log_likelihood_thickness": tf.constant([-8.0]),
        "log_q0": tf.constant([-16.0]),
        "log_det": tf.constant([-32.0]),
    }
    value = objective(terms, beta, {"digit": 10.0, "thickness": 20.0})
    assert value.numpy()[0] == beta * (-1 + 16 - 32) - 2 - 10 * 4 - 20 * 8

"""The terms of equation (8) against SciPy's densities."""

from itertools import permutations

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from scipy import stats
from scipy.special import log_softmax
from sklearn.metrics.pairwise import rbf_kernel

from filvm.lens.objective import (
    aggregate_mismatch,
    base_log_prob,
    categorical_log_likelihood,
    continuous_log_likelihood,
    dependence,
    gaussian_kernel,
    objective,
    reverse_gradient,
    standard_normal_log_prob,
)

tfd = tfp.distributions
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


def test_term_3_of_a_distribution_over_labels_is_the_mean_over_them():
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
def test_the_weights_are_beta_for_the_kl_part_and_one_per_attribute(beta):
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


def test_the_kernel_is_that_of_scikit_learn():
    expected = np.mean([rbf_kernel(Z, gamma=0.5 / width**2) for width in (1.0, 2.0)], axis=0)
    np.testing.assert_allclose(gaussian_kernel(Z, [1.0, 2.0]), expected, rtol=1e-4)


def test_dependence_is_the_unbiased_hsic_of_its_definition_scaled():
    """Song et al. 2007, theorem 2: means over all tuples of different samples."""
    k_x, k_y = (rbf_kernel(part) for part in (Z, MEAN))

    def hsic(k, other):
        n = range(len(k))
        pairs = np.mean([k[i, j] * other[i, j] for i, j in permutations(n, 2)])
        triples = np.mean([k[i, j] * other[i, q] for i, j, q in permutations(n, 3)])
        fours = np.mean([k[i, j] * other[q, r] for i, j, q, r in permutations(n, 4)])
        return pairs + fours - 2.0 * triples

    scale = np.sqrt(max(hsic(k_x, k_x), 1e-3) * max(hsic(k_y, k_y), 1e-3))
    found = dependence(k_x.astype(np.float32), k_y.astype(np.float32))
    np.testing.assert_allclose(found, hsic(k_x, k_y) / scale, atol=1e-4)


def test_dependence_is_0_on_average_for_independent_variables_and_1_for_equal_ones():
    draws = np.random.default_rng(1).normal(size=[300, 2, 30, 1]).astype(np.float32)
    found = [dependence(gaussian_kernel(x), gaussian_kernel(y)) for x, y in draws]
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found))
    k = gaussian_kernel(draws[0, 0])
    np.testing.assert_allclose(dependence(k, k), 1.0, rtol=1e-5)
    assert dependence(k, gaussian_kernel(draws[0, 0] ** 2)) > 0.1


def test_the_mismatch_of_the_aggregate_is_the_kl_of_gaussians():
    x = rng.normal(size=[50, 3]) * [1, 2, 0.5] + [0, 1, 2]
    x = x.astype(np.float32)
    shrunk = (50 * np.cov(x.T, bias=True) + 3 * np.eye(3)) / 53
    aggregate = tfd.MultivariateNormalTriL(x.mean(axis=0, dtype=float), np.linalg.cholesky(shrunk))
    expected = aggregate.kl_divergence(tfd.MultivariateNormalDiag(np.zeros(3)))
    np.testing.assert_allclose(aggregate_mismatch(tf.constant(x)), expected, rtol=1e-4)


def test_the_mismatch_counts_samples_by_their_weights_and_is_finite_for_few():
    x = tf.constant(Z)
    weights = np.array([2, 2, 2, 2, 0, 0, 0], np.float32)
    alone = aggregate_mismatch(x[:4])
    np.testing.assert_allclose(aggregate_mismatch(x, weights), alone, rtol=1e-5)
    for count in (0, 1):
        few = weights * (np.arange(7) < count)
        assert np.isfinite(aggregate_mismatch(x, few))


def test_a_reversed_gradient_has_the_other_sign_and_a_factor():
    x = tf.Variable([1.0, 2.0])
    with tf.GradientTape() as tape:
        y = reverse_gradient(x, 3.0)
        loss = tf.reduce_sum(tf.square(y))
    np.testing.assert_allclose(y, x)
    np.testing.assert_allclose(tape.gradient(loss, x), -3.0 * 2.0 * x)


def test_dependence_of_stacked_kernels_is_that_of_every_pair():
    x, y = (np.random.default_rng(seed).normal(size=[3, 20, 2]) for seed in (1, 2))
    k_x, k_y = gaussian_kernel(x), gaussian_kernel(y)
    included = np.repeat([1.0, 0.0], [15, 5])
    found = dependence(k_x[:, None], k_y, included)
    pairs = [[dependence(one, other, included) for other in k_y] for one in k_x]
    np.testing.assert_allclose(found, pairs, rtol=1e-9)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_dependence_is_0_for_too_few_samples(n):
    x = tf.Variable(Z[:n])
    with tf.GradientTape() as tape:
        value = dependence(gaussian_kernel(x), gaussian_kernel(x))
    assert value == 0.0
    assert np.isfinite(tape.gradient(value, x)).all()

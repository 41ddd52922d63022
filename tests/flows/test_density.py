"""Fits are compared with closed forms, other quadrature, and the bijector."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.datasets import make_moons

from filvm.flows import FlowFits, fit_forward_kl, fit_reverse_kl, kl_to_target, log_normaliser
from filvm.flows.density import Parameters
from filvm.flows.energies import ENERGIES, square_grid


def standard_normal(z):
    return -tf.reduce_sum(tf.square(z), axis=-1) / 2


def shifts(shift, base_mean=(0.0, 0.0), base_scale=(1.0, 1.0)):
    """Two attempts, the second one NaN, whose only layer has w = 0: it adds `shift` tanh(1)."""
    u = np.array([[shift], [[np.nan, 0]]], np.float32)
    return FlowFits(
        parameters=Parameters(
            w=np.zeros_like(u),
            u=u,
            b=np.ones([2, 1], np.float32),
            base_mean=np.array([base_mean] * 2, np.float32),
            base_log_scale=np.log(np.array([base_scale] * 2, np.float32)),
        ),
        seeds=np.array([5, 6]),
        steps=np.array([250, 400]),
        history=np.array([[3.0, 2.0], [1.0, np.nan]], np.float32),
    )


@pytest.fixture(scope="module")
def fits():
    return fit_reverse_kl("two-modes", 4, restarts=4, steps=2000, annealing_steps=1000, seed=0)


def test_kl_equals_the_closed_form_of_two_gaussians():
    mean, scale = np.array([0.3, -1.0]), np.array([0.5, 1.7])
    made = shifts([0.7, 0.2], base_mean=mean, base_scale=scale)
    mean = mean + np.tanh(1) * np.array([0.7, 0.2])
    expected = 0.5 * np.sum(scale**2 + mean**2 - 1) - np.log(scale).sum()
    kl = kl_to_target(made, standard_normal, np.log(2 * np.pi))
    assert kl[0] == pytest.approx(expected, abs=1e-4)
    assert np.isnan(kl[1])


def test_kl_equals_quadrature_over_the_plane_through_the_inverse(fits):
    log_z = log_normaliser("two-modes")
    grid, cell = square_grid(7.0, 351)
    log_q = fits.log_prob(grid)
    q = np.exp(log_q)
    expected = np.sum(q * (log_q + ENERGIES["two-modes"](tf.constant(grid)) + log_z), axis=1)
    mass = q.sum(axis=1) * cell
    np.testing.assert_allclose(mass, 1, atol=1e-3)
    kl = kl_to_target(fits, "two-modes", log_z)
    np.testing.assert_allclose(kl, expected * cell, atol=1e-3)
    best = fits.best
    assert kl[best] == pytest.approx(expected[best] * cell, abs=2e-3)


def test_attempts_find_both_modes_and_their_loss_is_kl_minus_log_z(fits):
    kl = kl_to_target(fits, "two-modes", log_normaliser("two-modes"))
    assert fits.finite.all()
    assert (kl > 0).all()
    assert kl.min() < 0.2
    np.testing.assert_allclose(fits.loss + log_normaliser("two-modes"), kl, atol=0.02)
    left = fits.distribution(fits.best).sample(2000, seed=1)[:, 0] < 0
    assert 0.3 < np.mean(left) < 0.7


def test_an_attempt_does_not_depend_on_the_others_and_its_history_is_complete():
    together = fit_reverse_kl("two-modes", 1, restarts=2, steps=600, seed=3)
    assert together.seeds.tolist() == [3, 4]
    assert together.steps.tolist() == [250, 500, 600]
    assert together.history.shape == (3, 2)
    assert together.loss.tolist() == together.history[-1].tolist()
    alone = fit_reverse_kl("two-modes", 1, restarts=1, steps=600, seed=3)
    np.testing.assert_allclose(alone.history[:, 0], together.history[:, 0], rtol=1e-3)


def test_a_fit_is_the_bijector_of_its_parameters(fits):
    points = np.random.default_rng(0).normal(size=(50, 2)).astype(np.float32)
    for restart in range(2):
        expected = fits.distribution(restart).log_prob(points)
        np.testing.assert_allclose(fits.log_prob(points, restart), expected, rtol=1e-3, atol=1e-3)
        np.testing.assert_array_equal(
            fits.log_prob(points)[restart], fits.log_prob(points, restart)
        )


def test_a_gaussian_target_is_reached_exactly_in_any_dimension():
    def gaussian(z):
        return standard_normal((z - 1.0) * 2.0)

    fits = fit_reverse_kl(
        gaussian, 1, dimensions=3, restarts=2, steps=1500, annealing_steps=0, learning_rate=0.05
    )
    log_z = 1.5 * np.log(2 * np.pi) - 3 * np.log(2)
    assert kl_to_target(fits, gaussian, log_z).max() < 1e-2


def test_the_table_has_a_row_for_every_attempt():
    table = shifts([0.7, 0.2]).table(kl=np.array([0.5, np.nan]))
    assert table.columns.tolist() == ["seed", "loss", "kl", "finite"]
    assert table.seed.tolist() == [5, 6]
    assert table.finite.tolist() == [True, False]
    assert table.loss[0] == 1.0


def test_the_best_attempt_is_the_lowest_of_the_finite_ones():
    made = shifts([0.7, 0.2])
    assert made.best == 0
    hopeless = FlowFits(made.parameters, made.seeds, np.array([1]), np.full([1, 2], np.nan))
    with pytest.raises(ValueError, match="no attempt is finite"):
        _ = hopeless.best


def test_maximum_likelihood_beats_a_gaussian_on_held_out_moons():
    samples, _ = make_moons(3000, noise=0.1, random_state=0)
    samples = (samples - samples.mean(axis=0)) / samples.std(axis=0)
    train, held_out = samples[:2000], samples[2000:]
    fits = fit_forward_kl(train, 4, restarts=3, steps=1000)
    assert fits.finite.all()
    covariance = np.cov(train.T)
    gaussian = -0.5 * np.log(np.linalg.det(2 * np.pi * covariance)) - 0.5 * np.mean(
        np.sum(held_out @ np.linalg.inv(covariance) * held_out, axis=1)
    )
    likelihood = fits.log_prob(held_out).mean(axis=1)
    assert likelihood[fits.best] > gaussian + 0.3
    np.testing.assert_allclose(-fits.loss, fits.log_prob(train).mean(axis=1), atol=0.1)
    grid, cell = square_grid(5.0, 401)
    assert np.exp(fits.log_prob(grid, fits.best)).sum() * cell == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("setting", ["length", "dimensions", "restarts", "steps", "batch_size"])
def test_settings_must_be_positive(setting):
    with pytest.raises(ValueError, match=f"{setting} is 0; expected at least 1"):
        fit_reverse_kl("two-modes", **{"length": 2, setting: 0})


def test_a_wrong_target_is_refused_before_training():
    with pytest.raises(ValueError, match="reduce over the last axis only"):
        fit_reverse_kl(lambda z: z, 2)
    with pytest.raises(ValueError, match="expected finite values"):
        fit_reverse_kl(lambda z: tf.math.log(z[..., 0]), 2)
    with pytest.raises(ValueError, match="expected one of"):
        fit_reverse_kl("four-modes", 2)


@pytest.mark.parametrize("samples", [np.ones(5), np.ones((0, 2)), np.full((4, 2), np.nan)])
def test_samples_must_be_a_finite_matrix(samples):
    with pytest.raises(ValueError, match=r"expected finite numbers \[n, D\]"):
        fit_forward_kl(samples, 2)

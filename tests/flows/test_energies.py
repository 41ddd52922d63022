"""Targets are compared with their printed formulas, and log Z with other quadrature."""

import numpy as np
import pytest
import tensorflow as tf
from scipy.optimize import minimize

from filvm.flows import ENERGIES, log_normaliser
from filvm.flows.energies import check_log_density, log_density


def wave_1(z_1):
    return np.sin(2 * np.pi * z_1 / 4)


def wall(z_1):
    return 0.5 * (max(abs(z_1) - 4, 0) / 0.2) ** 2


def two_modes(z, sign=-1):
    ring = 0.5 * ((np.hypot(*z) - 2) / 0.4) ** 2
    right, left = (np.exp(sign * 0.5 * ((z[0] + shift) / 0.6) ** 2) for shift in (-2, 2))
    return ring - np.log(right + left)


def split_wave(z):
    gap = 3 * np.exp(-0.5 * ((z[0] - 1) / 0.6) ** 2)
    first = np.exp(-0.5 * ((z[1] - wave_1(z[0])) / 0.35) ** 2)
    second = np.exp(-0.5 * ((z[1] - wave_1(z[0]) + gap) / 0.35) ** 2)
    return -np.log(first + second) + wall(z[0])


def forked_wave(z):
    gap = 3 / (1 + np.exp(-(z[0] - 1) / 0.3))
    first = np.exp(-0.5 * ((z[1] - wave_1(z[0])) / 0.4) ** 2)
    second = np.exp(-0.5 * ((z[1] - wave_1(z[0]) + gap) / 0.35) ** 2)
    return -np.log(first + second) + wall(z[0])


PRINTED = {
    "two-modes": two_modes,
    "two-modes-as-printed": lambda z: two_modes(z, sign=+1),
    "wave": lambda z: 0.5 * ((z[1] - wave_1(z[0])) / 0.4) ** 2 + wall(z[0]),
    "split-wave": split_wave,
    "forked-wave": forked_wave,
}


@pytest.mark.parametrize("name", ENERGIES)
def test_energies_equal_the_printed_formulas(name):
    points = np.random.default_rng(0).uniform(-3, 3, (50, 2)) * [1.5, 1]
    expected = [PRINTED[name](z) for z in points]
    np.testing.assert_allclose(ENERGIES[name](tf.constant(points)), expected, rtol=1e-10)


@pytest.mark.parametrize(("name", "mode"), [("two-modes", 2.0), ("two-modes-as-printed", 5.2)])
def test_the_missing_signs_move_the_modes(name, mode):
    found = minimize(PRINTED[name], [1.0, 0.3], method="Nelder-Mead", options={"xatol": 1e-6}).x
    np.testing.assert_allclose(np.abs(found), [mode, 0], atol=1e-3)


@pytest.mark.parametrize("name", ENERGIES)
def test_energies_and_their_gradients_are_finite_far_away_and_at_zero(name):
    points = tf.constant([[0.0, 0.0], [1e4, -1e4], [-1e4, 0.0], [4.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(points)
        values = ENERGIES[name](points)
    assert np.isfinite(values).all()
    assert np.isfinite(tape.gradient(values, points)).all()


@pytest.mark.parametrize("name", ENERGIES)
def test_log_normaliser_equals_gauss_legendre_panels(name):
    nodes, weights = np.polynomial.legendre.leggauss(12)
    edges = np.linspace(-10, 10, 81)  # the walls' kinks at +-4 are among them
    centres, half = (edges[1:] + edges[:-1]) / 2, (edges[1] - edges[0]) / 2
    side = (centres[:, None] + half * nodes).ravel()
    side_weights = np.tile(half * weights, 80)
    z_1, z_2 = np.meshgrid(side, side)
    values = -ENERGIES[name](tf.constant(np.stack([z_1, z_2], axis=-1))).numpy()
    top = values.max()
    expected = top + np.log(side_weights @ np.exp(values - top) @ side_weights)
    assert log_normaliser(name) == pytest.approx(expected, abs=1e-8)


def test_log_normaliser_of_a_user_function():
    def gaussian(z):
        return -tf.reduce_sum(tf.square(z - 1.0) / 0.5, axis=-1) / 2

    assert log_normaliser(gaussian) == pytest.approx(np.log(2 * np.pi * 0.5), abs=1e-12)


def test_a_density_that_does_not_vanish_at_the_border_is_refused():
    with pytest.raises(ValueError, match="expected a density that vanishes"):
        log_normaliser("two-modes-as-printed", half_width=5.0)
    with pytest.raises(ValueError, match="expected a density that vanishes"):
        log_normaliser(lambda z: tf.zeros_like(z[..., 0]))


def test_unknown_names_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'two-mode'; expected one of two-modes, "):
        log_density("two-mode")


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda z: tf.reduce_sum(z), ValueError, "reduce over the last axis only"),
        (lambda z: z, ValueError, "reduce over the last axis only"),
        (lambda z: tf.math.log(z[..., 0]), ValueError, "is nan; expected finite"),
        (lambda z: np.sum(z, axis=-1), TypeError, "write it with TensorFlow operations"),
        (lambda z: tf.cast(z[..., 0], tf.int32), TypeError, "expected a float32 tensor"),
        (lambda z: tf.cast(z[..., 0], tf.float64), TypeError, "is float64"),
    ],
)
def test_wrong_log_densities_are_refused_in_one_sentence(function, error, message):
    with pytest.raises(error, match=message):
        check_log_density(function, dimensions=2)

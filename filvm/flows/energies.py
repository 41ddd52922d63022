"""Two-dimensional target densities p(z) = exp(-U(z)) / Z, by name (section 4.2).

Rezende and Mohamed 2015, arXiv:1505.05770, Table 1. The report prints the first energy without the
two minus signs in the exponents, which moves its modes from (+-2, 0) to (+-5.2, 0). `two_modes` has
the signs, as in the paper; `two_modes_as_printed` does not.

The other three are waves along z_1 without end, for which Z would be infinite. Here soft walls are
added: 1/2 ((|z_1| - 4) / 0.2)^2 where |z_1| > 4, the edge of the figure in the paper.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

__all__ = ["ENERGIES", "LogDensity", "log_density", "log_normaliser"]

LogDensity = Callable[[tf.Tensor], tf.Tensor]  # points [..., D] -> unnormalised log-density [...]


def two_modes(z: tf.Tensor) -> tf.Tensor:
    """1/2 ((|z|-2)/0.4)^2 - ln(exp(-1/2 ((z_1-2)/0.6)^2) + exp(-1/2 ((z_1+2)/0.6)^2)): U_1."""
    return _ring(z) - _log_add(-_half_square(z[..., 0] - 2, 0.6), -_half_square(z[..., 0] + 2, 0.6))


def two_modes_as_printed(z: tf.Tensor) -> tf.Tensor:
    """U_1 as the report's section 4.2 prints it, with + in both exponents."""
    return _ring(z) - _log_add(_half_square(z[..., 0] - 2, 0.6), _half_square(z[..., 0] + 2, 0.6))


def wave(z: tf.Tensor) -> tf.Tensor:
    """1/2 ((z_2 - w_1(z)) / 0.4)^2 with w_1 = sin(pi z_1 / 2): U_2."""
    return _half_square(z[..., 1] - _sine(z), 0.4) + _walls(z)


def split_wave(z: tf.Tensor) -> tf.Tensor:
    """-ln(exp(-1/2 ((z_2-w_1)/0.35)^2) + exp(-1/2 ((z_2-w_1+w_2)/0.35)^2)): U_3.

    w_2 = 3 exp(-1/2 ((z_1 - 1) / 0.6)^2).
    """
    distance = z[..., 1] - _sine(z)
    gap = 3 * tf.exp(-_half_square(z[..., 0] - 1, 0.6))
    return _walls(z) - _log_add(-_half_square(distance, 0.35), -_half_square(distance + gap, 0.35))


def forked_wave(z: tf.Tensor) -> tf.Tensor:
    """-ln(exp(-1/2 ((z_2-w_1)/0.4)^2) + exp(-1/2 ((z_2-w_1+w_3)/0.35)^2)): U_4.

    w_3 = 3 sigmoid((z_1 - 1) / 0.3).
    """
    distance = z[..., 1] - _sine(z)
    gap = 3 * tf.sigmoid((z[..., 0] - 1) / 0.3)
    return _walls(z) - _log_add(-_half_square(distance, 0.4), -_half_square(distance + gap, 0.35))


ENERGIES: dict[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "two-modes": two_modes,
    "two-modes-as-printed": two_modes_as_printed,
    "wave": wave,
    "split-wave": split_wave,
    "forked-wave": forked_wave,
}


def log_density(target: str | LogDensity) -> LogDensity:
    """Return the unnormalised log-density of a target: -U for a name; a function is returned as is.

    Raises:
        ValueError: the name is not in `ENERGIES`.
    """
    if callable(target):
        return target
    if target not in ENERGIES:
        raise ValueError(f"target is {target!r}; expected one of {', '.join(ENERGIES)}")
    energy = ENERGIES[target]
    return lambda z: -energy(z)


def log_normaliser(
    target: str | LogDensity, half_width: float = 10.0, points_per_side: int = 1601
) -> float:
    """Return log Z of a two-dimensional target, by the trapezoidal rule on a square in float64.

    For a smooth density that vanishes at the border, the rule converges faster than any power of
    the spacing; the default spacing of 0.0125 gives 12 digits for every energy in this module.

    Args:
        target: a name of `ENERGIES` or an unnormalised log-density.
        half_width: the square is [-half_width, half_width]^2.
        points_per_side: the resolution of the square.

    Raises:
        ValueError: the log-density is wrong (see `check_log_density`), or does not vanish at the
            border of the square.

    >>> round(log_normaliser("two-modes"), 6)
    1.877502
    """
    function = log_density(target)
    check_log_density(function, dimensions=2, dtype=tf.float64)
    grid, cell = square_grid(half_width, points_per_side)
    values = function(tf.constant(grid)).numpy().reshape(points_per_side, points_per_side)
    border = max(values[0].max(), values[-1].max(), values[:, 0].max(), values[:, -1].max())
    if border > values.max() - 30:
        raise ValueError(
            f"the density at the border of [-{half_width}, {half_width}]^2 is too large; expected "
            "a density that vanishes there: increase half_width if the integral is finite"
        )
    largest = values.max()
    return float(largest + np.log(np.exp(values - largest).sum() * cell))


def square_grid(half_width: float, points_per_side: int) -> tuple[np.ndarray, float]:
    """Return points `[points_per_side^2, 2]` of a square around 0, by rows, and a cell's area."""
    side = np.linspace(-half_width, half_width, points_per_side)
    z_1, z_2 = np.meshgrid(side, side)
    return np.stack([z_1.ravel(), z_2.ravel()], axis=-1), float(side[1] - side[0]) ** 2


def check_log_density(function: LogDensity, dimensions: int, dtype: tf.DType = tf.float32) -> None:
    """Call a log-density on a few points and check the result.

    Raises:
        TypeError: it is not a tensor of the type of the points.
        ValueError: it has the wrong shape, or is not finite.
    """
    points = 2 * tf.random.stateless_normal([3, 5, dimensions], seed=[0, 0], dtype=dtype)
    values = function(points)
    if not tf.is_tensor(values) or values.dtype != dtype:
        kind = values.dtype.name if tf.is_tensor(values) else type(values).__name__
        raise TypeError(
            f"the log-density of {dtype.name} points is {kind}; expected a {dtype.name} tensor: "
            "write it with TensorFlow operations on its argument"
        )
    if values.shape != points.shape[:-1]:
        raise ValueError(
            f"the log-density of points {points.shape} has shape {values.shape}; expected "
            f"{points.shape[:-1]}: reduce over the last axis only"
        )
    bad = ~np.isfinite(values.numpy())
    if bad.any():
        raise ValueError(
            f"the log-density at {points.numpy()[bad][0].tolist()} is {values.numpy()[bad][0]}; "
            "expected finite values everywhere"
        )


def _ring(z: tf.Tensor) -> tf.Tensor:
    # The gradient of |z| at 0 is 0/0; a tiny addition avoids it without changing the value.
    tiny = np.finfo(z.dtype.as_numpy_dtype).tiny
    return _half_square(tf.sqrt(tf.reduce_sum(tf.square(z), axis=-1) + tiny) - 2, 0.4)


def _half_square(x: tf.Tensor, scale: float) -> tf.Tensor:
    return 0.5 * tf.square(x / scale)


def _log_add(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    return tf.reduce_logsumexp(tf.stack([x, y]), axis=0)


def _sine(z: tf.Tensor) -> tf.Tensor:
    return tf.sin(np.pi / 2 * z[..., 0])


def _walls(z: tf.Tensor) -> tf.Tensor:
    return _half_square(tf.maximum(tf.abs(z[..., 0]) - 4, 0), 0.2)

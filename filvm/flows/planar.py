"""Planar flows that always have an inverse and a finite log-determinant (section 2.2).

    f(z)  = z + u_hat tanh(a),                a = w.z + b
    u_hat = u + [m(w.u) - w.u] w / |w|^2      m(x) = softplus(x) - 1, so that w.u_hat > -1
    log |det df/dz| = log(tanh^2 a + p sech^2 a),   p = softplus(w.u) = 1 + w.u_hat

Rezende and Mohamed 2015, arXiv:1505.05770, equations (10)-(12) and appendix A.1. Three formulas
are written differently than usual, and equal the usual ones in exact arithmetic:

* the log-determinant is the log of a sum of two positive numbers. `1 + w.u_hat (1 - tanh^2 a)`
  subtracts two nearly equal numbers and gives log 0 instead of -23, which causes the NaNs in
  section 5.2 of the report;
* `m(x) - x` is written `softplus(-x) - 1`, which does not cancel for large x;
* the direction is divided by `|w|^2`. If |w| < 1e-10, where that has no limit, `u_hat = u` and the
  layer is a shift by `u tanh(b)` with p = 1.

The inverse needs one scalar root per layer. With s = w.y + b, the number a = w.z + b solves

    h(a) = (a - tanh a) + p tanh a = s,       and then z = y - u_hat tanh(a).

h is odd and increasing, and on a > 0 concave (p > 1) or convex (p < 1), so Newton's method, started
at the right end of a bracket, converges to the root from one side.
"""

from collections.abc import Callable

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

__all__ = ["PlanarFlow", "planar_forward", "planar_inverse"]

tfb = tfp.bijectors
TensorLike = tf.types.experimental.TensorLike

SMALLEST_NORM = 1e-10  # |w| below this counts as zero
MAX_NEWTON_STEPS = 100  # usually 5 to 10; more than 40 only if p > 1e10


def constrained_u(w: tf.Tensor, u: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """u_hat = u + (softplus(-w.u) - 1) w / |w|^2 and p = softplus(w.u) = 1 + w.u_hat.

    Args:
        w, u: `[..., D]`.

    Returns:
        u_hat `[..., D]` and p `[...]`, positive (0 where it underflows: float32, w.u < -87).
    """
    w_dot_u = tf.reduce_sum(w * u, axis=-1)
    squared_norm = tf.reduce_sum(tf.square(w), axis=-1)
    is_shift = squared_norm < SMALLEST_NORM**2
    divisor = tf.where(is_shift, tf.ones_like(squared_norm), squared_norm)
    correction = (tf.math.softplus(-w_dot_u) - 1) / divisor
    correction = tf.where(is_shift, tf.zeros_like(correction), correction)
    p = tf.where(is_shift, tf.ones_like(w_dot_u), tf.math.softplus(w_dot_u))
    return u + correction[..., tf.newaxis] * w, p


def log_det_jacobian(a: tf.Tensor, p: tf.Tensor) -> tf.Tensor:
    """Return log(tanh^2 a + p sech^2 a), finite even if both squares underflow."""
    tiny = np.finfo(a.dtype.as_numpy_dtype).tiny
    decay = tf.exp(-2 * tf.abs(a))
    sech_squared = 4 * decay / tf.square(1 + decay)  # accurate for large |a|
    return tf.math.log(tf.square(tf.tanh(a)) + p * sech_squared + tiny)


def planar_forward(
    z: tf.Tensor, w: tf.Tensor, u: tf.Tensor, b: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return f(z) and its log-determinant.

    Args:
        z: points, `[..., D]`.
        w, u: `[..., D]`; leading dimensions broadcast against those of `z`.
        b: `[...]`.

    Returns:
        f(z) `[..., D]` and log |det df/dz| `[...]`.
    """
    # u_hat is computed in float64 and rounded once, which avoids float32 errors of w.u and |w|^2.
    u_hat, p = constrained_u(tf.cast(w, tf.float64), tf.cast(u, tf.float64))
    u_hat, p = tf.cast(u_hat, z.dtype), tf.cast(p, z.dtype)
    a = tf.reduce_sum(w * z, axis=-1) + b
    return z + u_hat * tf.tanh(a)[..., tf.newaxis], log_det_jacobian(a, p)


def planar_inverse(
    y: tf.Tensor, w: tf.Tensor, u: tf.Tensor, b: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Return the z with f(z) = y, and the log-determinant of the inverse at y.

    Computes in float64 for any input, so a float32 result is the exact inverse, rounded. Arguments
    and results have the shapes of `planar_forward`.
    """
    dtype = y.dtype
    y, w, u, b = (tf.cast(value, tf.float64) for value in (y, w, u, b))
    u_hat, p = constrained_u(w, u)
    a = solve_planar_root(tf.reduce_sum(w * y, axis=-1) + b, p)
    z = y - u_hat * tf.tanh(a)[..., tf.newaxis]
    return tf.cast(z, dtype), tf.cast(-log_det_jacobian(a, p), dtype)


def solve_planar_root(s: tf.Tensor, p: tf.Tensor) -> tf.Tensor:
    """Return the a with (a - tanh a) + p tanh a = s, for p >= 0, differentiable to any order.

    Args:
        s: right-hand side, float64 `[...]`.
        p: 1 + w.u_hat >= 0, float64; broadcasts against `s`.

    Returns:
        a `[...]`, to a few units in the last place for every s and p.
    """
    s, p = s + tf.zeros_like(p), p + tf.zeros_like(s) + np.finfo(np.float64).tiny
    return _with_implicit_gradient(tf.stop_gradient(_newton(s, p)), s, p)


@tf.custom_gradient
def _with_implicit_gradient(a: tf.Tensor, s: tf.Tensor, p: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    """Return a, with the gradients da/ds = 1 / h'(a) and da/dp = -tanh(a) / h'(a)."""

    def gradient(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        root = _with_implicit_gradient(a, s, p)  # for second derivatives
        d_s = upstream * tf.exp(-log_det_jacobian(root, p))
        return tf.zeros_like(a), d_s, -d_s * tf.tanh(root)

    return tf.identity(a), gradient


def _newton(s: tf.Tensor, p: tf.Tensor) -> tf.Tensor:
    """Solve for |s|, starting at the end of the bracket from which no step passes the root."""
    target = tf.abs(s)
    low, high = _bracket(target, p)
    tolerance = np.sqrt(np.finfo(np.float64).eps)

    def not_converged(a: tf.Tensor, step: tf.Tensor) -> tf.Tensor:
        return tf.reduce_any(tf.abs(step) > tolerance * a)

    def newton_step(a: tf.Tensor, step: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        del step
        value = _a_minus_tanh(a) + p * tf.tanh(a)
        step = (value - target) * tf.exp(-log_det_jacobian(a, p))
        return tf.clip_by_value(a - step, low, high), step

    start = tf.where(p < 1, high, low)
    a, _ = tf.while_loop(
        not_converged,
        newton_step,
        (start, tf.fill(tf.shape(start), start.dtype.max)),
        maximum_iterations=MAX_NEWTON_STEPS,
    )
    return tf.sign(s) * a


def _bracket(target: tf.Tensor, p: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Bound the root for s >= 0: tanh a <= min(1, a), and a - tanh a >= a^3 / 8 on [0, 2]."""
    from_slope = target / p
    from_shift = target + (1 - p)
    low = tf.where(p < 1, target, tf.maximum(from_slope, from_shift))
    high = tf.where(p < 1, tf.minimum(from_slope, from_shift), target)
    from_cube = tf.pow(8 * target, 1 / 3)
    return low, tf.where((p < 1) & (target < 1), tf.minimum(high, from_cube), high)


def _a_minus_tanh(a: tf.Tensor) -> tf.Tensor:
    """Return a - tanh(a) for a >= 0 without cancellation: Lambert's fraction below 1/2."""
    x = tf.square(tf.minimum(a, 0.5))
    fraction = x / (5 + x / (7 + x / (9 + x / (11 + x / 13))))
    return tf.where(a < 0.5, a * x / (3 + x + fraction), a - tf.tanh(a))


class PlanarFlow(tfb.AutoCompositeTensorBijector):
    """f(z) = z + u_hat tanh(w.z + b), with u_hat computed from u and w so that f has an inverse.

    u_hat = u + [m(w.u) - w.u] w / |w|^2 with m(x) = softplus(x) - 1 (report section 2.2; Rezende
    and Mohamed 2015, arXiv:1505.05770, appendix A.1). The batch shape is that to which the leading
    dimensions of w, u and b broadcast: one set of parameters for all points, or one per point.

    Accuracy. Inverses are computed in float64. inverse(y) is, to within E, the exact inverse of a
    point no farther than E from y, with E = 32 eps (|y| + |u| + (1 + |b|) / |w|) and the eps of
    float64; a float32 result is rounded once more. The same bound holds for forward, with the eps
    of its dtype. A layer multiplies E by up to 1 + |u_hat| |w| sech^2 a / (tanh^2 a + p sech^2 a).

    Args:
        w: `[..., D]`, float32 or float64. |w| < 1e-10 counts as zero: f(z) = z + u tanh(b).
        u: `[..., D]`, any direction and length.
        b: `[...]`.
        validate_args: whether to check at run time that the parameters are finite.
        name: name of the bijector.

    Raises:
        ValueError: the shapes of w, u and b do not fit together.
        TypeError: a parameter is not float32 or float64, or the dtypes differ.

    >>> flow = PlanarFlow(w=[2.0, 0.0], u=[1.0, 0.5], b=0.3)
    >>> y = flow.forward([[0.1, -0.2]])
    >>> np.allclose(flow.inverse(y), [[0.1, -0.2]])
    True
    """

    def __init__(
        self,
        w: TensorLike,
        u: TensorLike,
        b: TensorLike,
        validate_args: bool = False,
        name: str = "planar_flow",
    ) -> None:
        parameters = dict(locals())
        with tf.name_scope(name) as name:
            dtype = _common_dtype(w=w, u=u, b=b)
            self._w = _as_parameter(w, dtype, "w")
            self._u = _as_parameter(u, dtype, "u")
            self._b = _as_parameter(b, dtype, "b")
            _check_shapes(self._w.shape, self._u.shape, self._b.shape)
            super().__init__(
                forward_min_event_ndims=1,
                dtype=dtype,
                validate_args=validate_args,
                parameters=parameters,
                name=name,
            )

    @classmethod
    def _parameter_properties(
        cls,
        dtype: tf.DType,
    ) -> dict[str, tfp.util.ParameterProperties]:
        return {
            "w": tfp.util.ParameterProperties(event_ndims=1),
            "u": tfp.util.ParameterProperties(event_ndims=1),
            "b": tfp.util.ParameterProperties(event_ndims=0),
        }

    @property
    def w(self) -> tf.Tensor:
        """The direction along which the flow acts, `[..., D]`."""
        return self._w

    @property
    def u(self) -> tf.Tensor:
        """The unconstrained displacement, `[..., D]`."""
        return self._u

    @property
    def b(self) -> tf.Tensor:
        """The offset, `[...]`."""
        return self._b

    def _forward(self, x: tf.Tensor) -> tf.Tensor:
        return self._apply(planar_forward, x)[0]

    def _forward_log_det_jacobian(self, x: tf.Tensor) -> tf.Tensor:
        return self._apply(planar_forward, x)[1]

    def _inverse(self, y: tf.Tensor) -> tf.Tensor:
        return self._apply(planar_inverse, y)[0]

    # There is no _inverse_log_det_jacobian: TFP computes it from the cached inverse, so a density
    # solves for each root once.

    def _apply(self, function: Callable, points: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        w, u, b = (tf.convert_to_tensor(value) for value in (self.w, self.u, self.b))
        dimensions = w.shape[-1]
        if not points.shape[-1:].is_compatible_with([dimensions]):
            raise ValueError(
                f"points have last dimension {points.shape[-1]}; expected {dimensions}, as w and u"
            )
        return function(points, w, u, b)

    def _parameter_control_dependencies(self, is_init: bool) -> list[tf.Tensor]:
        if not self.validate_args:
            return []
        return [
            tf.debugging.assert_all_finite(
                tf.convert_to_tensor(value),
                f"parameter {name} holds NaN or infinity; expected finite numbers",
            )
            for name, value in (("w", self.w), ("u", self.u), ("b", self.b))
            if is_init != _is_reference(value)
        ]


def _is_reference(value: TensorLike) -> bool:
    """Whether `value` can change after construction, and must not be converted there."""
    return isinstance(value, tf.Variable | tfp.util.DeferredTensor)


def _common_dtype(**parameters: TensorLike) -> tf.DType:
    """Return the common dtype of the parameters; Python numbers get the dtype of the others."""
    dtypes = {
        name: tf.as_dtype(value.dtype)
        for name, value in parameters.items()
        if getattr(value, "dtype", None) is not None
    }
    wrong = {name: dtype.name for name, dtype in dtypes.items() if dtype not in _DTYPES}
    if wrong:
        raise TypeError(f"dtypes of the parameters are {wrong}; expected float32 or float64")
    if len(set(dtypes.values())) > 1:
        named = {name: dtype.name for name, dtype in dtypes.items()}
        raise TypeError(f"dtypes of the parameters are {named}; expected one dtype: cast them")
    return next(iter(dtypes.values()), tf.float32)


_DTYPES = (tf.float32, tf.float64)


def _as_parameter(value: TensorLike, dtype: tf.DType, name: str) -> TensorLike:
    if _is_reference(value):
        return value
    return tf.convert_to_tensor(value, dtype=dtype, name=name)


def _check_shapes(w: tf.TensorShape, u: tf.TensorShape, b: tf.TensorShape) -> None:
    shapes = f"shapes are w {w}, u {u}, b {b}"
    expected = "expected w [..., D], u [..., D] and b [...] with the same D"
    if w.rank == 0 or u.rank == 0 or not w[-1:].is_compatible_with(u[-1:]):
        raise ValueError(f"{shapes}; {expected}")
    try:
        tf.broadcast_static_shape(tf.broadcast_static_shape(w[:-1], u[:-1]), b)
    except ValueError as error:
        raise ValueError(
            f"{shapes}, and the leading dimensions do not broadcast; {expected}"
        ) from error

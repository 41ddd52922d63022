"""Amortised planar posterior: every sample has its own parameters of K flows (Figure A5).

z_k = f_k(z_{k-1}),  k = 1..K          planar flows f_k with the sample's own w_k, u_k, b_k
log q(z_K) = log q0(z_0) - sum_k log |det df_k / dz_{k-1}|              (section 2.3, equation 6)
"""

import tensorflow as tf
import tf_keras as keras

from filvm.flows.planar import constrained_u, log_det_jacobian

__all__ = ["PlanarFlows"]


@keras.utils.register_keras_serializable(package="filvm")
class PlanarFlows(keras.layers.Layer):
    """Map z_0 through K planar flows with parameters for each sample.

    The layer has no weights: the dense layers of a recognition network compute w, u and b. It is a
    plain loop over K in the forward direction, which XLA fuses into the training step.

    Args:
        num_flows: K, at least 1.

    Call arguments:
        z_0: samples of q0, `[batch, D]`; or several of every row, `[draws, batch, D]`.
        w: `[batch, K * D]`, w_1 first.
        u: `[batch, K * D]`.
        b: `[batch, K]`.

    Returns:
        z_K of the shape of z_0, and the sum of the K log-determinants, one for every row of z_0.

    >>> z_0 = tf.random.stateless_normal([7, 4], seed=[0, 1])
    >>> parameters = keras.layers.Dense(3 * 4 + 3 * 4 + 3)(z_0)
    >>> w, u, b = tf.split(parameters, [12, 12, 3], axis=-1)
    >>> z_k, log_det = PlanarFlows(num_flows=3)(z_0, w, u, b)
    >>> z_k.shape, log_det.shape
    (TensorShape([7, 4]), TensorShape([7]))
    """

    def __init__(self, num_flows: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        if num_flows < 1:
            raise ValueError(f"num_flows is {num_flows}; expected at least 1")
        self.num_flows = int(num_flows)

    def call(
        self, z_0: tf.Tensor, w: tf.Tensor, u: tf.Tensor, b: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        w, u = self.split(z_0, w, u, b)
        u_hat, p = constrained_u(w, u)
        flows = zip(
            tf.unstack(w, axis=-2),
            tf.unstack(u_hat, axis=-2),
            tf.split(b, self.num_flows, axis=-1),
            strict=True,
        )
        z_k, all_a = z_0, []
        for w_k, u_k, b_k in flows:
            a = tf.reduce_sum(w_k * z_k, axis=-1, keepdims=True) + b_k
            z_k = z_k + u_k * tf.tanh(a)
            all_a.append(a)
        log_dets = log_det_jacobian(tf.concat(all_a, axis=-1), p)  # of all flows at once
        return z_k, tf.reduce_sum(log_dets, axis=-1)

    def split(
        self, z_0: tf.Tensor, w: tf.Tensor, u: tf.Tensor, b: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Return w and u as `[batch, K, D]`; a ValueError names a parameter of the wrong size."""
        dimensions = z_0.shape[-1]
        size = self.num_flows * dimensions
        for name, value, expected in (("w", w, size), ("u", u, size), ("b", b, self.num_flows)):
            if value.shape[-1] != expected:
                raise ValueError(
                    f"{name} has last dimension {value.shape[-1]}; expected {expected} for "
                    f"{self.num_flows} flows in {dimensions} dimensions"
                )
        shape = tf.concat([tf.shape(w)[:-1], [self.num_flows, dimensions]], axis=0)
        return tf.reshape(w, shape), tf.reshape(u, shape)

    def get_config(self) -> dict:
        return {**super().get_config(), "num_flows": self.num_flows}

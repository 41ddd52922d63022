"""One flow for all samples, of affine couplings: exact inverse, triangular Jacobian.

    (moved, kept) = R_k z,    s, t = network_k(kept),    z <- (moved * exp(s) + t, kept)
    log |det| = sum of all s

R_k is a fixed rotation, drawn at random, so that every direction is moved and every one is heard
(Dinh et al. 2017, arXiv:1605.08803, who permute). |s| stays below a bound: what a coupling
stretches it can shrink again without losing the digits of a float32.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras


@keras.utils.register_keras_serializable(package="filvm")
class AffineCouplings(keras.layers.Layer):
    """T: [batch, dimensions] -> [batch, dimensions], one T for all samples; `inverse` undoes it.

    Before training it is a rotation: every network starts at s = t = 0.

    Args:
        dimensions: at least 2.
        num_couplings: K, at least 1.
        hidden_units: of the hidden layers of each coupling's network.
        bound: the largest |s| of a coupling.
        seed: of the rotations.

    >>> flow = AffineCouplings(4, num_couplings=2, hidden_units=(8,))
    >>> z_star, log_det = flow(tf.ones([3, 4]))
    >>> bool(tf.reduce_max(tf.abs(flow.inverse(z_star) - 1.0)) < 1e-5)
    True
    """

    def __init__(
        self,
        dimensions: int,
        *,
        num_couplings: int = 8,
        hidden_units: tuple[int, ...] = (256, 256),
        bound: float = 1.5,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if dimensions < 2:
            raise ValueError(f"dimensions is {dimensions}; a coupling moves one by another: >= 2")
        if num_couplings < 1:
            raise ValueError(f"num_couplings is {num_couplings!r}; expected a number >= 1")
        self.dimensions = int(dimensions)
        self.num_couplings = int(num_couplings)
        self.hidden_units = list(hidden_units)
        self.bound = bound
        self.seed = seed
        # A quarter: half of z hardly tells a label, three quarters do.
        self.moved = max(1, self.dimensions // 4)
        self.networks = [self._network(k) for k in range(self.num_couplings)]
        from scipy.stats import ortho_group  # slow to import, and most flows here do without

        rotations = ortho_group.rvs(dimensions, num_couplings, np.random.default_rng(seed))
        # A weight and no constant: a file has the very numbers that were trained with.
        self.rotations = self.add_weight(
            "rotations",
            [num_couplings, dimensions, dimensions],
            initializer=keras.initializers.Constant(
                rotations.reshape(num_couplings, dimensions, dimensions)
            ),
            trainable=False,
        )

    def _network(self, k: int) -> list[tuple[tf.Variable, tf.Variable]]:
        """Kernel and bias of each layer. Plain weights: a file of many small models is slow."""
        widths = [self.dimensions - self.moved, *self.hidden_units, 2 * self.moved]
        network = []
        for i, (inputs, units) in enumerate(itertools.pairwise(widths)):
            start = "zeros" if i == len(self.hidden_units) else "glorot_uniform"
            kernel = self.add_weight(f"kernel_{k}_{i}", [inputs, units], initializer=start)
            network.append((kernel, self.add_weight(f"bias_{k}_{i}", [units], initializer="zeros")))
        return network

    def _scale_and_shift(self, k: int, kept: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        *hidden_layers, (kernel, bias) = self.networks[k]
        hidden = kept
        for hidden_kernel, hidden_bias in hidden_layers:
            hidden = tf.nn.relu(tf.matmul(hidden, hidden_kernel) + hidden_bias)
        s, t = tf.split(tf.matmul(hidden, kernel) + bias, 2, axis=1)
        return self.bound * tf.tanh(s / self.bound), t

    def call(self, z: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """z -> T(z) [batch, dimensions] and log |det dT/dz| [batch]."""
        log_det = tf.zeros_like(z[:, 0])
        for k in range(self.num_couplings):
            z = tf.matmul(z, self.rotations[k])
            moved, kept = z[:, : self.moved], z[:, self.moved :]
            s, t = self._scale_and_shift(k, kept)
            z = tf.concat([moved * tf.exp(s) + t, kept], axis=1)
            log_det += tf.reduce_sum(s, axis=1)
        return z, log_det

    def inverse(self, z_star: tf.Tensor) -> tf.Tensor:
        """The z with T(z) = z_star."""
        z = z_star
        for k in reversed(range(self.num_couplings)):
            moved, kept = z[:, : self.moved], z[:, self.moved :]
            s, t = self._scale_and_shift(k, kept)
            z = tf.concat([(moved - t) * tf.exp(-s), kept], axis=1)
            z = tf.matmul(z, self.rotations[k], transpose_b=True)
        return z

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "dimensions": self.dimensions,
            "num_couplings": self.num_couplings,
            "hidden_units": self.hidden_units,
            "bound": self.bound,
            "seed": self.seed,
        }

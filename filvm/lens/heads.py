"""The linear models p(s_j|z*) of the lens (sections 2.3 and 2.4 of the report, Figures A7 and A8).

    a label:   p(s = k|z*) = softmax(psi z* + psi_0)_k
    a number:  p(s|z*) = N(psi . z* + psi_0, 1)

In the ILVM a head sees all of z*. In the FILVM head j sees z*_j alone: then the dimension is the
attribute's, and a value of the attribute has a coordinate on it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from scipy.special import ndtri

# Where the prior's mass is; fine enough for class regions of a thousandth of it.
GRID = np.linspace(-5.0, 5.0, 4001, dtype=np.float32)


def ordered_softmax_start(num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Slopes a and offsets c with which class k wins between the prior's k-th and next quantile.

        a_k = k - (C - 1)/2,   c_k - c_{k-1} = -t_k,   t_k = Phi^-1(k/C),   sum_k c_k = 0

    Two neighbours' logits are equal where a_k z + c_k = a_{k-1} z + c_{k-1}, which is z = t_k.
    Returns two float32 arrays [num_classes].
    """
    slopes = np.arange(num_classes) - (num_classes - 1) / 2
    thresholds = ndtri(np.arange(1, num_classes) / num_classes)
    offsets = np.concatenate([[0.0], -np.cumsum(thresholds)])
    return slopes.astype(np.float32), (offsets - offsets.mean()).astype(np.float32)


def chain_of_neighbours(points: np.ndarray) -> np.ndarray:
    """An order of points [n, d] in which each is near the next: a short path through all of them.

    From each point in turn to the nearest that is left, the shortest of these paths, and then
    stretches of it turned round as long as that shortens it (2-opt). Returns the indices [n].

    >>> chain_of_neighbours(np.array([[0.0], [5.0], [1.0], [4.0]])).tolist()
    [0, 2, 3, 1]
    """
    apart = np.linalg.norm(points[:, None] - points[None], axis=-1)
    count = len(points)

    def length(path: list[int]) -> float:
        return float(apart[path[:-1], path[1:]].sum())

    def greedy(path: list[int]) -> list[int]:
        while len(path) < count:
            left = [k for k in range(count) if k not in path]
            path = [*path, min(left, key=lambda k: apart[path[-1], k])]
        return path

    best = min((greedy([k]) for k in range(count)), key=length)
    while True:
        turned = min(
            (best[:i] + best[i:j][::-1] + best[j:] for j in range(2, count + 1) for i in range(j)),
            key=length,
            default=best,
        )
        if length(turned) >= length(best) - 1e-9:
            return np.array(best)
        best = turned


@keras.utils.register_keras_serializable(package="filvm")
class LinearHead(keras.layers.Layer):
    """z_star [batch, d] -> [batch, units]: the logits of a label, or the mean of a number.

    Args:
        units: number of classes, or 1 for a number.
        dimension: the one dimension of z* it sees; None for all (ILVM).
        start: "random" (Glorot), as the report's; "ordered" for a label that must share one
            axis with all its classes,

                logits_k = g (a_k z + c_k),   a, c of `ordered_softmax_start`,

            for steep lines in order are what gradient descent does not reach from a random start;
            "positive" for a number, psi = 1, so that more of z*_j is more of the attribute.
            All of g, a, c, psi are trained.
        gain: where g starts.
    """

    def __init__(
        self,
        units: int,
        dimension: int | None = None,
        start: str = "random",
        *,
        gain: float = 30.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if start not in ("random", "ordered", "positive"):
            raise ValueError(f"start is {start!r}; expected 'random', 'ordered' or 'positive'")
        if start != "random" and dimension is None:
            raise ValueError(f"start {start!r} is for a head that sees one dimension")
        self.units = units
        self.dimension = dimension
        self.start = start
        self.starting_gain = gain

    def build(self, input_shape: Any) -> None:
        inputs = int(input_shape[-1]) if self.dimension is None else 1
        kernel, bias = keras.initializers.GlorotUniform(seed=0), keras.initializers.Zeros()
        if self.start == "random":
            kernel = "glorot_uniform"
        elif self.start == "positive":
            kernel = "ones"
        else:
            slopes, offsets = ordered_softmax_start(self.units)
            kernel = keras.initializers.Constant(slopes[None, :])
            bias = keras.initializers.Constant(offsets)
        self.kernel = self.add_weight("kernel", [inputs, self.units], initializer=kernel)
        self.bias = self.add_weight("bias", [self.units], initializer=bias)
        self.gain = (
            self.add_weight("gain", [], initializer=keras.initializers.Constant(self.starting_gain))
            if self.start == "ordered"
            else None
        )
        super().build(input_shape)

    def call(self, z_star: tf.Tensor) -> tf.Tensor:
        if self.dimension is not None:
            z_star = z_star[:, self.dimension : self.dimension + 1]
        return self.read(z_star)

    def read(self, seen: tf.Tensor) -> tf.Tensor:
        """The head on what it sees of z*, [batch, 1] or [batch, d]."""
        linear = tf.matmul(seen, self.kernel) + self.bias
        return linear if self.gain is None else self.gain * linear

    def put_in_order(self, order: np.ndarray) -> None:
        """Start anew with class order[k] between the prior's k-th and next quantile."""
        slopes, offsets = ordered_softmax_start(self.units)
        place = np.argsort(order)
        self.kernel.assign(slopes[place][None, :])
        self.bias.assign(offsets[place])

    def label_coordinates(self) -> tf.Tensor:
        """E[z*_j | s = k] under the prior and this head, for every class k: [units].

        It lies inside the region where class k wins, if there is one.
        """
        log_joint = tf.nn.log_softmax(self.read(GRID[:, None])) - 0.5 * GRID[:, None] ** 2
        return tf.linalg.matvec(tf.nn.softmax(log_joint, axis=0), GRID, transpose_a=True)

    def number_coordinate(self, scaled: tf.Tensor) -> tf.Tensor:
        """The z*_j at which the mean of the attribute is `scaled` (any shape)."""
        return (scaled - self.bias[0]) / self.kernel[0, 0]

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {
            **config,
            "units": self.units,
            "dimension": self.dimension,
            "start": self.start,
            "gain": self.starting_gain,
        }

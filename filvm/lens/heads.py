"""The linear models p(s_j|z*) of the lens (sections 2.3 and 2.4 of the report, Figures A7 and A8).

    a label:   p(s = k|z*) = softmax(psi z* + psi_0)_k
    a number:  p(s|z*) = N(psi . z* + psi_0, 1)
    an angle:  p(s|z*) = N(psi z* + psi_0, I), s = sqrt(2) (cos, sin)

In the ILVM a head reads all of z*. In the FILVM a head reads what its attribute owns: one dimension
of z*, or two for an angle. Each value of the attribute has a coordinate on them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from scipy.special import ndtri

# Covers the prior's mass, and resolves class regions with a thousandth of it.
PRIOR_POINTS = np.linspace(-5.0, 5.0, 4001, dtype=np.float32)


def ordered_softmax_start(num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Slopes a and offsets c that give the C classes equal shares of the prior, in order.

        a_k = k - (C - 1)/2,   c_k - c_{k-1} = -t_k,   t_k = Phi^-1(k/C),   sum_k c_k = 0

    The logits of neighbours are equal where a_k z + c_k = a_{k-1} z + c_{k-1}, which is z = t_k.
    Class k is therefore the most probable one between t_k and t_{k+1}.

    Args:
        num_classes: C.

    Returns:
        a and c, float32 [num_classes].
    """
    slopes = np.arange(num_classes) - (num_classes - 1) / 2
    thresholds = ndtri(np.arange(1, num_classes) / num_classes)
    offsets = np.concatenate([[0.0], -np.cumsum(thresholds)])
    return slopes.astype(np.float32), (offsets - offsets.mean()).astype(np.float32)


def chain_of_neighbours(points: np.ndarray) -> np.ndarray:
    """The order of a short path through all points [n, d], as indices [n].

    The path starts as the shortest of the n greedy paths, which begin at each point and always go
    to the nearest point that is left. Then parts of it are reversed while that shortens it (2-opt).
    Reversing path[i:j] changes two steps alone, so all n^2 reversals cost n^2 additions:

        d(p_{i-1}, p_{j-1}) + d(p_i, p_j) - d(p_{i-1}, p_i) - d(p_{j-1}, p_j)

    >>> chain_of_neighbours(np.array([[0.0], [5.0], [1.0], [4.0]])).tolist()
    [0, 2, 3, 1]
    """
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1)
    count = len(points)

    def length(path: np.ndarray) -> float:
        return float(distances[path[:-1], path[1:]].sum())

    def greedy(first: int) -> np.ndarray:
        path, left = [first], np.ones(count, bool)
        left[first] = False
        while len(path) < count:
            path.append(int(np.where(left, distances[path[-1]], np.inf).argmin()))
            left[path[-1]] = False
        return np.array(path)

    best = min((greedy(k) for k in range(count)), key=length)
    ends, starts = np.tril_indices(count + 1, -2)  # j, and i <= j - 2
    padded = np.zeros(
        [count + 1, count + 1]
    )  # with a point at distance 0, at both ends of the path
    padded[:count, :count] = distances
    while len(starts):
        path = np.concatenate([[count], best, [count]])
        before, first, last, after = path[starts], path[starts + 1], path[ends], path[ends + 1]
        change = padded[before, last] + padded[first, after]
        change -= padded[before, first] + padded[last, after]
        largest = int(change.round(12).argmin())
        if change[largest] >= -1e-9:
            break
        i, j = starts[largest], ends[largest]
        best = np.concatenate([best[:i], best[i:j][::-1], best[j:]])
    return best


@keras.utils.register_keras_serializable(package="filvm")
class LinearHead(keras.layers.Layer):
    """z_star [batch, d] -> [batch, units]: the logits of a label, or the mean of a number.

    Args:
        units: number of classes, or 1 for a number.
        dimension: the dimension of z* that the head reads, or the first of `size`; None for all
            (ILVM).
        size: number of dimensions that the head reads, from `dimension` on.
        start: initial values; all of g, a, c, psi are trained.
            "random": Glorot, as in the report. After training, `place_labels` gives every class of
                a label its place on the axis.
            "ordered": for a label, whose classes share one axis,

                logits_k = g (a_k z + c_k),   a, c from `ordered_softmax_start`.

            Gradient descent does not reach steep lines in order from a random start.
            "positive": psi = 1 for a number, so that it rises with z*_j, and the identity for an
                angle.
        gain: initial g.
    """

    def __init__(
        self,
        units: int,
        dimension: int | None = None,
        start: str = "random",
        *,
        size: int = 1,
        gain: float = 30.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if start not in ("random", "ordered", "positive"):
            raise ValueError(f"start is {start!r}; expected 'random', 'ordered' or 'positive'")
        if start != "random" and dimension is None:
            raise ValueError(
                f"dimension is None; expected a dimension of z* for start {start!r}: the head "
                "reads that dimension alone"
            )
        self.units = units
        self.dimension = dimension
        self.size = size
        self.start = start
        self.starting_gain = gain

    def build(self, input_shape: Any) -> None:
        inputs = int(input_shape[-1]) if self.dimension is None else self.size
        kernel, bias = keras.initializers.GlorotUniform(seed=0), keras.initializers.Zeros()
        if self.start == "random":
            kernel = "glorot_uniform"
        elif self.start == "positive":
            kernel = "ones" if self.size == 1 else "identity"
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
        self.places = None
        one_axis = self.dimension is not None and self.size == 1
        if self.start == "random" and one_axis and self.units > 1:
            self.places = self.add_weight("places", [self.units], trainable=False)
            self.placed = self.add_weight("placed", [], initializer="zeros", trainable=False)
        super().build(input_shape)

    def call(self, z_star: tf.Tensor) -> tf.Tensor:
        if self.dimension is not None:
            z_star = z_star[:, self.dimension : self.dimension + self.size]
        return self.read(z_star)

    def read(self, coordinates: tf.Tensor) -> tf.Tensor:
        """The output for the dimensions that the head reads, [batch, size] or all [batch, d]."""
        linear = tf.matmul(coordinates, self.kernel) + self.bias
        return linear if self.gain is None else self.gain * linear

    def put_in_order(self, order: np.ndarray) -> None:
        """Reset the head, with class order[k] between the prior's quantiles k/C and (k + 1)/C."""
        slopes, offsets = ordered_softmax_start(self.units)
        rank = np.argsort(order)
        self.kernel.assign(slopes[rank][None, :])
        self.bias.assign(offsets[rank])

    def place_labels(self, z_star: np.ndarray, labels: np.ndarray) -> None:
        """Place class k at the mean of z*_j over the training samples that have it.

        For a head from a random start, which has `places`: some of its classes have no region, and
        need a place all the same. The regions of a head that started in order are its places.

        Args:
            z_star: [n, d].
            labels: [n], nan where missing. A class without samples is placed at 0.
        """
        own = [z_star[labels == k, self.dimension] for k in range(self.units)]
        self.places.assign([part.mean() if len(part) else 0.0 for part in own])
        self.placed.assign(1.0)

    def label_coordinates(self) -> tf.Tensor:
        """The z*_j of every class k, [units].

        It is the mean over training samples where `place_labels` has set it, and otherwise
        E[z*_j | s = k] under the prior and this head. The latter lies inside the region where class
        k is the most probable one, if that region exists.
        """
        log_joint = (
            tf.nn.log_softmax(self.read(PRIOR_POINTS[:, None])) - 0.5 * PRIOR_POINTS[:, None] ** 2
        )
        expected = tf.linalg.matvec(
            tf.nn.softmax(log_joint, axis=0), PRIOR_POINTS, transpose_a=True
        )
        if self.places is None:
            return expected
        return tf.where(self.placed > 0, self.places, expected)

    def coordinates(self, inputs: tf.Tensor) -> tf.Tensor:
        """The owned dimensions [n, size] of values, given as network inputs [n, units].

        For a number or an angle, there the head's mean is the value; a label (one-hot) has its
        `label_coordinates`.
        """
        if self.size == 2:
            return tf.matmul(inputs - self.bias, tf.linalg.inv(self.kernel))
        if self.units == 1:
            return (inputs - self.bias[0]) / self.kernel[0, 0]
        return tf.linalg.matvec(inputs, self.label_coordinates())[:, tf.newaxis]

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return {
            **config,
            "units": self.units,
            "dimension": self.dimension,
            "size": self.size,
            "start": self.start,
            "gain": self.starting_gain,
        }

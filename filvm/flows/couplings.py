"""A flow of affine couplings, the same for all samples: exact inverse, triangular Jacobian.

    z <- z R_k,    s, t = network_k(kept),    moved <- moved * exp(s) + t
    log |det| = sum of all s

Each coupling moves some dimensions of z by a function of the others, which it keeps (Dinh et al.
2017, arXiv:1605.08803). |s| is bounded, so that the inverse does not lose the digits of a float32.

Each of the first dimensions of the result may be owned by an attribute (a label or a number; an
angle owns two), of which the other dimensions should be independent. There are three groups of
couplings: a few that mix all dimensions; one for each owned dimension, which moves it given all
others; and couplings among the rest, given the owned dimensions, which model the rest of z given
its attributes. The coupling of a label is a classifier, which moves a sample to the place c_k of
its class k:

    s, t_0, logits = network(kept),    t = t_0 + sum_k softmax(a logits)_k c_k

The caller chooses the sharpness a: with a large a, few samples lie between two classes, and T is
steep between them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras
from scipy.stats import ortho_group

BOUND = 1.5  # of |s|
# An owned dimension is moved only once; with ten labels, each class has a twentieth of its spread.
OWNED_BOUND = 3.0


@dataclass(frozen=True)
class Coupling:
    """Moves z[begin:end], scaled by at most e^bound, given the first `settled` attributes."""

    begin: int
    end: int
    bound: float
    settled: int
    classes: int  # of the label that owns the moved dimension; 0 if there is none
    hidden_units: Sequence[int]


class AffineCouplings(keras.layers.Layer):
    """T: [batch, dimensions] -> [batch, dimensions], with its `inverse`.

    Before training, all networks are 0 and T is a rotation, with a shift of each label's dimension
    by the mean place of its classes. It computes in the dtype of its input; in float64, the inverse
    is accurate even where T is steep.

    Args:
        dimensions: number of dimensions, at least 2.
        classes: for each owned dimension, in order, the number of classes of its label; 0 for a
            number, and for each of the two dimensions of an angle.
        read: j, z*_j [batch, 1] -> probabilities of the classes of its label, [batch, classes].
            They are an input of the later networks, which need not learn the steps between classes.
        places: j -> coordinates on dimension j of the classes of its label, [classes].
        num_mixing: number of mixing couplings, each of which moves a quarter of z.
        num_couplings: number of couplings of the rest, each of which moves half of the rest.
        hidden_units: hidden layers of the networks of these couplings.
        owned_units: hidden layers of the networks of owned dimensions.
        seed: seed of the rotations.

    >>> flow = AffineCouplings(4, classes=[0], hidden_units=(8,), owned_units=(8,))
    >>> z_star, log_det, _ = flow(tf.ones([3, 4]))
    >>> bool(tf.reduce_max(tf.abs(flow.inverse(z_star) - 1.0)) < 1e-5)
    True
    """

    def __init__(
        self,
        dimensions: int,
        *,
        classes: Sequence[int] = (),
        read: Callable[[int, tf.Tensor], tf.Tensor] | None = None,
        places: Callable[[int], tf.Tensor] | None = None,
        num_mixing: int = 4,
        num_couplings: int = 6,
        hidden_units: tuple[int, ...] = (256, 256),
        owned_units: tuple[int, ...] = (384, 384),
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        if dimensions < 2:
            raise ValueError(f"dimensions is {dimensions}; expected at least 2")
        if len(classes) > dimensions:
            raise ValueError(f"classes has {len(classes)} entries; expected at most {dimensions}")
        for name, count in (("num_mixing", num_mixing), ("num_couplings", num_couplings)):
            if count < 1:
                raise ValueError(f"{name} is {count!r}; expected at least 1")
        self.dimensions = int(dimensions)
        self.classes = list(classes)
        self.read = read
        self.places = places
        owned = len(self.classes)
        rest = dimensions - owned
        # Moves a quarter of z at a time: three quarters predict the label, half does not.
        quarter, half = max(1, dimensions // 4), max(1, rest // 2)
        mixing = [Coupling(0, quarter, BOUND, 0, 0, hidden_units)] * num_mixing
        owning = [
            Coupling(j, j + 1, OWNED_BOUND, j, count, owned_units)
            for j, count in enumerate(self.classes)
        ]
        # One dimension alone is moved by nothing but the owned ones: once is enough.
        rest_couplings = [Coupling(owned, owned + half, BOUND, owned, 0, hidden_units)]
        rest_couplings *= num_couplings if rest > 1 else rest
        self.couplings = (*mixing, *owning, *rest_couplings)
        self.networks = [self._network(k) for k in range(len(self.couplings))]
        rotations = self._rotations(
            owned, len(mixing), len(rest_couplings), np.random.default_rng(seed)
        )
        # A weight, so that it is saved with the model.
        self.rotations = self.add_weight(
            "rotations",
            rotations.shape,
            initializer=keras.initializers.Constant(rotations),
            trainable=False,
        )

    def _rotations(
        self, owned: int, mixing: int, rest_couplings: int, rng: np.random.Generator
    ) -> np.ndarray:
        """Return one rotation per coupling, [couplings, d, d], of dimensions not yet owned."""
        rotations = np.tile(np.eye(self.dimensions), [len(self.couplings), 1, 1])
        turned = mixing + min(owned, 1)  # mixing couplings, and the first owned dimension
        rotations[:turned] = ortho_group.rvs(self.dimensions, turned, rng).reshape(
            turned, self.dimensions, self.dimensions
        )
        if rest_couplings > 1:
            rest = self.dimensions - owned
            rotations[len(rotations) - rest_couplings :, owned:, owned:] = ortho_group.rvs(
                rest, rest_couplings, rng
            )
        return rotations

    def _network(self, k: int) -> list[tuple[tf.Variable, tf.Variable]]:
        """Return kernel and bias of each layer; as layers, they would be slow to save."""
        coupling = self.couplings[k]
        moved = coupling.end - coupling.begin
        inputs = self.dimensions - moved + sum(self.classes[: coupling.settled])
        widths = [inputs, *coupling.hidden_units, 2 * moved + coupling.classes]
        network = []
        for i, (inputs, units) in enumerate(itertools.pairwise(widths)):
            start = "zeros" if i == len(widths) - 2 else "glorot_uniform"
            kernel = self.add_weight(f"kernel_{k}_{i}", [inputs, units], initializer=start)
            network.append((kernel, self.add_weight(f"bias_{k}_{i}", [units], initializer="zeros")))
        return network

    def _scale_and_shift(
        self, k: int, kept: Sequence[tf.Tensor], read: Sequence[tf.Tensor], sharpness: float
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Return s and t [batch, moved], and the logits of the moved dimension's label, if any.

        `kept` are the dimensions of z that coupling k keeps; `read` what its network gets of the
        labels, `_reading` of each that is settled.
        """
        coupling = self.couplings[k]
        hidden = tf.concat([*kept, *read], axis=1)
        weights = [
            [tf.cast(weight, hidden.dtype) for weight in layer] for layer in self.networks[k]
        ]
        *hidden_layers, (kernel, bias) = weights
        for hidden_kernel, hidden_bias in hidden_layers:
            hidden = tf.nn.relu(tf.matmul(hidden, hidden_kernel) + hidden_bias)
        moved = coupling.end - coupling.begin
        sizes = [moved, moved, coupling.classes]
        s, t, logits = tf.split(tf.matmul(hidden, kernel) + bias, sizes, axis=1)
        if coupling.classes:
            places = tf.cast(tf.stop_gradient(self.places(coupling.begin)), hidden.dtype)
            t += tf.linalg.matvec(tf.nn.softmax(sharpness * logits), places)[:, tf.newaxis]
        return coupling.bound * tf.tanh(s / coupling.bound), t, logits

    def _reading(self, j: int, own: tf.Tensor) -> tf.Tensor:
        """The probabilities [batch, classes] of the label that owns z*_j, own [batch, 1]."""
        return tf.cast(self.read(j, tf.cast(own, tf.float32)), own.dtype)

    def _parts(self, coupling: Coupling, z: tf.Tensor) -> list[tf.Tensor]:
        """The dimensions of z before, in and after the moved ones."""
        begin, end = coupling.begin, coupling.end
        return [z[:, :begin], z[:, begin:end], z[:, end:]]

    def call(
        self, z: tf.Tensor, sharpness: float = 1.0
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """Return T(z) [batch, dimensions], log |det dT/dz| [batch], and logits of each label."""
        all_logits, read = [], []
        log_det = tf.zeros_like(z[:, 0])
        rotations = tf.unstack(tf.cast(self.rotations, z.dtype))
        for k, (coupling, rotation) in enumerate(zip(self.couplings, rotations, strict=True)):
            before, moved, after = self._parts(coupling, tf.matmul(z, rotation))
            s, t, logits = self._scale_and_shift(k, [before, after], read, sharpness)
            moved = moved * tf.exp(s) + t
            if coupling.classes:  # no later coupling moves this dimension
                all_logits.append(logits)
                read.append(self._reading(coupling.begin, moved))
            z = tf.concat([before, moved, after], axis=1)
            log_det += tf.reduce_sum(s, axis=1)
        return z, log_det, all_logits

    def inverse(self, z_star: tf.Tensor, sharpness: float = 1.0) -> tf.Tensor:
        """Return the z with T(z) = z_star, for T with the same sharpness."""
        labels = [j for j, count in enumerate(self.classes) if count]
        read = {j: self._reading(j, z_star[:, j : j + 1]) for j in labels}
        # Not the transposes, which are the inverses to float32 accuracy only; z may be float64.
        rotations = tf.unstack(tf.linalg.inv(tf.cast(self.rotations, z_star.dtype)))
        z = z_star
        for k, coupling in reversed(list(enumerate(self.couplings))):
            before, moved, after = self._parts(coupling, z)
            settled = [read[j] for j in labels if j < coupling.settled]
            s, t, _ = self._scale_and_shift(k, [before, after], settled, sharpness)
            moved = (moved - t) * tf.exp(-s)
            z = tf.matmul(tf.concat([before, moved, after], axis=1), rotations[k])
        return z

"""One flow for all samples, of affine couplings: exact inverse, triangular Jacobian.

    z <- z R_k,    s, t = network_k(kept),    moved <- moved * exp(s) + t
    log |det| = sum of all s

Some dimensions of z are moved, by what the others say, which are kept (Dinh et al. 2017,
arXiv:1605.08803). |s| stays below a bound: what a coupling stretches it can shrink again without
losing the digits of a float32.

The first dimensions of the result may be owned, each by a label or a number that the others are not
to know. Couplings come in three groups, then: a few that mix everything; for each owned dimension
one that moves it alone, given all the others; and couplings of the rest among themselves, given the
owned ones. The last learn what is left of z when its label is known. A label's own coupling is a
classifier, which puts a sample where its class is:

    s, t_0, logits = network(kept),    t = t_0 + sum_k softmax(a logits)_k c_k,    c_k: where k is

The sharpness a is the caller's: the larger it is, the fewer samples lie between two classes, and
the steeper T is between them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

BOUND = 1.5  # of |s|
# An owned dimension is moved but once, and ten labels on it leave each a twentieth of its spread.
OWNED_BOUND = 3.0


@dataclass(frozen=True)
class Coupling:
    """Moves z[begin:end], up to e^bound-fold, knowing what the first `settled` dimensions mean."""

    begin: int
    end: int
    bound: float
    settled: int
    classes: int  # of the label that owns the dimension it moves; 0 if none does
    hidden_units: Sequence[int]


class AffineCouplings(keras.layers.Layer):
    """T: [batch, dimensions] -> [batch, dimensions], one T for all samples; `inverse` undoes it.

    Before training it is a rotation, every network starting at 0; the dimension of a label is
    shifted by the mean place of its classes.

    It computes in the precision of its input: in float64, T is undone where it is steep, too.

    Args:
        dimensions: at least 2.
        classes: of each owned dimension, in order: how many the label that owns it has; 0 if a
            number owns it.
        read: j, z*_j [batch, 1] -> probabilities of the classes of label j there, [batch, classes].
            The later networks are told, for the classes lie there in steps, which every one of them
            would have to learn.
        places: j -> where on dimension j the classes of its label are, [classes].
        num_mixing: couplings before those of the owned dimensions, each a quarter of z.
        num_couplings: couplings of the rest after them, each a half of it.
        hidden_units: of the hidden layers of each of these couplings' networks.
        owned_units: the same, of the couplings of owned dimensions.
        seed: of the rotations.

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
            raise ValueError(f"dimensions is {dimensions}; a coupling moves one by another: >= 2")
        if len(classes) > dimensions:
            raise ValueError(f"{len(classes)} dimensions are owned; there are {dimensions}")
        for name, count in (("num_mixing", num_mixing), ("num_couplings", num_couplings)):
            if count < 1:
                raise ValueError(f"{name} is {count!r}; expected a number >= 1")
        self.dimensions = int(dimensions)
        self.classes = list(classes)
        self.read = read
        self.places = places
        owned = len(self.classes)
        rest = dimensions - owned
        # Of all a quarter: half of z hardly tells a label, three quarters do.
        quarter, half = max(1, dimensions // 4), max(1, rest // 2)
        mixing = [Coupling(0, quarter, BOUND, 0, 0, hidden_units)] * num_mixing
        owning = [
            Coupling(j, j + 1, OWNED_BOUND, j, count, owned_units)
            for j, count in enumerate(self.classes)
        ]
        # One dimension alone is moved by nothing but the owned ones: once is enough.
        of_rest = [Coupling(owned, owned + half, BOUND, owned, 0, hidden_units)]
        of_rest *= num_couplings if rest > 1 else rest
        self.couplings = (*mixing, *owning, *of_rest)
        self.networks = [self._network(k) for k in range(len(self.couplings))]
        rotations = self._rotations(owned, len(mixing), len(of_rest), np.random.default_rng(seed))
        # A weight and no constant: a file has the very numbers that were trained with.
        self.rotations = self.add_weight(
            "rotations",
            rotations.shape,
            initializer=keras.initializers.Constant(rotations),
            trainable=False,
        )

    def _rotations(
        self, owned: int, mixing: int, of_rest: int, rng: np.random.Generator
    ) -> np.ndarray:
        """One for each coupling, [couplings, d, d]; once owned, a dimension is not turned."""
        from scipy.stats import ortho_group  # slow to import, and most flows here do without

        rotations = np.tile(np.eye(self.dimensions), [len(self.couplings), 1, 1])
        turned = mixing + min(owned, 1)  # before the first that is owned, too
        rotations[:turned] = ortho_group.rvs(self.dimensions, turned, rng).reshape(
            turned, self.dimensions, self.dimensions
        )
        if of_rest > 1:
            rest = self.dimensions - owned
            rotations[len(rotations) - of_rest :, owned:, owned:] = ortho_group.rvs(
                rest, of_rest, rng
            )
        return rotations

    def _network(self, k: int) -> list[tuple[tf.Variable, tf.Variable]]:
        """Kernel and bias of each layer. Plain weights: a file of many small models is slow."""
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
        self, k: int, z: tf.Tensor, sharpness: float
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """s and t [batch, moved], and the logits of the label whose dimension is moved, if any."""

        def alike(tensor: tf.Tensor) -> tf.Tensor:
            return tf.cast(tensor, z.dtype)

        coupling = self.couplings[k]
        read = [
            alike(self.read(j, tf.cast(z[:, j : j + 1], tf.float32)))
            for j, count in enumerate(self.classes[: coupling.settled])
            if count
        ]
        hidden = tf.concat([z[:, : coupling.begin], z[:, coupling.end :], *read], axis=1)
        *hidden_layers, (kernel, bias) = self.networks[k]
        for hidden_kernel, hidden_bias in hidden_layers:
            hidden = tf.nn.relu(tf.matmul(hidden, alike(hidden_kernel)) + alike(hidden_bias))
        moved = coupling.end - coupling.begin
        sizes = [moved, moved, coupling.classes]
        s, t, logits = tf.split(tf.matmul(hidden, alike(kernel)) + alike(bias), sizes, axis=1)
        if coupling.classes:
            places = alike(tf.stop_gradient(self.places(coupling.begin)))
            t += tf.linalg.matvec(tf.nn.softmax(sharpness * logits), places)[:, tf.newaxis]
        return coupling.bound * tf.tanh(s / coupling.bound), t, logits

    def call(
        self, z: tf.Tensor, sharpness: float = 1.0
    ) -> tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]:
        """z -> T(z) [batch, dimensions], log |det dT/dz| [batch], logits of each owning label."""
        guesses = []
        log_det = tf.zeros_like(z[:, 0])
        for k, coupling in enumerate(self.couplings):
            z = tf.matmul(z, tf.cast(self.rotations[k], z.dtype))
            s, t, logits = self._scale_and_shift(k, z, sharpness)
            guesses += [logits] if coupling.classes else []
            moved = z[:, coupling.begin : coupling.end] * tf.exp(s) + t
            z = tf.concat([z[:, : coupling.begin], moved, z[:, coupling.end :]], axis=1)
            log_det += tf.reduce_sum(s, axis=1)
        return z, log_det, guesses

    def inverse(self, z_star: tf.Tensor, sharpness: float = 1.0) -> tf.Tensor:
        """The z with T(z) = z_star, T of the same sharpness."""
        z = z_star
        for k, coupling in reversed(list(enumerate(self.couplings))):
            s, t, _ = self._scale_and_shift(k, z, sharpness)
            moved = (z[:, coupling.begin : coupling.end] - t) * tf.exp(-s)
            z = tf.concat([z[:, : coupling.begin], moved, z[:, coupling.end :]], axis=1)
            # Not by the transpose: a rotation of float32 is one to seven digits, z may have more.
            z = tf.matmul(z, tf.linalg.inv(tf.cast(self.rotations[k], z.dtype)))
        return z

"""A lens with an exact inverse: z* = T(z), one invertible flow T for all samples.

The flows of ILVM and FILVM have parameters of the sample's own. An edited z* does not determine the
flows of the way back, so those models need a generative network (section 6 of the report). Here T
is the same for every z, and T^-1 generates. The loss is

    - log N(T(z); 0, I) - log |det dT/dz| - sum_j lambda_j log p(s_j|z*_j)

plus swap consistency and the cross-entropy of the classifiers inside T, each with its weight.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tf_keras as keras

from filvm.data.side_information import (
    Attribute,
    Categorical,
    Circular,
    Continuous,
    num_owned,
    owned_slices,
)
from filvm.flows.couplings import AffineCouplings
from filvm.lens.attributes import fill_missing
from filvm.lens.base import Lens
from filvm.lens.heads import LinearHead, chain_of_neighbours
from filvm.lens.objective import (
    known_losses,
    standard_normal_log_prob,
    swap_attributes,
    swap_losses,
)
from filvm.vae.elbo import batch_noise
from filvm.vae.model import batch_mean
from filvm.vae.sizes import check_at_least, check_sizes, size_list


@keras.utils.register_keras_serializable(package="filvm")
class InvertibleLens(Lens):
    """z* = T(z), z = T^-1(z*), and attribute j read from z*_j alone by a linear head.

    An angle has two dimensions of z* in place of one.

    z* is a function of z alone: side information is for training, and a missing value drops its
    term of the loss. The heads are those of the `FILVM`. As there, the secondary network, held
    fixed, tests generated latents. The classes of a label lie on their axis as a chain of
    neighbours: T is continuous, so between a 4 and a similar 9, z*_0 passes every class that lies
    between them.

    Args:
        num_mixing: couplings of T (`AffineCouplings`) before those of the owned dimensions.
        num_couplings: couplings of the other dimensions, after them. Like the generative network of
            the `FILVM`, they get the softmax of the labels' heads, so that they need not learn a
            step function.
        coupling_units: sizes of the hidden layers of these couplings' networks.
        attribute_units: the same for the couplings of the owned dimensions.
        swap_weight: weight of swap consistency, as in the `FILVM`. 0 is off. Half of each batch are
            requests: every z*_j is the coordinate of another sample's s_j, and the other dimensions
            are drawn from N(0, I), as in `sample`.
        swap_warmup: number of steps over which that weight rises from 0. At the first steps the
            secondary network does not read and T is a rotation, so the loss would ruin T.
        coupling_weight: weight of -log p(s_j|.) of the labels for the couplings of their
            dimensions, which are classifiers. Through the single number z*_j they would learn
            slowly.
        label_sharpness: factor of these classifiers' logits in use; in training it is 1. The
            cross-entropy of the head places a doubtful 2 or 7 between the two, where the head reads
            neither; a softmax that is sharp in training has small gradients. 1 is off.
        kwargs: of `Lens`. All losses are of latents with `latent_noise`, so that the flow learns a
            density and not single points.

    >>> import numpy as np
    >>> from filvm.data.side_information import Categorical, Continuous
    >>> lens = InvertibleLens(4, [Categorical("digit", 10), Continuous("thickness")])
    >>> z = np.ones([3, 4], np.float32)
    >>> bool(np.abs(lens.generate(lens.infer(z)) - z).max() < 1e-5)
    True
    """

    default_weights: ClassVar = {Categorical: 20.0, Continuous: 50.0, Circular: 50.0}
    own_settings: ClassVar = (
        "num_mixing",
        "num_couplings",
        "coupling_units",
        "attribute_units",
        "swap_weight",
        "swap_warmup",
        "coupling_weight",
        "label_sharpness",
    )
    # Where T is steep, as between labels, float32 has too few digits to recover z from z*.
    precision: ClassVar[Any] = np.float64

    def __init__(
        self,
        latent_dim: int,
        side_information: Sequence[Attribute],
        *,
        num_mixing: int = 4,
        num_couplings: int = 6,
        coupling_units: Sequence[int] = (256, 256),
        attribute_units: Sequence[int] = (384, 384),
        swap_weight: float = 3.0,
        swap_warmup: int = 1000,
        coupling_weight: float = 30.0,
        label_sharpness: float = 3.0,
        latent_noise: float = 0.05,
        **kwargs: Any,
    ) -> None:
        super().__init__(latent_dim, side_information, latent_noise=latent_noise, **kwargs)
        check_sizes(num_mixing=num_mixing, num_couplings=num_couplings)
        self.num_mixing = num_mixing
        self.num_couplings = num_couplings
        self.coupling_units = size_list("coupling_units", coupling_units)
        self.attribute_units = size_list("attribute_units", attribute_units)
        check_at_least("swap_weight", swap_weight, 0)
        self.swap_weight = swap_weight
        check_at_least("swap_warmup", swap_warmup, 0)
        self.swap_warmup = swap_warmup
        check_at_least("coupling_weight", coupling_weight, 0)
        self.coupling_weight = coupling_weight
        check_at_least("label_sharpness", label_sharpness, 1)
        self.label_sharpness = label_sharpness
        self.heads = [
            LinearHead(
                attribute.width,
                own.start,
                "ordered" if isinstance(attribute, Categorical) else "positive",
                size=attribute.dimensions,
                gain=8.0,  # T starts as a rotation and cannot learn steeper steps
                dtype="float32",
                name=f"p_{attribute.key}",
            )
            for attribute, own in zip(self.attributes, owned_slices(self.attributes), strict=True)
        ]
        # Of each owned dimension; the label of dimension j is read by the head at dimension j.
        classes = [
            attribute.width if isinstance(attribute, Categorical) else 0
            for attribute in self.attributes
            for _ in range(attribute.dimensions)
        ]
        heads = {head.dimension: head for head in self.heads}
        self.flow = AffineCouplings(
            self.latent_dim,
            classes=classes,
            read=lambda j, own: tf.nn.softmax(heads[j].read(own)),
            places=lambda j: heads[j].label_coordinates(),
            num_mixing=num_mixing,
            num_couplings=num_couplings,
            hidden_units=coupling_units,
            owned_units=attribute_units,
            seed=self.seed,
            dtype="float32",
        )
        self.secondary_recognition = self.secondary_network()
        self.trackers = [keras.metrics.Mean(name=name) for name in self.loss_names()]
        # Sets the shapes in Keras: first of the heads, which the flow calls.
        self.read(np.zeros([1, self.latent_dim]))
        self(tf.zeros([1, self.latent_dim]))

    def _set_units(self, z: np.ndarray, side: np.ndarray) -> None:
        fresh = not self.adapted.numpy()
        super()._set_units(z, side)
        z = self.standardise(z).numpy()
        for head, attribute, labels in zip(self.heads, self.attributes, side.T, strict=True):
            if fresh and isinstance(attribute, Categorical):
                # A class without samples has the mean of all samples as its centre.
                classes = [z[labels == k] for k in range(attribute.num_classes)]
                centers = [part.mean(axis=0) if len(part) else z.mean(axis=0) for part in classes]
                head.put_in_order(chain_of_neighbours(np.array(centers)))

    def loss_names(self) -> list[str]:
        """The metrics: `loss`, the flow's part, and every attribute's, by head and by network."""
        names = ["loss", "log_prior", "log_det", *(f"head_{name}" for name in self.keys)]
        names += [f"coupling_{a.key}" for a in self.attributes if isinstance(a, Categorical)]
        names += [f"secondary_{name}" for name in self.keys]
        return names + ([f"swap_{name}" for name in self.keys] if self.swap_weight else [])

    @property
    def lens_variables(self) -> list[tf.Variable]:
        """The variables that `lens_loss` trains."""
        heads = [variable for head in self.heads for variable in head.trainable_variables]
        return [*self.flow.trainable_variables, *heads]

    def batch_losses(
        self, z: tf.Tensor, side: tf.Tensor, seed: tf.Tensor, weights: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        attributes = self.attributes
        z = tf.cast(self.standardise(z), tf.float32)
        z += self.latent_noise * batch_noise(tf.random.stateless_normal, z, seed)
        z_star, log_det, logits = self.flow(z)
        known = self.network_inputs(side)
        losses = {
            "log_prior": batch_mean(standard_normal_log_prob(z_star), weights),
            "log_det": batch_mean(log_det, weights),
        }
        total = -losses["log_prior"] - losses["log_det"]
        read = [head(z_star) for head in self.heads]
        losses.update(known_losses(attributes, known, read, "head", weights))
        for name, weight in self.weights_by_key.items():
            total += weight * losses[f"head_{name}"]
        label_logits = iter(logits)
        logits = [next(label_logits) if isinstance(a, Categorical) else None for a in attributes]
        classified = known_losses(attributes, known, logits, "coupling", weights)
        losses.update(classified)
        total += self.coupling_weight * sum(classified.values())
        outputs = self.secondary_outputs(z)
        if self.swap_weight:
            encoded = fill_missing(attributes, known, outputs, seed)
            generated = self.flow.inverse(self.requests_and_swaps(z_star, encoded, seed))
            swaps = swap_losses(attributes, encoded, self.secondary_outputs(generated), weights)
            losses.update(swaps)
            total += self.swap_weight_at(seed[1]) * tf.add_n(list(swaps.values()))
        losses["lens_loss"] = total
        secondary = known_losses(attributes, known, outputs, "secondary", weights)
        losses.update(secondary)
        losses["secondary_loss"] = tf.add_n(list(secondary.values()))
        losses["loss"] = losses["lens_loss"] + losses["secondary_loss"]
        return losses

    def requests_and_swaps(
        self, z_star: tf.Tensor, encoded: Sequence[tf.Tensor], seed: tf.Tensor
    ) -> tf.Tensor:
        """z* [n, d] for swap consistency: requests in the first half, swaps in the second.

        In both, z*_j belongs to the sample of row j + 1 before (`swap_attributes`). A request has
        the coordinate of its s_j in place of its z*_j, and draws from N(0, I) in the dimensions
        that no attribute owns.
        """
        owned = [
            tf.stop_gradient(tf.roll(head.coordinates(inputs), j + 1, axis=0))
            for j, (head, inputs) in enumerate(zip(self.heads, encoded, strict=True))
        ]
        free = z_star[:, num_owned(self.attributes) :]
        noise = batch_noise(tf.random.stateless_normal, free, seed + tf.constant([0, 2**28]))
        requests = tf.concat([*owned, noise], axis=1)
        half = (tf.shape(z_star)[0] + 1) // 2
        swaps = swap_attributes(z_star, self.attributes)
        return tf.concat([requests[:half], swaps[half:]], axis=0)

    def swap_weight_at(self, step: tf.Tensor) -> tf.Tensor:
        """swap_weight * min(1, step / swap_warmup); `swap_weight` in evaluation, where step < 0."""
        risen = tf.minimum(1.0, tf.cast(step, tf.float32) / max(self.swap_warmup, 1))
        return self.swap_weight * tf.where(step < 0, 1.0, risen)

    # z <-> z*, computed in double precision; the result has the precision of the input.

    def infer_tensors(
        self, z: tf.Tensor, side: tf.Tensor, seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        """T(z), for any side information. With a seed, T of z with the noise of training."""
        z = self.standardise(z)
        if seed is not None:
            z += self.latent_noise * batch_noise(tf.random.stateless_normal, z, seed)
        z_star = self.flow(tf.cast(z, tf.float64), self.label_sharpness)[0]
        return tf.cast(z_star, z.dtype)

    def generate_tensors(self, z_star: tf.Tensor) -> tf.Tensor:
        z_star = tf.convert_to_tensor(z_star)
        z = self.flow.inverse(tf.cast(z_star, tf.float64), self.label_sharpness)
        return self.restore(tf.cast(z, z_star.dtype))

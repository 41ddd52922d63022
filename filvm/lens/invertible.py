"""A lens that can be undone: z* = T(z), one invertible flow T for all samples.

The flows of ILVM and FILVM have parameters of the sample's own, so an edited z* does not know which
flows to go back through, and a generative network has to stand in (section 6 of the report). Here T
is the same for every z, and generating is T^-1. To be minimised:

    - log N(T(z); 0, I) - log |det dT/dz| - sum_j lambda_j log p(s_j|z*_j)

and, with weights of their own, swap consistency and what the classifiers in T say of labels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tf_keras as keras

from filvm.data.side_information import Attribute, Categorical, Continuous
from filvm.flows.couplings import AffineCouplings
from filvm.lens.base import Lens, check_at_least
from filvm.lens.heads import LinearHead, chain_of_neighbours
from filvm.lens.objective import standard_normal_log_prob
from filvm.vae.base import batch_noise


@keras.utils.register_keras_serializable(package="filvm")
class InvertibleLens(Lens):
    """z* = T(z), z = T^-1(z*), and attribute j read from z*_j alone by a linear head.

    Side information is for training only: z* is a function of z. A missing value drops its term of
    the objective. The heads are those of the `FILVM`, and as there the secondary network, held
    fixed, judges what is generated. A label's classes lie on their axis as a chain of neighbours: T
    is continuous, so on the way from a 4 to a 9 of similar looks z*_0 passes all that is between.

    Args:
        num_mixing: couplings of T, an `AffineCouplings`, before those of the dimensions that
            attributes own.
        num_couplings: those of the other dimensions, after them. As the generative network of the
            `FILVM`, they are told what the heads of labels read, a softmax in place of a staircase.
        coupling_units: of the hidden layers of these couplings' networks.
        attribute_units: the same, of the couplings of the attributes' dimensions.
        swap_weight: weight of swap consistency, as in the `FILVM`. 0 is off.
        coupling_weight: weight of -log p(s_j|.) for labels by the couplings of their dimensions,
            which are classifiers: through the one number z*_j alone they would learn it slowly.
        label_sharpness: of these classifiers' softmax in use; in training it is 1. The head's
            cross-entropy wants a doubtful 2 or 7 in between, where neither is read; a softmax that
            is sharp from the start leaves little to learn from. 1 is off.
        kwargs: those of `Lens`. All of training is on latents with `latent_noise`, for the flow to
            learn a density and not its points.

    >>> import numpy as np
    >>> from filvm.data.side_information import Categorical, Continuous
    >>> lens = InvertibleLens(4, [Categorical("digit", 10), Continuous("thickness")])
    >>> z = np.ones([3, 4], np.float32)
    >>> bool(np.abs(lens.generate(lens.infer(z)) - z).max() < 1e-5)
    True
    """

    default_weights: ClassVar = {Categorical: 20.0, Continuous: 50.0}
    # Where T is steep, as between labels, a z of float32 has too few digits to be found again.
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
        coupling_weight: float = 5.0,
        label_sharpness: float = 1.5,
        latent_noise: float = 0.05,
        **kwargs: Any,
    ) -> None:
        super().__init__(latent_dim, side_information, latent_noise=latent_noise, **kwargs)
        self.num_mixing = num_mixing
        self.num_couplings = num_couplings
        self.coupling_units = list(coupling_units)
        self.attribute_units = list(attribute_units)
        check_at_least("swap_weight", swap_weight, 0)
        self.swap_weight = swap_weight
        check_at_least("coupling_weight", coupling_weight, 0)
        self.coupling_weight = coupling_weight
        check_at_least("label_sharpness", label_sharpness, 1)
        self.label_sharpness = label_sharpness
        self.heads = [
            LinearHead(
                attribute.width,
                j,
                "ordered" if isinstance(attribute, Categorical) else "positive",
                gain=8.0,  # a flow starts as a rotation: to steeper steps it would find no way
                name=f"p_{attribute.name}",
            )
            for j, attribute in enumerate(self.attributes)
        ]
        self.flow = AffineCouplings(
            self.latent_dim,
            classes=[a.width if isinstance(a, Categorical) else 0 for a in self.attributes],
            read=lambda j, own: tf.nn.softmax(self.heads[j].read(own)),
            places=lambda j: self.heads[j].label_coordinates(),
            num_mixing=num_mixing,
            num_couplings=num_couplings,
            hidden_units=coupling_units,
            owned_units=attribute_units,
            seed=self.seed,
        )
        self.secondary_recognition = self._secondary_recognition_network()
        self.trackers = [keras.metrics.Mean(name=name) for name in self.loss_names()]
        # Lets Keras know the shapes; the flow asks the heads.
        self.read(np.zeros([1, self.latent_dim]))
        self(tf.zeros([1, self.latent_dim]))

    def _set_scaling(self, z: np.ndarray, side: np.ndarray) -> None:
        fresh = not self.adapted.numpy()
        super()._set_scaling(z, side)
        z = self.standardise(z).numpy()
        for head, attribute, labels in zip(self.heads, self.attributes, side.T, strict=True):
            if fresh and isinstance(attribute, Categorical):
                # A class nobody has seen goes where the mean of all is.
                of_class = [z[labels == k] for k in range(attribute.num_classes)]
                centers = [part.mean(axis=0) if len(part) else z.mean(axis=0) for part in of_class]
                head.put_in_order(chain_of_neighbours(np.array(centers)))

    def loss_names(self) -> list[str]:
        """The metrics: `loss`, the flow's part, and every attribute's, by head and by network."""
        names = ["loss", "log_prior", "log_det", *(f"head_{name}" for name in self.names)]
        names += [f"coupling_{a.name}" for a in self.attributes if isinstance(a, Categorical)]
        names += [f"secondary_{name}" for name in self.names]
        return names + ([f"swap_{name}" for name in self.names] if self.swap_weight else [])

    def losses_of(self, z: tf.Tensor, side: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        z = self.standardise(z)
        z += self.latent_noise * batch_noise(tf.random.stateless_normal, z, seed)
        z_star, log_det, guesses = self.flow(z)
        losses = {
            "log_prior": tf.reduce_mean(standard_normal_log_prob(z_star)),
            "log_det": tf.reduce_mean(log_det),
        }
        total = -losses["log_prior"] - losses["log_det"]
        losses.update(self.known_losses(side, self.head_outputs(z_star), "head"))
        for name, weight in self.attribute_weights.items():
            total += weight * losses[f"head_{name}"]
        guess = iter(guesses)
        guessed = [next(guess) if isinstance(a, Categorical) else None for a in self.attributes]
        classified = self.known_losses(side, guessed, "coupling")
        losses.update(classified)
        total += self.coupling_weight * sum(classified.values())
        outputs = self.secondary_outputs(z)
        if self.swap_weight:
            completed = self.completed(side, outputs, seed)
            swapped = self.swap_losses(z_star, completed, self.flow.inverse)
            losses.update(swapped)
            total += self.swap_weight * tf.add_n(list(swapped.values()))
        losses["lens_loss"] = total
        secondary = self.known_losses(side, outputs, "secondary")
        losses.update(secondary)
        losses["secondary_loss"] = tf.add_n(list(secondary.values()))
        losses["loss"] = losses["lens_loss"] + losses["secondary_loss"]
        return losses

    def head_outputs(self, z_star: tf.Tensor) -> list[tf.Tensor]:
        """z* -> for every attribute its logits [n, classes] or scaled mean [n, 1]."""
        return [head(z_star) for head in self.heads]

    def objectives(
        self, losses: Mapping[str, tf.Tensor]
    ) -> list[tuple[tf.Tensor, list[tf.Variable]]]:
        lens = [*self.flow.trainable_variables]
        for head in self.heads:
            lens += head.trainable_variables
        secondary = self.secondary_recognition.trainable_variables
        return [(losses["lens_loss"], lens), (losses["secondary_loss"], secondary)]

    # z <-> z*, computed in double precision; the answer has the precision of what was asked.

    def infer_standardised(
        self, z: tf.Tensor, side: tf.Tensor, seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        """T(z), whatever is known of s. With a seed, of z with the noise of training."""
        if seed is not None:
            z += self.latent_noise * batch_noise(tf.random.stateless_normal, z, seed)
        z_star = self.flow(tf.cast(z, tf.float64), self.label_sharpness)[0]
        return tf.cast(z_star, z.dtype)

    def generate_standardised(self, z_star: tf.Tensor) -> tf.Tensor:
        z_star = tf.convert_to_tensor(z_star)
        z = self.flow.inverse(tf.cast(z_star, tf.float64), self.label_sharpness)
        return tf.cast(z, z_star.dtype)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_mixing": self.num_mixing,
            "num_couplings": self.num_couplings,
            "coupling_units": self.coupling_units,
            "attribute_units": self.attribute_units,
            "swap_weight": self.swap_weight,
            "coupling_weight": self.coupling_weight,
            "label_sharpness": self.label_sharpness,
        }

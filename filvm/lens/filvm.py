"""The report's FILVM, in which attribute j is read from z*_j alone, and amendments to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

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
from filvm.lens.heads import LinearHead
from filvm.lens.ilvm import ILVM, report_terms
from filvm.lens.objective import (
    aggregate_mismatch,
    free_dependence,
    known_losses,
    reverse_gradient,
    swap_attributes,
    swap_losses,
)
from filvm.vae.sizes import check_at_least


@keras.utils.register_keras_serializable(package="filvm")
class FILVM(ILVM):
    """The fixed interpretable lens variable model (section 2.4; Figure A7), and five amendments.

    Head j reads z*_j alone, so dimension j represents attribute j. The amendments go beyond the
    report, and each has a switch:

    Args:
        ordered_softmax: the head of a label starts with its classes in order along z*_j,
            logits_k = g (a_k z*_j + c_k), class k most probable between the prior's quantiles k/C
            and (k + 1)/C (`filvm.lens.heads.ordered_softmax_start`).
        informed_generative: the generative network also gets the heads' outputs,
            g(z*, softmax(head_0(z*_0)), head_1(z*_1), ...). It is still a function of z* alone, but
            need not learn a step function, and the other dimensions need not carry the label.
        swap_weight: weight of swap consistency. Each sample gets z*_j of another sample, z is
            generated, and the secondary network, held fixed, must give the other's s_j:
            - swap_weight * sum_j log q(s_j' | z = g(z* with z*_j' in place of z*_j)). 0 is off.
        positive_slopes: the head of a number starts with slope 1, so that it rises with z*_j.
        independence_weight: weight of the dependence between side information and the dimensions
            that no attribute owns (`filvm.lens.objective.free_dependence`), both for draws from
            q(z*|z, s) and for its centres, which `infer` returns. It removes the information of a
            label from those dimensions. 0 is off.

    Two more are off by default. With them, p(z|z*) can be sharp, so that less of z is lost on the
    way back (`sharp_recipe`):

    Args:
        critic_weight: a critic network reads the attributes off the dimensions that no attribute
            owns, of draws and of centres, and the recognition network learns to prevent it: the
            critic's gradient reaches it with the factor -critic_weight
            (`filvm.lens.objective.reverse_gradient`). A critic sees more than the dependence does.
        aggregate_weight: weight of the distance between the aggregate of the draws, in these
            dimensions, and the prior that `sample` draws from
            (`filvm.lens.objective.aggregate_mismatch`).

    The other arguments are those of `ILVM`. `FILVM.report_recipe` is the report's FILVM.
    """

    default_weights: ClassVar = {Categorical: 30.0, Continuous: 60.0, Circular: 60.0}
    own_settings: ClassVar = (
        *ILVM.own_settings,
        "ordered_softmax",
        "informed_generative",
        "swap_weight",
        "positive_slopes",
        "independence_weight",
        "critic_weight",
        "aggregate_weight",
    )

    def __init__(
        self,
        latent_dim: int,
        side_information: Sequence[Attribute],
        *,
        ordered_softmax: bool = True,
        informed_generative: bool = True,
        swap_weight: float = 25.0,
        positive_slopes: bool = True,
        independence_weight: float = 150.0,
        critic_weight: float = 0.0,
        aggregate_weight: float = 0.0,
        **kwargs: Any,
    ) -> None:
        check_at_least("swap_weight", swap_weight, 0)
        check_at_least("independence_weight", independence_weight, 0)
        check_at_least("critic_weight", critic_weight, 0)
        check_at_least("aggregate_weight", aggregate_weight, 0)
        self.ordered_softmax = ordered_softmax
        self.informed_generative = informed_generative
        self.swap_weight = swap_weight
        self.positive_slopes = positive_slopes
        self.independence_weight = independence_weight
        self.critic_weight = critic_weight
        self.aggregate_weight = aggregate_weight
        super().__init__(latent_dim, side_information, **kwargs)
        if self._uses("critic_weight"):
            free = self.latent_dim - num_owned(self.attributes)
            self.critic = self.reading_network(free, "free", "critic")

    @classmethod
    def report_recipe(
        cls,
        latent_dim: int,
        side_information: Sequence[Attribute],
        *,
        beta: float = 0.1,
        scaling: float = 3.0,
        **kwargs: Any,
    ) -> FILVM:
        """The report's FILVM, without amendments. Call `place_labels` after training.

        Args:
            latent_dim, side_information: as of the class.
            beta, scaling: of `report_terms`. Section 6: both were tuned for every data set.
            kwargs: of the class.
        """
        plain = {
            "ordered_softmax": False,
            "informed_generative": False,
            "swap_weight": 0.0,
            "positive_slopes": False,
            "independence_weight": 0.0,
            "critic_weight": 0.0,
            "aggregate_weight": 0.0,
            **report_terms(latent_dim, side_information, beta, scaling),
        }
        return cls(latent_dim, side_information, **{**plain, **kwargs})

    @classmethod
    def sharp_recipe(
        cls, latent_dim: int, side_information: Sequence[Attribute], **kwargs: Any
    ) -> FILVM:
        """An FILVM whose way back is sharp: it keeps more of z, and makes fewer prototypes.

        A critic in place of the dependence, a small variance of p(z|z*), and an aggregate like the
        prior. It needs about twice as many steps as the defaults; docs/your_own_data.md compares.

        Args:
            latent_dim, side_information, kwargs: of the class.
        """
        sharp = {
            "latent_variance": 0.01,
            "swap_weight": 100.0,
            "independence_weight": 0.0,
            "critic_weight": 20.0,
            "aggregate_weight": 10.0,
        }
        return cls(latent_dim, side_information, **{**sharp, **kwargs})

    def _linear_heads(self) -> list[LinearHead]:
        heads = []
        for attribute, own in zip(self.attributes, owned_slices(self.attributes), strict=True):
            if isinstance(attribute, Categorical):
                start = "ordered" if self.ordered_softmax else "random"
            else:
                start = "positive" if self.positive_slopes else "random"
            name, size = f"p_{attribute.key}", attribute.dimensions
            heads.append(
                LinearHead(attribute.width, own.start, start, size=size, dtype="float32", name=name)
            )
        return heads

    def _generative_input(self, z_star: tf.Tensor, read: list[tf.Tensor]) -> tf.Tensor:
        if not self.informed_generative:
            return z_star
        inputs = [
            keras.layers.Softmax(dtype="float32", name=f"read_{attribute.key}")(output)
            if isinstance(attribute, Categorical)
            else output
            for attribute, output in zip(self.attributes, read, strict=True)
        ]
        return keras.layers.Concatenate(name="z_star_and_read")([z_star, *inputs])

    def loss_names(self) -> list[str]:
        """The metrics of `ILVM`, and those of the amendments."""
        swaps = [f"swap_{name}" for name in self.keys] if self.swap_weight else []
        names = super().loss_names() + swaps
        names += ["dependence"] if self._uses("independence_weight") else []
        names += [f"critic_{name}" for name in self.keys] if self._uses("critic_weight") else []
        return names + (["aggregate"] if self._uses("aggregate_weight") else [])

    def _uses(self, weight: str) -> bool:
        """Whether a weight of the dimensions that no attribute owns has an effect."""
        return getattr(self, weight) > 0 and self.latent_dim > num_owned(self.attributes)

    @property
    def lens_variables(self) -> list[tf.Variable]:
        """Those of an `ILVM`, and the critic's."""
        critic = self.critic.trainable_variables if self._uses("critic_weight") else []
        return super().lens_variables + critic

    def penalties(
        self,
        terms: dict[str, tf.Tensor],
        encoded: Sequence[tf.Tensor],
        weights: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The amendments' losses: their weighted sum, and each by name."""
        total, losses = tf.zeros([]), {}
        if self.swap_weight:
            swapped = swap_attributes(terms["z_star"], self.attributes)
            outputs = self.secondary_outputs(self.generative(swapped)[0])
            losses.update(swap_losses(self.attributes, encoded, outputs, weights))
            total += self.swap_weight * tf.add_n(list(losses.values()))
        free = tf.stack([terms["z_star"], terms["center"]])[..., num_owned(self.attributes) :]
        if weights is not None:  # codes of samples that do not count may be infinite
            free = tf.where(weights[:, tf.newaxis] > 0, free, 0.0)
        if self._uses("independence_weight"):
            losses["dependence"] = free_dependence(self.attributes, free, encoded, weights)
            total += self.independence_weight * losses["dependence"]
        if self._uses("critic_weight"):
            critic = self._critic_losses(free, encoded, weights)
            losses.update(critic)
            loss = tf.add_n(list(critic.values()))
            total += loss - tf.stop_gradient(loss)  # its gradient alone: no part of the loss
        if self._uses("aggregate_weight"):
            losses["aggregate"] = aggregate_mismatch(free[0], weights)
            total += self.aggregate_weight * losses["aggregate"]
        return total, losses

    def _critic_losses(
        self, free: tf.Tensor, encoded: Sequence[tf.Tensor], weights: tf.Tensor | None
    ) -> dict[str, tf.Tensor]:
        """Mean of -log p(s_j|free dimensions) by the critic, over both codes: `free` [2, n, f]."""
        rows = tf.reshape(free, [-1, free.shape[-1]])
        read = tf.nest.flatten(self.critic(reverse_gradient(rows, self.critic_weight)))
        known = tf.fill([tf.shape(rows)[0], 1], True)
        twice = [(tf.tile(inputs, [2, 1]), known) for inputs in encoded]
        weights = None if weights is None else tf.tile(weights, [2])
        return known_losses(self.attributes, twice, read, "critic", weights)

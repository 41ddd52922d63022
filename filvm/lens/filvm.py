"""Lens models: from the latents z of a trained VAE to z*, whose dimensions mean something.

A lens has a recognition model q(z*|z, s), a generative model p(z|z*), and a linear model p(s|z*) of
the side information s (sections 2.3 and 2.4 of the report, Figures A5-A8; arXiv:1807.11143). It
maximises equation (8), which is in `filvm.lens.objective`:

    z_0 ~ q0 = N(mean, diag exp log_var),   z* = z_K = T_K(... T_1(z_0)),   T_k planar flows,
    mean, log_var, w, u, b = recognition(z, s)

Where s is not known, a secondary recognition network's approximation of q(s|z) stands in.
`ILVM` predicts every attribute from all of z*, `FILVM` attribute j from z*_j alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import tensorflow as tf
import tf_keras as keras

from filvm.data.side_information import Attribute, Categorical, Continuous
from filvm.flows.posterior import PlanarFlows
from filvm.lens.base import Lens, check_at_least
from filvm.lens.heads import LinearHead
from filvm.lens.objective import (
    base_log_prob,
    dependence,
    gaussian_kernel,
    objective,
    spread,
    standard_normal_log_prob,
)
from filvm.vae.base import batch_noise, gaussian_log_likelihood, sample_gaussian


@keras.utils.register_keras_serializable(package="filvm")
class ILVM(Lens):
    """The interpretable lens variable model (section 2.3; Figures A5, A6 and A8).

    Args:
        latent_dim: of z and z*.
        side_information: the attributes; for an `FILVM`, attribute j owns z*_j.
        num_flows: K planar flows.
        beta: weight of the KL part of equation (8).
        latent_variance: of the Gaussian p(z|z*), in standardised units.
        kwargs: those of `Lens`. Only the secondary network trains with `latent_noise`: it counts
            where few labels are known.

    Networks, each a functional model:
        recognition: z, s -> mean and log_var [d], w and u [K * d], b [K].
        secondary_recognition: z -> logits or scaled mean of every attribute.
        generative: z* -> z, and logits or scaled mean of every attribute.

    >>> import numpy as np
    >>> from filvm.data.side_information import Categorical, Continuous
    >>> lens = ILVM(4, [Categorical("digit", 10), Continuous("thickness")])
    >>> lens.infer(np.zeros([3, 4])).shape
    (3, 4)
    """

    def __init__(
        self,
        latent_dim: int,
        side_information: Sequence[Attribute],
        *,
        num_flows: int = 5,
        beta: float = 1.0,
        latent_variance: float = 0.05,
        **kwargs: Any,
    ) -> None:
        super().__init__(latent_dim, side_information, **kwargs)
        check_at_least("num_flows", num_flows, 1)
        check_at_least("beta", beta, 0)
        check_at_least("latent_variance", latent_variance, 1e-8)
        self.num_flows = num_flows
        self.beta = beta
        self.latent_variance = latent_variance
        self.flows = PlanarFlows(num_flows)
        self.recognition = self._recognition_network()
        self.secondary_recognition = self._secondary_recognition_network()
        self.heads = self._linear_heads()
        self.generative = self._generative_network()
        self.trackers = [keras.metrics.Mean(name=name) for name in self.loss_names()]
        self(tf.zeros([1, self.latent_dim]))  # lets Keras know the input's shape

    # The networks.

    def _recognition_network(self) -> keras.Model:
        d, flows = self.latent_dim, self.num_flows
        z = keras.Input([d], name="z")
        side = [keras.Input([a.width], name=a.name) for a in self.attributes]
        hidden = self._hidden(keras.layers.Concatenate(name="z_and_s")([z, *side]))
        outputs = [
            keras.layers.Dense(d, name="mean")(hidden),
            keras.layers.Dense(d, name="log_var")(hidden),
            keras.layers.Dense(flows * d, name="w")(hidden),
            keras.layers.Dense(flows * d, name="u")(hidden),
            keras.layers.Dense(flows, name="b")(hidden),
        ]
        return keras.Model([z, *side], outputs, name="recognition")

    def _linear_heads(self) -> list[LinearHead]:
        return [LinearHead(a.width, name=f"p_{a.name}") for a in self.attributes]

    def _generative_network(self) -> keras.Model:
        z_star = keras.Input([self.latent_dim], name="z_star")
        read = [head(z_star) for head in self.heads]
        hidden = self._hidden(self._generative_input(z_star, read))
        z = keras.layers.Dense(self.latent_dim, name="z")(hidden)
        return keras.Model(z_star, [z, *read], name="generative")

    def _generative_input(self, z_star: tf.Tensor, read: list[tf.Tensor]) -> tf.Tensor:
        return z_star

    # The objective.

    def posterior(
        self, z: tf.Tensor, encoded: list[tf.Tensor], seed: tf.Tensor | None
    ) -> dict[str, tf.Tensor]:
        """z* from q(z*|z, s), or without a seed from the base's mean, with terms 4 and 5.

        `center` is where the flows take the base's mean.
        """
        mean, log_var, w, u, b = self.recognition([z, *encoded])
        z_0 = mean if seed is None else sample_gaussian(mean, log_var, seed)
        z_star, log_det = self.flows(z_0, w, u, b)
        return {
            "z_star": z_star,
            "center": self.flows(mean, w, u, b)[0],
            "log_q0": base_log_prob(z_0, mean, log_var),
            "log_det": log_det,
        }

    def elbo_terms(
        self, z: tf.Tensor, encoded: list[tf.Tensor], seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The terms of equation (8) for one draw of z_0, each [n], beside those of `posterior`."""
        terms = self.posterior(z, encoded, seed)
        generated, *read = self.generative(terms["z_star"])
        terms["log_prior"] = standard_normal_log_prob(terms["z_star"])
        terms["log_likelihood_z"] = gaussian_log_likelihood(z, generated, self.latent_variance)
        for attribute, seen, output in zip(self.attributes, encoded, read, strict=True):
            terms[f"log_likelihood_{attribute.name}"] = self.attribute_log_likelihood(
                attribute, seen, output
            )
        return terms

    def loss_names(self) -> list[str]:
        """The metrics: `loss`, the terms of equation (8), and the secondary network's loss."""
        return [
            "loss",
            "log_prior",
            "log_likelihood_z",
            *(f"log_likelihood_{name}" for name in self.names),
            "log_q0",
            "log_det",
            *(f"secondary_{name}" for name in self.names),
        ]

    def losses_of(self, z: tf.Tensor, side: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        z = self.standardise(z)
        approximations = self.secondary_outputs(z)
        encoded = self.completed(side, approximations, seed)
        terms = self.elbo_terms(z, encoded, seed)
        losses = {name: tf.reduce_mean(terms[name]) for name in self.loss_names() if name in terms}
        further, further_losses = self.further_losses(terms, encoded)
        losses.update(further_losses)
        elbo = tf.reduce_mean(objective(terms, self.beta, self.attribute_weights))
        losses["lens_loss"] = further - elbo
        if self.latent_noise:
            noise = batch_noise(tf.random.stateless_normal, z, seed + tf.constant([0, 2**30]))
            approximations = self.secondary_outputs(z + self.latent_noise * noise)
        losses.update(self.known_losses(side, approximations, "secondary"))
        losses["secondary_loss"] = tf.add_n([losses[f"secondary_{name}"] for name in self.names])
        losses["loss"] = losses["lens_loss"] + losses["secondary_loss"]
        return losses

    def further_losses(
        self, terms: Mapping[str, tf.Tensor], encoded: list[tf.Tensor]
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """What is asked beyond equation (8), weighted and summed, and by name: nothing here."""
        return tf.zeros([]), {}

    def objectives(
        self, losses: Mapping[str, tf.Tensor]
    ) -> list[tuple[tf.Tensor, list[tf.Variable]]]:
        lens = self.recognition.trainable_variables + self.generative.trainable_variables
        secondary = self.secondary_recognition.trainable_variables
        return [(losses["lens_loss"], lens), (losses["secondary_loss"], secondary)]

    # z <-> z*.

    def infer_standardised(
        self, z: tf.Tensor, side: tf.Tensor, seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        encoded = self.completed(side, self.secondary_outputs(z))
        return self.posterior(z, encoded, seed)["z_star"]

    def generate_standardised(self, z_star: tf.Tensor) -> tf.Tensor:
        return self.generative(z_star)[0]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_flows": self.num_flows,
            "beta": self.beta,
            "latent_variance": self.latent_variance,
        }


@keras.utils.register_keras_serializable(package="filvm")
class FILVM(ILVM):
    """The fixed interpretable lens variable model (section 2.4; Figure A7), and five amendments.

    Head j sees z*_j alone, so dimension j comes to mean attribute j. Beyond the report, each a
    switch of its own:

    Args:
        ordered_softmax: the head of a label starts in order along its axis,
            logits_k = g (a_k z*_j + c_k), class k winning between the prior's quantiles k/C and
            (k + 1)/C (`filvm.lens.heads.ordered_softmax_start`).
        informed_generative: the generative network is told what the heads read,
            g(z*, softmax(head_0(z*_0)), head_1(z*_1), ...): still a function of z* alone, but it
            need not learn a staircase, and label information leaves the other dimensions.
        swap_weight: weight of swap consistency. Each sample is given the z*_j of another sample,
            z is generated, and the secondary network, held fixed, must read the other's s_j back:
            - swap_weight * sum_j log q(s_j' | z = g(z* with z*_j' in place of z*_j)). 0 is off.
        positive_slopes: the head of a number starts at slope 1, so that a larger z*_j means more.
        independence_weight: weight of the dependence between side information and the dimensions
            that no attribute owns (`filvm.lens.objective.dependence`), of draws from q(z*|z, s)
            and of its centres, which `infer` gives: what a label says leaves them. 0 is off.

    The other arguments are those of `ILVM`. `FILVM.report_recipe` is the report's own FILVM.
    """

    default_weights: ClassVar = {Categorical: 30.0, Continuous: 60.0}

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
        **kwargs: Any,
    ) -> None:
        check_at_least("swap_weight", swap_weight, 0)
        check_at_least("independence_weight", independence_weight, 0)
        self.independence_weight = independence_weight
        self.ordered_softmax = ordered_softmax
        self.informed_generative = informed_generative
        self.swap_weight = swap_weight
        self.positive_slopes = positive_slopes
        super().__init__(latent_dim, side_information, **kwargs)

    @classmethod
    def report_recipe(
        cls, latent_dim: int, side_information: Sequence[Attribute], **kwargs: Any
    ) -> FILVM:
        """The report's FILVM: equation (8) with weights 1, heads from random starts."""
        plain = {
            "ordered_softmax": False,
            "informed_generative": False,
            "swap_weight": 0.0,
            "positive_slopes": False,
            "independence_weight": 0.0,
            "attribute_weights": 1.0,
        }
        return cls(latent_dim, side_information, **{**plain, **kwargs})

    def _linear_heads(self) -> list[LinearHead]:
        heads = []
        for j, attribute in enumerate(self.attributes):
            if isinstance(attribute, Categorical):
                start = "ordered" if self.ordered_softmax else "random"
            else:
                start = "positive" if self.positive_slopes else "random"
            heads.append(LinearHead(attribute.width, j, start, name=f"p_{attribute.name}"))
        return heads

    def _generative_input(self, z_star: tf.Tensor, read: list[tf.Tensor]) -> tf.Tensor:
        if not self.informed_generative:
            return z_star
        told = [
            keras.layers.Softmax(name=f"read_{attribute.name}")(output)
            if isinstance(attribute, Categorical)
            else output
            for attribute, output in zip(self.attributes, read, strict=True)
        ]
        return keras.layers.Concatenate(name="z_star_and_read")([z_star, *told])

    def loss_names(self) -> list[str]:
        swapped = [f"swap_{name}" for name in self.names] if self.swap_weight else []
        return super().loss_names() + swapped + (["dependence"] if self._judges_free() else [])

    def _judges_free(self) -> bool:
        return self.independence_weight > 0 and self.latent_dim > len(self.attributes)

    def further_losses(
        self, terms: Mapping[str, tf.Tensor], encoded: list[tf.Tensor]
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        total, losses = tf.zeros([]), {}
        if self.swap_weight:
            swapped = self.swap_losses(terms["z_star"], encoded, self.generate_standardised)
            losses.update(swapped)
            total += self.swap_weight * tf.add_n(list(losses.values()))
        if self._judges_free():
            losses["dependence"] = sum(
                self.free_dependence(terms[name], encoded) for name in ("z_star", "center")
            )
            total += self.independence_weight * losses["dependence"]
        return total, losses

    def free_dependence(self, z_star: tf.Tensor, encoded: list[tf.Tensor]) -> tf.Tensor:
        """How much the dimensions no attribute owns tell of the attributes, summed over these."""
        # Of at most 256 samples, for the cost is quadratic. In units of their own spread, for a
        # dimension that is hardly used can still rank samples by an attribute.
        free = z_star[:256, len(self.attributes) :]
        of_free = gaussian_kernel(free / (spread(free) + 1e-3))
        total = tf.zeros([])
        for attribute, seen in zip(self.attributes, encoded, strict=True):
            seen = seen[:256]
            if isinstance(attribute, Categorical):
                of_attribute = tf.matmul(seen, seen, transpose_b=True)  # 1 where labels agree
            else:
                of_attribute = gaussian_kernel(seen, [1.0])
            total += dependence(of_free, of_attribute)
        return total

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "ordered_softmax": self.ordered_softmax,
            "informed_generative": self.informed_generative,
            "swap_weight": self.swap_weight,
            "positive_slopes": self.positive_slopes,
            "independence_weight": self.independence_weight,
        }

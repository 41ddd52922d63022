"""The report's lens models: from the latents z of a trained VAE to z*, and back.

A lens has a recognition model q(z*|z, s), a generative model p(z|z*), and a linear model p(s|z*) of
the side information s (sections 2.3 and 2.4 of the report, Figures A5-A8; arXiv:1807.11143). It
maximises equation (8), which is in `filvm.lens.objective`:

    mean, log_var, w, u, b = recognition(z, s)
    z_0 ~ q0 = N(mean, diag exp log_var),   z* = z_K = T_K(... T_1(z_0)),   T_k planar flows

A secondary recognition network q(s|z) replaces missing values of s. `ILVM` predicts every attribute
from all of z*, `FILVM` predicts attribute j from z*_j alone.
"""

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
from filvm.flows.posterior import PlanarFlows
from filvm.lens.attributes import fill_missing
from filvm.lens.base import Lens
from filvm.lens.heads import LinearHead
from filvm.lens.objective import (
    aggregate_mismatch,
    attribute_log_likelihood,
    free_dependence,
    known_losses,
    objective,
    reverse_gradient,
    standard_normal_log_prob,
    swap_attributes,
    swap_losses,
)
from filvm.lens.posterior import Posterior
from filvm.lens.training import dense_layers
from filvm.vae.elbo import batch_noise, gaussian_log_likelihood
from filvm.vae.model import batch_mean
from filvm.vae.sizes import check_at_least, check_sizes


@keras.utils.register_keras_serializable(package="filvm")
class ILVM(Lens):
    """The interpretable lens variable model (section 2.3; Figures A5, A6 and A8).

    Args:
        latent_dim: dimensions d of z and z*.
        side_information: the attributes; in an `FILVM`, attribute j owns z*_j (an angle two
            dimensions, see `Lens.dimensions_of`).
        num_flows: K, the number of planar flows.
        beta: weight of the KL part of equation (8).
        latent_variance: of the Gaussian p(z|z*), in standardised units.
        kwargs: of `Lens`. `latent_noise` is for the secondary network alone; it helps if few labels
            are known.

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

    own_settings: ClassVar = ("num_flows", "beta", "latent_variance")

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
        check_sizes(num_flows=num_flows)
        check_at_least("beta", beta, 0)
        check_at_least("latent_variance", latent_variance, 1e-8)
        self.num_flows = num_flows
        self.beta = beta
        self.latent_variance = latent_variance
        self.flows = PlanarFlows(num_flows, dtype="float32")
        self.recognition = self._recognition_network()
        self.secondary_recognition = self.secondary_network()
        self.heads = self._linear_heads()
        self.generative = self._generative_network()
        self.trackers = [keras.metrics.Mean(name=name) for name in self.loss_names()]
        self(tf.zeros([1, self.latent_dim]))  # sets the input's shape in Keras

    # Networks.

    def _recognition_network(self) -> keras.Model:
        d, flows = self.latent_dim, self.num_flows
        z = keras.Input([d], name="z")
        side = [keras.Input([a.width], name=a.key) for a in self.attributes]
        z_and_s = keras.layers.Concatenate(name="z_and_s")([z, *side])
        hidden = dense_layers(z_and_s, self.hidden_units)

        def dense(units: int, name: str) -> tf.Tensor:
            return keras.layers.Dense(units, dtype="float32", name=name)(hidden)

        outputs = [
            dense(d, "mean"),
            dense(d, "log_var"),
            dense(flows * d, "w"),
            dense(flows * d, "u"),
            dense(flows, "b"),
        ]
        return keras.Model([z, *side], outputs, name="recognition")

    def _linear_heads(self) -> list[LinearHead]:
        return [LinearHead(a.width, dtype="float32", name=f"p_{a.key}") for a in self.attributes]

    def _generative_network(self) -> keras.Model:
        z_star = keras.Input([self.latent_dim], name="z_star")
        read = [head(z_star) for head in self.heads]
        hidden = dense_layers(self._generative_input(z_star, read), self.hidden_units)
        z = keras.layers.Dense(self.latent_dim, dtype="float32", name="z")(hidden)
        return keras.Model(z_star, [z, *read], name="generative")

    def _generative_input(self, z_star: tf.Tensor, read: list[tf.Tensor]) -> tf.Tensor:
        return z_star

    @property
    def lens_variables(self) -> list[tf.Variable]:
        """The variables that `lens_loss` trains; the heads are part of the generative network."""
        return self.recognition.trainable_variables + self.generative.trainable_variables

    # Losses.

    def posterior(self, z: tf.Tensor, encoded: Sequence[tf.Tensor]) -> Posterior:
        """q(z*|z, s) of standardised z [n, d] and s as network inputs, [n, width] each."""
        return Posterior(self.flows, *self.recognition([z, *encoded]))

    def elbo_terms(
        self, posterior: Posterior, z: tf.Tensor, encoded: Sequence[tf.Tensor], seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The terms of equation (8) for one draw of z*.

        Args:
            posterior: q(z*|z, s).
            z: [n, d], standardised.
            encoded: s as network inputs, [n, width] each.
            seed: of the draw, int32 [2].

        Returns:
            The draw `z_star` and the centre `center` [n, d], and [n] each, in nats: `log_prior`,
            `log_likelihood_z`, `log_likelihood_<key>` of every attribute, `log_q0` and `log_det`.
        """
        terms = posterior.terms(seed)
        generated, *read = self.generative(terms["z_star"])
        terms["log_prior"] = standard_normal_log_prob(terms["z_star"])
        terms["log_likelihood_z"] = gaussian_log_likelihood(z, generated, self.latent_variance)
        for attribute, inputs, output in zip(self.attributes, encoded, read, strict=True):
            terms[f"log_likelihood_{attribute.key}"] = attribute_log_likelihood(
                attribute, inputs, output
            )
        return terms

    def loss_names(self) -> list[str]:
        """The metrics: `loss`, the terms of equation (8), and the secondary network's loss."""
        return [
            "loss",
            "log_prior",
            "log_likelihood_z",
            *(f"log_likelihood_{name}" for name in self.keys),
            "log_q0",
            "log_det",
            *(f"secondary_{name}" for name in self.keys),
        ]

    def batch_losses(
        self, z: tf.Tensor, side: tf.Tensor, seed: tf.Tensor, weights: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        z = tf.cast(self.standardise(z), tf.float32)
        known = self.network_inputs(side)
        outputs = self.secondary_outputs(z)
        encoded = fill_missing(self.attributes, known, outputs, seed)
        posterior = self.posterior(z, encoded)
        terms = self.elbo_terms(posterior, z, encoded, seed)
        losses = {
            name: batch_mean(terms[name], weights) for name in self.loss_names() if name in terms
        }
        penalty, penalties = self.penalties(terms, encoded, weights)
        losses.update(penalties)
        elbo = batch_mean(objective(terms, self.beta, self.weights_by_key), weights)
        losses["lens_loss"] = penalty - elbo
        if self.latent_noise:
            noise = batch_noise(tf.random.stateless_normal, z, seed + tf.constant([0, 2**30]))
            outputs = self.secondary_outputs(z + self.latent_noise * noise)
        losses.update(known_losses(self.attributes, known, outputs, "secondary", weights))
        losses["secondary_loss"] = tf.add_n([losses[f"secondary_{name}"] for name in self.keys])
        losses["loss"] = losses["lens_loss"] + losses["secondary_loss"]
        return losses

    def penalties(
        self,
        terms: dict[str, tf.Tensor],
        encoded: Sequence[tf.Tensor],
        weights: tf.Tensor | None = None,
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """The losses beyond equation (8): their weighted sum, and each by name. Here none.

        Args:
            terms: of `elbo_terms`.
            encoded: s as network inputs, [n, width] each.
            weights: of the samples, [n].
        """
        return tf.zeros([]), {}

    # z <-> z*.

    def infer_tensors(
        self, z: tf.Tensor, side: tf.Tensor, seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        z = tf.convert_to_tensor(z)
        standard = tf.cast(self.standardise(z), tf.float32)
        known = self.network_inputs(side)
        encoded = fill_missing(self.attributes, known, self.secondary_outputs(standard))
        posterior = self.posterior(standard, encoded)
        z_star = posterior.center() if seed is None else posterior.sample(seed)
        return tf.cast(z_star, z.dtype)

    def generate_tensors(self, z_star: tf.Tensor) -> tf.Tensor:
        z_star = tf.convert_to_tensor(z_star)
        z = self.generative(tf.cast(z_star, tf.float32))[0]
        return self.restore(tf.cast(z, z_star.dtype))


def report_terms(
    latent_dim: int, side_information: Sequence[Attribute], beta: float = 0.1, scaling: float = 3.0
) -> dict[str, Any]:
    """The arguments of `ILVM` or `FILVM` under which terms 2 and 3 are those of section 2.3.

        log p(z|z*) = - sum_i (z_i - g_i(z*))^2 / d                (mean squared error)
        log p(s|z*) = - (scaling s - scaling (psi z* + psi_0))^2   (a number s of variance 1)
        log p(s|z*) = log softmax(psi z* + psi_0)_s                (a label: cross entropy)

    Up to constants, they are a Gaussian of variance d/2, a Gaussian of variance 1 with the weight
    2 scaling^2, and a cross entropy with the weight 1.

    Args:
        latent_dim: d.
        side_information: the attributes.
        beta: weight of the KL part of equation (8).
        scaling: standard deviation that numbers are scaled to (section 6).
    """
    numbers = 2.0 * scaling**2
    weights = {a.name: 1.0 if isinstance(a, Categorical) else numbers for a in side_information}
    return {"beta": beta, "latent_variance": latent_dim / 2.0, "attribute_weights": weights}


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
        weights = {
            "swap_weight": swap_weight,
            "independence_weight": independence_weight,
            "critic_weight": critic_weight,
            "aggregate_weight": aggregate_weight,
        }
        for name, weight in weights.items():
            check_at_least(name, weight, 0)
            setattr(self, name, weight)
        self.ordered_softmax = ordered_softmax
        self.informed_generative = informed_generative
        self.positive_slopes = positive_slopes
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
        total, losses, owned = tf.zeros([]), {}, num_owned(self.attributes)
        if self.swap_weight:
            swapped = swap_attributes(terms["z_star"], self.attributes)
            outputs = self.secondary_outputs(self.generative(swapped)[0])
            losses.update(swap_losses(self.attributes, encoded, outputs, weights))
            total += self.swap_weight * tf.add_n(list(losses.values()))
        codes = tf.stack([terms["z_star"], terms["center"]])
        if self._uses("independence_weight"):
            losses["dependence"] = free_dependence(self.attributes, codes, encoded, weights)
            total += self.independence_weight * losses["dependence"]
        free = codes[..., owned:]
        if weights is not None:  # codes of samples that do not count may be infinite
            free = tf.where(weights[:, tf.newaxis] > 0, free, 0.0)
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

"""The report's lens: from the latents z of a trained VAE to z*, and back.

A lens has a recognition model q(z*|z, s), a generative model p(z|z*), and a linear model p(s|z*) of
the side information s (sections 2.3 and 2.4 of the report, Figures A5-A8; arXiv:1807.11143). It
maximises equation (8), which is in `filvm.lens.objective`:

    mean, log_var, w, u, b = recognition(z, s)
    z_0 ~ q0 = N(mean, diag exp log_var),   z* = z_K = T_K(... T_1(z_0)),   T_k planar flows

A secondary recognition network q(s|z) replaces missing values of s. `ILVM` predicts every attribute
from all of z*, `filvm.lens.filvm.FILVM` predicts attribute j from z*_j alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import tensorflow as tf
import tf_keras as keras

from filvm.data.side_information import Attribute, Categorical
from filvm.flows.posterior import PlanarFlows
from filvm.lens.attributes import fill_missing
from filvm.lens.base import Lens
from filvm.lens.heads import LinearHead
from filvm.lens.objective import (
    attribute_log_likelihood,
    known_losses,
    objective,
    standard_normal_log_prob,
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

"""The base of every variational autoencoder: the ELBO, training, encoding, saving.

    log p(x) >= E_q(z|x)[log p(x|z)] - KL(q(z|x) || p(z))            (Kingma and Welling 2014)

with p(z) = N(0, I) and q(z|x) = N(z_mean(x), diag exp z_log_var(x)); section 2.1 of the report,
arXiv:1312.6114. The KL term is multiplied by `beta` (Higgins et al. 2017).
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from filvm.data.columns import plain_array
from filvm.serving.signatures import require, vae_signatures
from filvm.vae.batches import require_tf_keras
from filvm.vae.elbo import collapse_sentence, gaussian_kl, sample_gaussian
from filvm.vae.model import (
    CheckedModel,
    batch_mean,
    batch_weights,
    check_count,
    in_float32,
    step_seed,
    update_metrics,
)
from filvm.vae.sizes import check_at_least, check_seed

PREDICT_BATCH = 1024  # rows per call of a network on arrays


def in_batches(
    network: keras.Model,
    x: np.ndarray,
    *,
    prepare: Callable[[np.ndarray], np.ndarray] = np.asarray,
    batch_size: int = PREDICT_BATCH,
) -> Any:
    """The network's output for x [n, ...], as NumPy arrays.

    As `predict`, in up to half the time, because it does not start an input pipeline. `prepare` is
    applied to each batch, so that a memory map is never converted as a whole.
    """
    if not len(x):  # a convolution refuses an empty batch
        one = np.zeros((1, *x.shape[1:]), np.float32)
        return tf.nest.map_structure(lambda array: array[:0], network.predict_on_batch(one))
    batches = (x[start : start + batch_size] for start in range(0, len(x), batch_size))
    parts = [network.predict_on_batch(prepare(batch)) for batch in batches]
    return tf.nest.map_structure(lambda *arrays: np.concatenate(arrays), *parts)


class VAE(CheckedModel):
    """A variational autoencoder from two functional models.

    Args:
        encoder: x [batch, ...] -> [z_mean, z_log_var], each [batch, latent_dim].
        decoder: z [batch, latent_dim] -> the parameters of p(x|z).
        beta: weight of the KL term.
        seed: of the noise in training and in `sample`.

    A subclass defines p(x|z) by `log_likelihood(x, decoded)`, and its mean by
    `observation(decoded)`. `compile`, `fit`, `evaluate` and `predict` work as in any Keras model;
    `predict` reconstructs. The metrics, in nats per sample, are

        loss = reconstruction_loss + beta * kl_loss

    and the loss also has the regularisation losses of the layers, if they have any.
    """

    def __init__(
        self,
        encoder: keras.Model,
        decoder: keras.Model,
        *,
        beta: float = 1.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_at_least("beta", beta, 0)
        check_seed(seed)
        require_tf_keras(encoder, "encoder")
        require_tf_keras(decoder, "decoder")
        self.encoder = encoder
        self.decoder = decoder
        self.latent_dim = int(decoder.input_shape[-1])
        self.beta = beta
        self.seed = seed
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.reconstruction_tracker = keras.metrics.Mean(name="reconstruction_loss")
        self.kl_tracker = keras.metrics.Mean(name="kl_loss")
        self._count_steps()
        # The networks are built, so that summary() and load_weights() work before the first call.
        self.built = True
        self._set_save_spec(self.observation_spec)

    # Methods of the subclass.

    def log_likelihood(self, x: tf.Tensor, decoded: Any) -> tf.Tensor:
        """ln p(x|z), [batch]; `decoded` is the decoder's output for z."""
        raise NotImplementedError(f"{type(self).__name__} has no method log_likelihood")

    def observation(self, decoded: Any) -> Any:
        """The mean of p(x|z), in the units of x."""
        raise NotImplementedError(f"{type(self).__name__} has no method observation")

    # Networks, losses and training.

    def encoded(self, x: tf.Tensor, training: bool = False) -> tuple[tf.Tensor, tf.Tensor]:
        """z_mean and z_log_var of x, float32 [batch, latent_dim]."""
        z_mean, z_log_var = in_float32(self.encoder(x, training=training))
        return z_mean, z_log_var

    def decoded(self, z: tf.Tensor, training: bool = False) -> Any:
        """The decoder's output for z, the parameters of p(x|z), float32."""
        return in_float32(self.decoder(z, training=training))

    def elbo_terms(self, x: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """The two terms of the ELBO for one draw of z.

        Args:
            x: [batch, ...].
            seed: of the draw, int32 [2].

        Returns:
            `log_likelihood` = ln p(x|z), [batch], and `kl` by dimension, [batch, latent_dim]: about
            0 in a dimension that the model does not use.
        """
        z_mean, z_log_var = self.encoded(x, training=True)
        decoded = self.decoded(sample_gaussian(z_mean, z_log_var, seed), training=True)
        return {
            "log_likelihood": self.log_likelihood(x, decoded),
            "kl": gaussian_kl(z_mean, z_log_var),
        }

    def batch_losses(
        self, x: tf.Tensor, seed: tf.Tensor, weights: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Means over the batch: `loss`, `reconstruction_loss` and `kl_loss`, scalars in nats.

        Args:
            x: [batch, ...].
            seed: of the draw of z, int32 [2].
            weights: of the samples, [batch]; see `filvm.vae.model.batch_mean`.
        """
        terms = self.elbo_terms(x, seed)
        reconstruction = -batch_mean(terms["log_likelihood"], weights)
        kl = batch_mean(tf.reduce_sum(terms["kl"], axis=-1), weights)
        return {
            "loss": reconstruction + self.beta * kl,
            "reconstruction_loss": reconstruction,
            "kl_loss": kl,
        }

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [self.loss_tracker, self.reconstruction_tracker, self.kl_tracker]

    def unpack_observations(self, data: Any) -> tf.Tensor:
        """x of a training step, as float32; Keras converts arrays, but not datasets."""
        x, _, _ = keras.utils.unpack_x_y_sample_weight(data)
        return tf.cast(x, tf.float32)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        x, weights = self.unpack_observations(data), batch_weights(data)
        with tf.GradientTape() as tape:
            losses = self._losses_and_penalty(x, step_seed(self), weights)
            # Gradients are summed over the replicas, so each one minimises its share of the mean.
            share = losses["loss"] / self.distribute_strategy.num_replicas_in_sync
        self.optimizer.minimize(share, self.trainable_variables, tape=tape)
        self.steps.assign_add(1)
        return update_metrics(self.metrics, losses, x, weights)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        x, weights = self.unpack_observations(data), batch_weights(data)
        # The same noise at every evaluation: epochs differ by their weights alone.
        seed = tf.constant([self.seed, -1], tf.int32)
        losses = self._losses_and_penalty(x, seed, weights)
        return update_metrics(self.metrics, losses, x, weights)

    def _losses_and_penalty(
        self, x: tf.Tensor, seed: tf.Tensor, weights: tf.Tensor | None
    ) -> dict[str, tf.Tensor]:
        if weights is None:
            losses = self.batch_losses(x, seed)
        elif "weights" in inspect.signature(self.batch_losses).parameters:
            losses = self.batch_losses(x, seed, weights)
        else:
            raise TypeError(
                f"batch_losses of {type(self).__name__} has no argument weights; expected "
                "batch_losses(x, seed, weights=None) for a training with sample_weight"
            )
        if self.losses:
            losses = {**losses, "loss": losses["loss"] + self.penalty()}
        return losses

    # Methods for users.

    def call(self, x: tf.Tensor, training: bool = False) -> Any:
        """x -> its reconstruction through z_mean."""
        z_mean, _ = self.encoded(x, training=training)
        return self.observation(self.decoded(z_mean, training=training))

    def encode(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """x [n, ...] -> z_mean and z_log_var, float32 [n, latent_dim] each."""
        x = plain_array("x", x)
        self.check_observations(x)
        z_mean, z_log_var = in_batches(self.encoder, x)
        return np.asarray(z_mean, np.float32), np.asarray(z_log_var, np.float32)

    def decode(self, z: np.ndarray) -> Any:
        """z [n, latent_dim] -> the mean of p(x|z)."""
        return self._means(self.decoder_outputs(z))

    def _means(self, outputs: Any) -> Any:
        return tf.nest.map_structure(np.asarray, self.observation(outputs))

    def decoder_outputs(self, z: np.ndarray) -> Any:
        """z [n, latent_dim] -> the parameters of p(x|z), the decoder's output."""
        z = plain_array("z", z)
        if z.dtype.kind not in "biuf":
            raise TypeError(f"z has dtype {z.dtype}; expected numbers")
        with np.errstate(over="ignore"):
            z = z.astype(np.float32)
        if z.ndim != 2 or z.shape[1] != self.latent_dim:
            raise ValueError(f"z has shape {list(z.shape)}; expected [n, {self.latent_dim}]")
        finite = np.isfinite(z).all(axis=1)
        if not finite.all():
            raise ValueError(
                f"z is not finite at row {int((~finite).argmax())}; expected numbers within float32"
            )
        return self._outputs(z)

    def _outputs(self, z: np.ndarray) -> Any:
        outputs = in_batches(self.decoder, z)
        return tf.nest.map_structure(lambda output: np.asarray(output, np.float32), outputs)

    def reconstruct(self, x: np.ndarray, *, sampled: bool = False, seed: int = 0) -> Any:
        """x -> z -> x; z is z_mean or, with `sampled`, a draw from q(z|x).

        The result is nan, and no error, for a model whose training has diverged.
        """
        check_seed(seed)
        z, z_log_var = self.encode(x)
        if sampled:
            noise = np.random.default_rng(seed).standard_normal(z.shape, np.float32)
            z = z + np.exp(0.5 * z_log_var) * noise
        return self._means(self._outputs(z))

    def sample(self, n: int, *, seed: int | None = None) -> Any:
        """n observations from the generative model: z ~ N(0, I), then the mean of p(x|z)."""
        check_count("n", n, 0)
        seed = self.seed if seed is None else seed
        check_seed(seed)
        rng = np.random.default_rng(seed)
        return self.decode(rng.standard_normal((n, self.latent_dim), np.float32))

    def kl_per_dimension(self, x: np.ndarray) -> np.ndarray:
        """Mean KL over x by latent dimension, [latent_dim], in nats; about 0 if unused."""
        return gaussian_kl(*self.encode(x)).numpy().mean(axis=0)

    def collapse_report(self, x: Any, threshold: float = 0.01) -> str:
        """One sentence: which dimensions of z the model does not use, and the KL of every one.

        Args:
            x: observations.
            threshold: a dimension with less KL over x, in nats, counts as unused: its posterior
                has collapsed to the prior.
        """
        return collapse_sentence(self.kl_per_dimension(x), threshold)

    def check_observations(self, x: Any) -> None:
        """Raise a ValueError unless the model takes x, an array or the spec of a batch."""
        expected = self.encoder.input_shape[1:]
        shape = tf.TensorShape(x.shape if hasattr(x, "shape") else np.shape(x))
        if not shape[1:].is_compatible_with(expected):
            raise ValueError(
                f"x has shape {list(shape)}; expected [n, {', '.join(map(str, expected))}] "
                f"for this {type(self).__name__}"
            )

    # Data of `fit`, `evaluate` and `predict`: see `filvm.vae.batches`.

    def checked_inputs(self, x: Any) -> np.ndarray:
        """Observations as an array [n, ...] that the model takes."""
        x = plain_array("x", x)
        self.check_observations(x)
        if not len(x):
            raise ValueError(f"x has shape {list(x.shape)}; expected at least one observation")
        return x

    def checked_arrays(self, x: Any, y: Any) -> tuple[np.ndarray, Any]:
        return self.checked_inputs(x), y

    def checked_input_tensors(self, x: tf.Tensor) -> tf.Tensor:
        self.check_tensors(tf.cast(x, tf.float32))
        return x

    def checked_tensors(self, x: tf.Tensor, y: Any) -> tuple[tf.Tensor, Any]:
        return self.checked_input_tensors(x), y

    def check_spec(self, x: Any) -> None:
        if not isinstance(x, tf.TensorSpec):
            raise TypeError(
                f"the dataset has a {type(x).__name__} as its first part; expected batches of "
                "observations, or of (observations, y, weights)"
            )
        self.check_observations(x)

    # Saving and serving.

    @property
    def observation_spec(self) -> tf.TensorSpec:
        """The input of the networks: float32 [n, ...] with the name of the encoder's input."""
        return tf.TensorSpec(self.encoder.inputs[0].shape, tf.float32, self.encoder.input_names[0])

    @property
    def served_spec(self) -> tf.TensorSpec:
        """The input x of the signatures; a subclass may take another form, with `received`."""
        return self.observation_spec

    def received(self, x: tf.Tensor) -> tf.Tensor:
        """The input of a signature as the networks take it, with its checks in the graph."""
        self.check_tensors(x)
        return x

    def check_tensors(self, x: tf.Tensor) -> None:
        """Add to the graph of a signature or dataset the checks of `check_observations` on values.

        Here: all values are finite.
        """
        require(tf.math.is_finite(x), f"{self.observation_spec.name} must hold finite numbers")

    def named(self, observed: Any) -> dict[str, tf.Tensor]:
        """Observations under the names of the signatures' outputs, float32."""
        return {self.observation_spec.name: observed}

    def signatures(self) -> dict[str, tf.types.experimental.GenericFunction]:
        return vae_signatures(self)

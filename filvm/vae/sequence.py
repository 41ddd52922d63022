"""The recurrent VAE of Figures A2-A4: number sequences of different lengths to z and back.

    ln p(x|z) = sum_{t < length} ln N(x_t; y_t(z), sd^2) + ln p(length | z)

Section 2.1 and A.1.2 of the report. The networks, with y(z) and p(length | z), are in
`filvm.vae.recurrent`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from filvm.data.sequences import (
    LARGEST_EXACT,
    MAX_LENGTH,
    Sequences,
    padded_lengths,
    sequences_from_lists,
)
from filvm.serving.signatures import require
from filvm.vae.base import LOG_2_PI, VAE, gaussian_kl, sample_gaussian
from filvm.vae.model import batch_mean, check_precision
from filvm.vae.recurrent import sequence_decoder, sequence_encoder
from filvm.vae.sizes import check_sizes


def padding_mask(x: tf.Tensor) -> tf.Tensor:
    """1.0 at the numbers of a sequence, 0.0 at its padding; both [batch, time, 1]."""
    return tf.cast(tf.not_equal(x, 0.0), x.dtype)


def masked_gaussian_log_likelihood(
    x: tf.Tensor, mean: tf.Tensor, mask: tf.Tensor, sd: tf.Tensor
) -> tf.Tensor:
    """sum_t mask_t ln N(x_t; mean_t, sd^2), the likelihood of the numbers without the padding.

    Args:
        x, mean, mask: [batch, time, 1].
        sd: a scalar > 0.

    Returns:
        [batch], in nats.
    """
    squares = tf.square((x - mean) / sd)
    log_density = -0.5 * (squares + LOG_2_PI) - tf.math.log(sd)
    return tf.reduce_sum(mask * log_density, axis=[1, 2])


def length_log_likelihood(lengths: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """ln p(length), [batch]; `logits` [batch, max_length] are those of the lengths 1, 2, ..."""
    return -tf.nn.sparse_softmax_cross_entropy_with_logits(labels=lengths - 1, logits=logits)


def annealed_sd(step: tf.Tensor, first: float, last: float, steps: int) -> tf.Tensor:
    """first * (last / first)^min(1, step / steps): a straight line in ln sd, then constant."""
    progress = tf.minimum(1.0, tf.cast(step, tf.float32) / max(steps, 1))
    return first * tf.pow(last / first, progress)


@keras.utils.register_keras_serializable(package="filvm")
class SequenceVAE(VAE):
    """GRU VAE for sequences of numbers of any length up to a maximum (Figures A2-A4).

    Args:
        latent_dim: size of z; the report's is 4.
        max_length: the largest length.
        units: state size of both GRUs.
        dense_units: of the two dense layers before z, the context and the length.
        context_units: size of the context, the decoder cell's input from z.
        scale, step_scale: divisors inside the model, of numbers and of the differences of
            neighbours; each about the size of the largest.
        first_sd, last_sd: standard deviation of the Gaussian likelihood, in the numbers' units. It
            falls from the first to the last, which makes the training stable and then exact. It is
            a function of `steps`, which is saved with the weights: a loaded model continues it.
        annealing_steps: training steps from the first to the last; 0 uses `last_sd` throughout.
        length_weight: of the length's likelihood in the loss. With a small sd, the numbers would
            outweigh the length by far.
        balanced: multiply the numbers' likelihood of each sequence by mean length / length in the
            loss, so that short sequences, whose steps are the hardest to infer, count as much as
            long ones.
        beta: weight of the KL term.
        seed: of the noise. Initial weights follow `keras.utils.set_random_seed`, as in Keras.

    With length_weight 1, beta 1 and without `balanced` the loss is the negative ELBO. `elbo_terms`
    returns the ELBO's own terms with every setting.

    Sequences are float32 [n, max_length, 1], positive numbers and then zeros; `Sequences` and lists
    of lists work as well. `compile("adam", jit_compile=True)` makes a step 1.1 times faster on one
    core, after 18 s of compilation. The metrics are those of `VAE`, `number_loss` and
    `length_loss`, in nats per sequence, and `absolute_error`, the mean over numbers in their units.

    **Texts.** The encoder's GRU, `Autoregression`, the length decoder and the masks work on vectors
    and lengths. A version for categorical tokens needs five changes:

    1. `sequences_array` turns texts into token numbers [n, max_length], 0 for the padding.
    2. The encoder has an `Embedding` with `mask_zero=True` in place of `NumberFeatures`.
    3. The decoder cell ends in one logit per token in place of `number`, without a `Rescaling`
       after it. The cell's input is softmax(previous logits) times the embedding, which has a
       gradient; at the first step, with all logits -1, every token counts the same.
    4. A masked cross-entropy replaces `masked_gaussian_log_likelihood`, and `observation` returns
       the most probable token.
    5. There is no standard deviation to anneal. `beta` rises from 0 instead, so that the decoder
       learns to use z.

    >>> from filvm.data.sequences import make_sequences
    >>> vae = SequenceVAE(latent_dim=4, max_length=6, units=8, dense_units=8)
    >>> vae.compile("adam")
    >>> sequences = make_sequences(32, length=(3, 6)).numbers
    >>> history = vae.fit(sequences, epochs=1, verbose=0)
    >>> numbers, lengths = vae.reconstruct(sequences)
    >>> numbers.shape, lengths.shape
    ((32, 6, 1), (32,))
    """

    def __init__(
        self,
        latent_dim: int = 4,
        *,
        max_length: int = MAX_LENGTH,
        units: int = 64,
        dense_units: int = 128,
        context_units: int = 16,
        scale: float = 1000.0,
        step_scale: float = 50.0,
        first_sd: float = 50.0,
        last_sd: float = 0.5,
        annealing_steps: int = 10_000,
        length_weight: float = 10.0,
        balanced: bool = True,
        beta: float = 1.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        positive = {"scale": scale, "step_scale": step_scale}
        for name, value in {**positive, "first_sd": first_sd, "last_sd": last_sd}.items():
            if not value > 0:
                raise ValueError(f"{name} is {value}; expected a number > 0")
        check_sizes(latent_dim=latent_dim, max_length=max_length, units=units)
        check_sizes(dense_units=dense_units, context_units=context_units)
        check_precision()
        super().__init__(
            sequence_encoder(max_length, latent_dim, units, dense_units, scale, step_scale),
            sequence_decoder(max_length, latent_dim, units, dense_units, context_units, scale),
            beta=beta,
            seed=seed,
            **kwargs,
        )
        self.max_length = max_length
        self.first_sd, self.last_sd = first_sd, last_sd
        self.annealing_steps = annealing_steps
        self.length_weight = length_weight
        self.balanced = balanced
        self.own_trackers = [
            keras.metrics.Mean(name=name)
            for name in ("number_loss", "length_loss", "absolute_error")
        ]
        self._config = {
            "latent_dim": latent_dim,
            "max_length": max_length,
            "units": units,
            "dense_units": dense_units,
            "context_units": context_units,
            "scale": scale,
            "step_scale": step_scale,
            "first_sd": first_sd,
            "last_sd": last_sd,
            "annealing_steps": annealing_steps,
            "length_weight": length_weight,
            "balanced": balanced,
            "beta": beta,
            "seed": seed,
        }

    def get_config(self) -> dict[str, Any]:
        return {**self._config, "name": self.name}

    # Losses.

    def sd(self) -> tf.Tensor:
        """Standard deviation of p(number|z) at the current training step, in the numbers' units."""
        if getattr(self, "optimizer", None) is None:
            return tf.constant(self.last_sd)
        return annealed_sd(self.steps, self.first_sd, self.last_sd, self.annealing_steps)

    def log_likelihoods(self, x: tf.Tensor, decoded: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """ln p(numbers|z) and ln p(length|z), each [batch]."""
        numbers, logits = decoded
        mask = padding_mask(x)
        lengths = tf.cast(tf.reduce_sum(mask, axis=[1, 2]), tf.int32)
        return (
            masked_gaussian_log_likelihood(x, numbers, mask, self.sd()),
            length_log_likelihood(lengths, logits),
        )

    def log_likelihood(self, x: tf.Tensor, decoded: Any) -> tf.Tensor:
        numbers, length = self.log_likelihoods(x, decoded)
        return numbers + length

    def elbo_terms(self, x: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """The terms of the ELBO for one draw of z, and the error of the numbers.

        Args:
            x: [batch, max_length, 1].
            seed: of the draw, int32 [2].

        Returns:
            `log_likelihood` [batch] and `kl` [batch, latent_dim], as in `VAE`;
            `number_log_likelihood` and `length_log_likelihood` [batch], which add up to the first;
            and `absolute_error` of every number, 0 at the padding, [batch, max_length, 1].
        """
        z_mean, z_log_var = self.encoded(x, training=True)
        decoded = self.decoded(sample_gaussian(z_mean, z_log_var, seed), training=True)
        numbers, length = self.log_likelihoods(x, decoded)
        return {
            "log_likelihood": numbers + length,
            "kl": gaussian_kl(z_mean, z_log_var),
            "number_log_likelihood": numbers,
            "length_log_likelihood": length,
            "absolute_error": padding_mask(x) * tf.abs(x - decoded[0]),
        }

    def batch_losses(
        self, x: tf.Tensor, seed: tf.Tensor, weights: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        terms = self.elbo_terms(x, seed)
        mask, errors = padding_mask(x), terms["absolute_error"]
        if weights is not None:
            mask, errors = (part * weights[:, tf.newaxis, tf.newaxis] for part in (mask, errors))
        numbers, length = terms["number_log_likelihood"], terms["length_log_likelihood"]
        if self.balanced:
            lengths = tf.reduce_sum(padding_mask(x), axis=[1, 2])
            numbers *= tf.math.divide_no_nan(batch_mean(lengths, weights), lengths)
        reconstruction = -batch_mean(numbers + self.length_weight * length, weights)
        kl = batch_mean(tf.reduce_sum(terms["kl"], axis=-1), weights)
        return {
            "loss": reconstruction + self.beta * kl,
            "reconstruction_loss": reconstruction,
            "kl_loss": kl,
            "number_loss": -batch_mean(terms["number_log_likelihood"], weights),
            "length_loss": -batch_mean(terms["length_log_likelihood"], weights),
            "absolute_error": tf.math.divide_no_nan(tf.reduce_sum(errors), tf.reduce_sum(mask)),
        }

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*super().metrics, *self.own_trackers]

    # Methods for users.

    def observation(self, decoded: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """The numbers, zero after the most probable length, and that length, int32 [batch]."""
        numbers, logits = decoded
        lengths = tf.argmax(logits, axis=-1, output_type=tf.int32) + 1
        mask = tf.sequence_mask(lengths, self.max_length, dtype=numbers.dtype)
        return numbers * mask[:, :, tf.newaxis], lengths

    def sequences_array(self, x: Any) -> np.ndarray:
        """Sequences in any form as float32 [n, max_length, 1].

        Args:
            x: an array [n, time, 1] or [n, time] of positive numbers, zero after each sequence's
                length; `Sequences`; or a list of lists.

        Raises:
            ValueError or TypeError if a sequence is longer than `max_length`, is empty, or has
            a value that is not a positive number up to 2^24.
        """
        if isinstance(x, Sequences):
            x = x.numbers
        if not hasattr(x, "shape"):
            if isinstance(x, Iterable) and not isinstance(x, (str, bytes)):
                x = list(x)
            x = sequences_from_lists(x).numbers
        x = np.asarray(x)
        if x.dtype.kind not in "fiu":
            raise TypeError(f"the sequences have dtype {x.dtype}; expected numbers")
        if x.ndim == 2:
            x = x[:, :, np.newaxis]
        if x.ndim != 3 or x.shape[2] != 1:
            raise ValueError(
                f"the sequences have shape {list(x.shape)}; expected [n, {self.max_length}, 1]"
            )
        lengths = padded_lengths(x)
        before_padding = np.arange(x.shape[1]) < np.maximum(lengths, 1)[:, np.newaxis]
        wrong = ~((x >= 0) & (x <= LARGEST_EXACT))  # so is nan
        wrong |= (x == 0) & before_padding[:, :, np.newaxis]
        if wrong.any():
            row, place = np.argwhere(wrong)[0, :2]
            raise ValueError(
                f"sequence {row} holds {x[row, place, 0]:g} at place {place}; expected positive "
                f"finite numbers up to 2^24 = {LARGEST_EXACT}, and zeros only as padding after them"
            )
        if len(x) and lengths.max() > self.max_length:
            raise ValueError(
                f"sequence {int(np.argmax(lengths))} has {lengths.max()} numbers; this model takes "
                f"at most {self.max_length}: shorten it, or train a SequenceVAE with "
                f"max_length={lengths.max()} or more"
            )
        padded = np.zeros((len(x), self.max_length, 1), np.float32)
        kept = min(x.shape[1], self.max_length)
        padded[:, :kept] = x[:, :kept]
        return padded

    def encode(self, x: Any) -> tuple[np.ndarray, np.ndarray]:
        """Sequences (array, `Sequences` or lists) -> z_mean and z_log_var, [n, latent_dim]."""
        return super().encode(self.sequences_array(x))

    def decode(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """z [n, latent_dim] -> numbers [n, max_length, 1], zero after the length; lengths [n]."""
        return super().decode(z)

    def checked_inputs(self, x: Any) -> np.ndarray:
        """Sequences in any form as float32 [n, max_length, 1]."""
        return super().checked_inputs(self.sequences_array(x))

    def check_tensors(self, x: tf.Tensor) -> None:
        number = x > 0
        require(
            tf.math.is_finite(x) & (number | (x == 0)), "sequences must hold finite numbers > 0"
        )
        require(
            tf.concat([number[:, :1], number[:, :-1] | ~number[:, 1:]], axis=1),
            "sequences must have zeros only as padding after their numbers",
        )

    def named(self, observed: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        numbers, lengths = observed
        return {"sequences": numbers, "lengths": tf.cast(lengths, tf.float32)}

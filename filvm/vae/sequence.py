"""The recurrent VAE of Figures A2-A4: number sequences of different lengths to z and back.

    ln p(x|z) = sum_{t < length} ln N(x_t; y_t(z), sd^2) + ln p(length | z)

Section 2.1 and A.1.2 of the report. The networks, with y(z) and p(length | z), are in
`filvm.vae.recurrent`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from filvm.data.sequences import MAX_LENGTH
from filvm.vae.base import VAE
from filvm.vae.batches import first_arrays
from filvm.vae.elbo import LOG_2_PI, gaussian_kl, sample_gaussian
from filvm.vae.model import batch_mean, check_precision
from filvm.vae.recurrent import (
    EXACT,
    InUnits,
    NumberFeatures,
    ScaledFeatures,
    sequence_decoder,
    sequence_encoder,
)
from filvm.vae.sequence_inputs import (
    check_batch,
    check_varying_spec,
    padded_batch,
    positive_array,
    signed_array,
)
from filvm.vae.sizes import check_at_least, check_sizes


def padding_mask(x: tf.Tensor) -> tf.Tensor:
    """1.0 at the numbers of a sequence, 0.0 at its padding; both [batch, time, 1]."""
    return tf.cast(tf.not_equal(x, 0.0), x.dtype)


def masked_gaussian_log_likelihood(
    x: tf.Tensor, mean: tf.Tensor, mask: tf.Tensor, sd: tf.Tensor
) -> tf.Tensor:
    """sum_t mask_t ln N(x_t; mean_t, sd^2), the likelihood of the numbers without the padding.

    Args:
        x, mean: [batch, time, columns], finite also at the padding.
        mask: [batch, time, 1].
        sd: > 0, a scalar or [columns].

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
        columns: numbers per step.
        signed: whether numbers may be zero or negative, and are scaled by the training data. By
            default they are, if there are several columns. Without it, sequences hold positive
            numbers, and zeros are their padding.
        units: state size of both GRUs.
        dense_units: of the two dense layers before z, the context and the length.
        context_units: size of the context, the decoder cell's input from z.
        differences: whether the encoder gets the differences of neighbouring numbers beside the
            numbers. The report's gets the numbers alone.
        scale, step_scale: divisors inside the model, of positive numbers and of the differences of
            neighbours; each about the size of the largest. With `signed`, the first `fit` (or
            `adapt`) sets mean, scale and step scale of every column.
        first_sd, last_sd: standard deviation of the Gaussian likelihood, by default 50 and 0.5 in
            the numbers' units; with `signed` 0.5 and 0.05 in standard deviations of each column. It
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

    `fit`, `evaluate`, `predict`, `encode` and `reconstruct` take sequences as lists, a
    RaggedTensor, `Sequences`, a padded array [n, time, columns] with its lengths, as (x, lengths),
    or a padded array alone: zeros after the end of positive numbers, nan after that of `signed`
    ones. Batches of a dataset are tensors in one of these forms. Inside, the padding is the mask.

    `compile("adam", jit_compile=True)` makes a step 1.1 times faster on one core, after 18 s of
    compilation. The metrics are those of `VAE`, `number_loss` and `length_loss`, in nats per
    sequence, and `absolute_error`, the mean over numbers in their units.

    >>> from filvm.data.sequences import make_sequences
    >>> vae = SequenceVAE(latent_dim=4, max_length=6, units=8, dense_units=8)
    >>> vae.compile("adam")
    >>> sequences = make_sequences(32, length=(3, 6)).numbers
    >>> history = vae.fit(sequences, epochs=1, verbose=0)
    >>> numbers, lengths = vae.reconstruct(sequences)
    >>> numbers.shape, lengths.shape
    ((32, 6, 1), (32,))

    Two columns of any sign:

    >>> vae = SequenceVAE(2, max_length=3, columns=2, units=4, dense_units=4)
    >>> vae.compile("adam")
    >>> walks = [[[0.0, 1.0], [-1.0, 1.5]], [[2.0, 0.0], [1.0, 0.5], [0.0, -1.0]]]
    >>> history = vae.fit(walks, epochs=1, verbose=0)
    >>> numbers, lengths = vae.reconstruct(walks)
    >>> vae.encode((numbers, lengths))[0].shape
    (2, 2)
    """

    def __init__(
        self,
        latent_dim: int = 4,
        *,
        max_length: int = MAX_LENGTH,
        columns: int = 1,
        signed: bool | None = None,
        units: int = 64,
        dense_units: int = 128,
        context_units: int = 16,
        differences: bool = True,
        scale: float = 1000.0,
        step_scale: float = 50.0,
        first_sd: float | None = None,
        last_sd: float | None = None,
        annealing_steps: int = 10_000,
        length_weight: float = 10.0,
        balanced: bool = True,
        beta: float = 1.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        signed = columns != 1 if signed is None else bool(signed)
        first_sd = (0.5 if signed else 50.0) if first_sd is None else first_sd
        last_sd = (0.05 if signed else 0.5) if last_sd is None else last_sd
        positive = {"scale": scale, "step_scale": step_scale}
        for name, value in {**positive, "first_sd": first_sd, "last_sd": last_sd}.items():
            check_at_least(name, value, 1e-8)
        check_at_least("annealing_steps", annealing_steps, 0)
        check_at_least("length_weight", length_weight, 0)
        check_sizes(latent_dim=latent_dim, max_length=max_length, units=units)
        check_sizes(dense_units=dense_units, context_units=context_units, columns=columns)
        if columns > 1 and not signed:
            raise ValueError(f"signed is False with {columns} columns; expected True, or 1 column")
        check_precision()
        if signed:
            features = ScaledFeatures(differences, dtype=EXACT, name="numbers_and_steps")
            in_units = InUnits(dtype=EXACT, name="numbers")
        else:
            features = NumberFeatures(
                scale, step_scale, differences, dtype=EXACT, name="numbers_and_steps"
            )
            in_units = keras.layers.Rescaling(scale, dtype=EXACT, name="numbers")
        sizes = (max_length, latent_dim, units, dense_units)
        super().__init__(
            sequence_encoder(*sizes, features, columns),
            sequence_decoder(*sizes, context_units, in_units, columns),
            beta=beta,
            seed=seed,
            **kwargs,
        )
        self.max_length, self.columns, self.signed = max_length, columns, signed
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
            "columns": columns,
            "signed": signed,
            "units": units,
            "dense_units": dense_units,
            "context_units": context_units,
            "differences": differences,
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

    # Units.

    def adapt(self, x: Any) -> None:
        """Set the scaling of every column from training data; the first `fit` does it too.

        Args:
            x: sequences in any form. Without `signed`, nothing changes: `scale` is given.
        """
        if not self.signed:
            return
        features = self.encoder.get_layer("numbers_and_steps")
        features.adapt(self.sequences_array(x))
        in_units = self.decoder.get_layer("numbers")
        in_units.mean.assign(features.mean)
        in_units.scale.assign(features.scale)

    def before_training(self, x: Any, y: Any, weights: Any) -> None:
        """Set the scaling, if `adapt` or an earlier `fit` has not."""
        if not self.signed or self.encoder.get_layer("numbers_and_steps").adapted.numpy():
            return
        self.adapt(first_arrays(x, y, weights, "adapt(sequences)")[0])

    def mask(self, x: tf.Tensor) -> tf.Tensor:
        """1.0 at the steps of each sequence, 0.0 at its padding: [batch, time, 1]."""
        if not self.signed:
            return padding_mask(x)
        return tf.cast(tf.logical_not(tf.math.is_nan(x[..., :1])), x.dtype)

    def without_padding(self, x: tf.Tensor) -> tf.Tensor:
        """x with zeros at the padding."""
        return tf.where(tf.math.is_nan(x), tf.zeros_like(x), x) if self.signed else x

    # Losses.

    def sd(self) -> tf.Tensor:
        """Standard deviation of p(number|z) at the current training step, in the numbers' units.

        A scalar; [columns] with `signed`.
        """
        if getattr(self, "optimizer", None) is None:
            sd = tf.constant(self.last_sd)
        else:
            sd = annealed_sd(self.steps, self.first_sd, self.last_sd, self.annealing_steps)
        return sd * self.encoder.get_layer("numbers_and_steps").scale if self.signed else sd

    def log_likelihoods(self, x: tf.Tensor, decoded: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """ln p(numbers|z) and ln p(length|z), each [batch]."""
        numbers, logits = decoded
        mask = self.mask(x)
        lengths = tf.cast(tf.reduce_sum(mask, axis=[1, 2]), tf.int32)
        return (
            masked_gaussian_log_likelihood(self.without_padding(x), numbers, mask, self.sd()),
            length_log_likelihood(lengths, logits),
        )

    def log_likelihood(self, x: tf.Tensor, decoded: Any) -> tf.Tensor:
        numbers, length = self.log_likelihoods(x, decoded)
        return numbers + length

    def elbo_terms(self, x: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """The terms of the ELBO for one draw of z, and the error of the numbers.

        Args:
            x: [batch, max_length, columns].
            seed: of the draw, int32 [2].

        Returns:
            `log_likelihood` [batch] and `kl` [batch, latent_dim], as in `VAE`;
            `number_log_likelihood` and `length_log_likelihood` [batch], which add up to the first;
            and `absolute_error` of every number, 0 at the padding, of the shape of x.
        """
        z_mean, z_log_var = self.encoded(x, training=True)
        decoded = self.decoded(sample_gaussian(z_mean, z_log_var, seed), training=True)
        numbers, length = self.log_likelihoods(x, decoded)
        return {
            "log_likelihood": numbers + length,
            "kl": gaussian_kl(z_mean, z_log_var),
            "number_log_likelihood": numbers,
            "length_log_likelihood": length,
            "absolute_error": self.mask(x) * tf.abs(self.without_padding(x) - decoded[0]),
        }

    def batch_losses(
        self, x: tf.Tensor, seed: tf.Tensor, weights: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        terms = self.elbo_terms(x, seed)
        mask, errors = self.mask(x), terms["absolute_error"] / self.columns
        if weights is not None:
            mask, errors = (part * weights[:, tf.newaxis, tf.newaxis] for part in (mask, errors))
        numbers, length = terms["number_log_likelihood"], terms["length_log_likelihood"]
        if self.balanced:
            lengths = tf.reduce_sum(self.mask(x), axis=[1, 2])
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
        """Sequences in any form as float32 [n, max_length, columns], with their padding.

        Raises:
            ValueError or TypeError: as `positive_array` and `signed_array`.
        """
        if self.signed:
            return signed_array(x, self.max_length, self.columns)
        return positive_array(x, self.max_length)

    def encode(self, x: Any) -> tuple[np.ndarray, np.ndarray]:
        """Sequences in any form -> z_mean and z_log_var, [n, latent_dim]."""
        return super().encode(self.sequences_array(x))

    def decode(self, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """z [n, latent_dim] -> numbers [n, max_length, columns] and lengths [n].

        The numbers are zero after the end of each sequence.
        """
        return super().decode(z)

    # Data of `fit`, `evaluate` and `predict`: see `filvm.vae.batches`.

    def checked_inputs(self, x: Any) -> np.ndarray:
        """Sequences in any form as float32 [n, max_length, columns]."""
        return super().checked_inputs(self.sequences_array(x))

    def with_lengths(self, x: Any, y: Any) -> tuple[Any, Any]:
        """(x, lengths) and None if y is the lengths of an array or tensor x; else x and y."""
        dtype = getattr(y, "dtype", None)
        is_array = hasattr(x, "shape") and not hasattr(x, "row_lengths")
        if is_array and dtype is not None and tf.as_dtype(dtype).is_integer and y.ndim == 1:
            return (x, y), None
        return x, y

    def checked_arrays(self, x: Any, y: Any) -> tuple[np.ndarray, Any]:
        """As `VAE.checked_arrays`; integers y [n] beside an array x are its lengths."""
        return super().checked_arrays(*self.with_lengths(x, y))

    def check_spec(self, x: Any) -> None:
        if check_varying_spec(x, self.columns):
            return
        if self.columns == 1 and isinstance(x, tf.TensorSpec) and x.shape.rank == 2:
            x = tf.TensorSpec([*x.shape, 1], x.dtype)  # numbers without a dimension for the column
        super().check_spec(x)

    def checked_tensors(self, x: Any, y: Any) -> tuple[tf.Tensor, Any]:
        """As `VAE.checked_tensors`; integers y [n] beside a tensor x are its lengths."""
        return super().checked_tensors(*self.with_lengths(x, y))

    def checked_input_tensors(self, x: Any) -> tf.Tensor:
        """A batch of a dataset as float32 [n, max_length, columns], checked in its graph."""
        padding = float("nan") if self.signed else 0.0
        x = padded_batch(x, self.max_length, self.columns, padding)
        return super().checked_input_tensors(x)

    def check_tensors(self, x: tf.Tensor) -> None:
        check_batch(x, signed=self.signed)

    def named(self, observed: tuple[tf.Tensor, tf.Tensor]) -> dict[str, tf.Tensor]:
        numbers, lengths = observed
        return {"sequences": numbers, "lengths": tf.cast(lengths, tf.float32)}

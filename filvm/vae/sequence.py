"""The recurrent VAE of Figures A2-A4: sequences of different lengths to z and back.

    encoder         h_t = GRU([x_t, x_t - x_{t-1}], h_{t-1});
                    z_mean, z_log_var = dense(output, state at the end)
    decoder cell    h_t = GRU([context(z), y_{t-1}], h_{t-1});  y_t = dense(h_t);  y_{-1} = -1
    length decoder  p(length | z) = softmax(dense(z)), over 1 .. max_length

    ln p(x|z) = sum_{t < length} ln N(x_t; y_t(z), sd^2) + ln p(length | z)

Section 2.1, A.1.2 and Figures A2-A4 of the report; the GRU is Cho et al. 2014, arXiv:1406.1078.
The decoder never sees the true sequence, in training or later: it continues what it said itself.
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
from filvm.serving.signatures import require, signature
from filvm.vae.base import LOG_2_PI, VAE, gaussian_kl, sample_gaussian

layers = keras.layers

UNROLL_UP_TO = 64  # steps; longer loops are not unrolled, for XLA takes too long to compile them
FIRST_INPUT = -1.0  # what the decoder is told it said before its first number


def padding_mask(x: tf.Tensor) -> tf.Tensor:
    """1.0 where a sequence has a number, 0.0 where it is padded; x [batch, time, 1]."""
    return tf.cast(tf.not_equal(x, 0.0), x.dtype)


def masked_gaussian_log_likelihood(
    x: tf.Tensor, mean: tf.Tensor, mask: tf.Tensor, sd: tf.Tensor
) -> tf.Tensor:
    """sum_t mask_t ln N(x_t; mean_t, sd^2): what lies in the padding counts for nothing.

    Args: `x`, `mean` and `mask` [batch, time, 1]; `sd` > 0, a scalar. Returns [batch], in nats.
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
class Autoregression(layers.Layer):
    """Calls `cell` once for each step, giving it what it said the step before.

    Args:
        cell: (context [batch, c], previous output [batch, d], state [batch, u]) -> output, state.
        steps: how many.

    The first previous output is -1, the first state zero. Input: context [batch, c]; output:
    [batch, steps, d].
    """

    def __init__(self, cell: keras.Model | dict[str, Any], steps: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cell = keras.saving.deserialize_keras_object(cell) if isinstance(cell, dict) else cell
        self.steps = steps

    def get_config(self) -> dict[str, Any]:
        cell = keras.saving.serialize_keras_object(self.cell)
        return {**super().get_config(), "cell": cell, "steps": self.steps}

    def call(self, context: tf.Tensor) -> tf.Tensor:
        batch = tf.shape(context)[0]
        _, (_, output_size), (_, state_size) = self.cell.input_shape
        output = tf.fill([batch, output_size], FIRST_INPUT)
        state = tf.zeros([batch, state_size])
        if self.steps <= UNROLL_UP_TO:
            outputs = []
            for _ in range(self.steps):
                output, state = self.cell([context, output, state])
                outputs.append(output)
            return tf.stack(outputs, axis=1)

        def step(t: tf.Tensor, output: tf.Tensor, state: tf.Tensor, said: Any) -> Any:
            output, state = self.cell([context, output, state])
            return [t + 1, output, state, said.write(t, output)]

        said = tf.TensorArray(
            tf.float32, size=self.steps, element_shape=tf.TensorShape([None, output_size])
        )
        *_, said = tf.while_loop(
            lambda t, *_: t < self.steps,
            step,
            [tf.constant(0), output, state, said],
            maximum_iterations=self.steps,
        )
        return tf.transpose(said.stack(), [1, 0, 2])


def dense_pair(tensor: tf.Tensor, units: int) -> tf.Tensor:
    """Two dense layers with x * sigmoid(x): what is asked here is smooth, and exactness counts."""
    for index in (1, 2):
        tensor = layers.Dense(units, activation="swish", name=f"dense_{index}")(tensor)
    return tensor


@keras.utils.register_keras_serializable(package="filvm")
class NumberFeatures(layers.Layer):
    """[x_t / scale, (x_t - x_{t-1}) / step_scale], the second 0 at t = 0; masked where x_t = 0.

    Numbers differ by little from their neighbours; told the differences, the GRU need not learn
    to subtract. Input [batch, time, 1], output [batch, time, 2].
    """

    def __init__(self, scale: float, step_scale: float, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.scale, self.step_scale = scale, step_scale

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "scale": self.scale, "step_scale": self.step_scale}

    def call(self, x: tf.Tensor) -> tf.Tensor:
        differences = tf.concat([tf.zeros_like(x[:, :1]), x[:, 1:] - x[:, :-1]], axis=1)
        return tf.concat([x / self.scale, differences / self.step_scale], axis=-1)

    def compute_mask(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        return tf.not_equal(x[..., 0], 0.0)


def sequence_encoder(
    max_length: int,
    latent_dim: int,
    units: int,
    dense_units: int,
    scale: float,
    step_scale: float,
) -> keras.Model:
    """Figure A2: sequences [batch, max_length, 1] -> z_mean, z_log_var, [batch, latent_dim].

    The GRU stops where the padding begins.
    """
    sequences = keras.Input((max_length, 1), name="sequences")
    hidden = NumberFeatures(scale, step_scale, name="numbers_and_steps")(sequences)
    output, state = layers.GRU(
        units, return_state=True, unroll=max_length <= UNROLL_UP_TO, name="gru"
    )(hidden)
    hidden = layers.Concatenate(name="output_and_state")([output, state])
    hidden = dense_pair(hidden, dense_units)
    z_mean = layers.Dense(latent_dim, name="z_mean")(hidden)
    z_log_var = layers.Dense(latent_dim, name="z_log_var")(hidden)
    return keras.Model(sequences, [z_mean, z_log_var], name="encoder")


def decoder_cell(context_units: int, units: int) -> keras.Model:
    """Figure A3: context, previous output and state -> the next output and state."""
    context = keras.Input((context_units,), name="context")
    previous = keras.Input((1,), name="previous_output")
    state = keras.Input((units,), name="state")
    hidden = layers.Concatenate(name="context_and_previous_output")([context, previous])
    output, new_state = layers.GRUCell(units, name="gru_cell")(hidden, state)
    number = layers.Dense(1, name="number")(output)
    return keras.Model([context, previous, state], [number, new_state], name="decoder_cell")


def length_decoder(max_length: int, latent_dim: int, dense_units: int) -> keras.Model:
    """Figure A4: z [batch, latent_dim] -> logits of the lengths 1 .. max_length."""
    z = keras.Input((latent_dim,), name="z")
    logits = layers.Dense(max_length, name="length_logits")(dense_pair(z, dense_units))
    return keras.Model(z, logits, name="length_decoder")


def sequence_decoder(
    max_length: int,
    latent_dim: int,
    units: int,
    dense_units: int,
    context_units: int,
    scale: float,
) -> keras.Model:
    """z -> numbers [batch, max_length, 1], beyond the length too, and logits of the lengths."""
    z = keras.Input((latent_dim,), name="z")
    context = layers.Dense(context_units, name="context")(dense_pair(z, dense_units))
    cell = decoder_cell(context_units, units)
    numbers = Autoregression(cell, max_length, name="autoregression")(context)
    numbers = layers.Rescaling(scale, name="numbers")(numbers)
    logits = length_decoder(max_length, latent_dim, dense_units)(z)
    return keras.Model(z, [numbers, logits], name="decoder")


@keras.utils.register_keras_serializable(package="filvm")
class SequenceVAE(VAE):
    """GRU VAE for sequences of numbers of any length up to a maximum (Figures A2-A4).

    Args:
        latent_dim: size of z; the report's is 4.
        max_length: the longest sequence it takes and makes.
        units: of both GRUs.
        dense_units: of the two dense layers before z, the context and the length.
        context_units: size of what the decoder cell is told of z.
        scale, step_scale: inside the model numbers are divided by the one, and the differences of
            neighbours by the other; each about the size of the largest.
        first_sd, last_sd: standard deviation of the Gaussian likelihood, in the numbers' units;
            it falls from the first to the last, so that training finds its way and then becomes
            exact. A function of the optimiser's step count, so that a resumed run goes on with it.
        annealing_steps: the training steps that takes; 0: `last_sd` from the start.
        length_weight: of the length's likelihood in the loss; a small sd makes the numbers outweigh
            the length by far.
        balanced: whether the loss weighs the numbers' likelihood of each sequence by mean length /
            length, so that the numbers of a short sequence, whose steps are the hardest to tell,
            count together as much as those of a long one.
        beta: weight of the KL term.

    With length_weight 1, beta 1 and without `balanced` the loss is the negative ELBO; any other
    choice departs from it, and `elbo_terms` still gives the ELBO's own terms.
        seed: of the noise; the weights follow `keras.utils.set_random_seed`, as in any Keras model.

    Sequences are float32 [n, max_length, 1], of positive numbers, zero after their length;
    `Sequences` and lists of lists will do as well. `compile("adam", jit_compile=True)` makes a step
    1.1 times faster on one core, once 18 s of compilation are over. Metrics, beside those of `VAE`:
    `number_loss` and `length_loss`, in nats per sequence, and `absolute_error`, the mean over
    numbers in their units.

    **Texts.** The encoder's GRU, `Autoregression`, the length decoder and the masks know of vectors
    and lengths alone. A version for categorical tokens needs five things. `sequences_array` makes
    of texts token numbers [n, max_length], 0 the padding. The encoder has an `Embedding` with
    `mask_zero=True` in place of `NumberFeatures`. The decoder cell ends in one logit a token in
    place of `number`, which `Autoregression` gives it back: told softmax(previous logits) times the
    embedding, it has a gradient, and at first, where all are -1, every token alike; no `Rescaling`
    after it. A masked cross-entropy takes the place of `masked_gaussian_log_likelihood`, and
    `observation` gives the likeliest token. There is no standard deviation to anneal then; anneal
    `beta` from 0 instead, lest z goes unused.

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
        if max_length < 1:
            raise ValueError(f"max_length is {max_length}; expected at least 1")
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

    # The objective.

    def sd(self) -> tf.Tensor:
        """Standard deviation of p(number|z) at the current training step, in the numbers' units."""
        if getattr(self, "optimizer", None) is None:
            return tf.constant(self.last_sd)
        return annealed_sd(
            self.optimizer.iterations, self.first_sd, self.last_sd, self.annealing_steps
        )

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
        of_numbers, of_length = self.log_likelihoods(x, decoded)
        return of_numbers + of_length

    def elbo_terms(self, x: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """The terms of the ELBO for one draw of z, and the error they come from.

        Returns `log_likelihood` [batch] and `kl` [batch, latent_dim] as every VAE, the ELBO's own;
        the former's two parts, `number_log_likelihood` and `length_log_likelihood` [batch]; and
        `absolute_error`, a scalar: the mean over the numbers of the batch.
        """
        z_mean, z_log_var = self.encoder(x, training=True)
        decoded = self.decoder(sample_gaussian(z_mean, z_log_var, seed), training=True)
        of_numbers, of_length = self.log_likelihoods(x, decoded)
        mask = padding_mask(x)
        errors = tf.reduce_sum(mask * tf.abs(x - decoded[0]))
        return {
            "log_likelihood": of_numbers + of_length,
            "kl": gaussian_kl(z_mean, z_log_var),
            "number_log_likelihood": of_numbers,
            "length_log_likelihood": of_length,
            "absolute_error": tf.math.divide_no_nan(errors, tf.reduce_sum(mask)),
        }

    def losses_of(self, x: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        terms = self.elbo_terms(x, seed)
        of_numbers, of_length = terms["number_log_likelihood"], terms["length_log_likelihood"]
        if self.balanced:
            lengths = tf.reduce_sum(padding_mask(x), axis=[1, 2])
            of_numbers *= tf.math.divide_no_nan(tf.reduce_mean(lengths), lengths)
        reconstruction = -tf.reduce_mean(of_numbers + self.length_weight * of_length)
        kl = tf.reduce_mean(tf.reduce_sum(terms["kl"], axis=-1))
        return {
            "loss": reconstruction + self.beta * kl,
            "reconstruction_loss": reconstruction,
            "kl_loss": kl,
            "number_loss": -tf.reduce_mean(terms["number_log_likelihood"]),
            "length_loss": -tf.reduce_mean(terms["length_log_likelihood"]),
            "absolute_error": terms["absolute_error"],
        }

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*super().metrics, *self.own_trackers]

    # What users call.

    def observation(self, decoded: Any) -> tuple[tf.Tensor, tf.Tensor]:
        """Numbers, zero beyond the most probable length, and that length, int32 [batch]."""
        numbers, logits = decoded
        lengths = tf.argmax(logits, axis=-1, output_type=tf.int32) + 1
        mask = tf.sequence_mask(lengths, self.max_length, dtype=numbers.dtype)
        return numbers * mask[:, :, tf.newaxis], lengths

    def sequences_array(self, x: Any) -> np.ndarray:
        """What was given, as float32 [n, max_length, 1].

        Args: an array [n, time, 1] or [n, time] of positive numbers, zero after each sequence's
        length; `Sequences`; or a list of lists. Raises ValueError or TypeError where a sequence is
        longer than `max_length`, is empty, or holds what is not a positive number up to 2^24.
        """
        if isinstance(x, Sequences):
            x = x.numbers
        if not hasattr(x, "shape"):
            if isinstance(x, Iterable) and not isinstance(x, (str, bytes)):
                x = list(x)
            x = sequences_from_lists(x).numbers
        x = np.asarray(x)
        if x.dtype.kind not in "fiu":
            raise TypeError(f"the sequences are {x.dtype}; expected numbers")
        if x.ndim == 2:
            x = x[:, :, np.newaxis]
        if x.ndim != 3 or x.shape[2] != 1:
            raise ValueError(
                f"the sequences have shape {list(x.shape)}; expected [n, {self.max_length}, 1]"
            )
        lengths = padded_lengths(x)
        before_padding = np.arange(x.shape[1]) < np.maximum(lengths, 1)[:, np.newaxis]
        wrong = ~((x >= 0) & (x <= LARGEST_EXACT))  # nan is neither
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
        """z [n, latent_dim] -> numbers [n, max_length, 1], zero after the lengths, these [n]."""
        return super().decode(z)

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """As `keras.Model.fit`; x is sequences in any form or a `tf.data.Dataset` of batches."""
        if isinstance(x, (np.ndarray, Sequences, list, tuple)):
            x = self.sequences_array(x)
        return super().fit(x, *args, **kwargs)

    def check_tensors(self, x: tf.Tensor) -> None:
        number = x > 0
        require(
            tf.math.is_finite(x) & (number | (x == 0)), "sequences must hold finite numbers > 0"
        )
        require(
            tf.concat([number[:, :1], number[:, :-1] | ~number[:, 1:]], axis=1),
            "sequences must have zeros only as padding after their numbers",
        )

    def signatures(self) -> dict[str, tf.types.experimental.GenericFunction]:
        sequences = tf.TensorSpec((None, self.max_length, 1), tf.float32, name="sequences")
        z = tf.TensorSpec((None, self.latent_dim), tf.float32, name="z")

        def answer(numbers: tf.Tensor, lengths: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"sequences": numbers, "lengths": tf.cast(lengths, tf.float32)}

        @signature(sequences)
        def reconstruct(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            self.check_tensors(inputs["sequences"])
            return answer(*self(inputs["sequences"]))

        @signature(sequences)
        def encode(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            self.check_tensors(inputs["sequences"])
            z_mean, z_log_var = self.encoder(inputs["sequences"])
            return {"z_mean": z_mean, "z_log_var": z_log_var}

        @signature(z)
        def decode(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return answer(*self.observation(self.decoder(inputs["z"])))

        return {
            "serving_default": reconstruct,
            "reconstruct": reconstruct,
            "encode": encode,
            "decode": decode,
        }

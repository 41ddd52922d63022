"""The networks of Figures A2-A4: recurrent encoder, autoregressive decoder, length decoder.

    encoder         h_t = GRU([x_t, x_t - x_{t-1}], h_{t-1});
                    z_mean, z_log_var = dense(output, final state)
    decoder cell    h_t = GRU([context(z), y_{t-1}], h_{t-1});  y_t = dense(h_t);  y_{-1} = -1
    length decoder  p(length | z) = softmax(dense(z)), over 1 .. max_length

Section A.1.2 of the report; the GRU is Cho et al. 2014, arXiv:1406.1078. The decoder never gets the
true sequence, in training or later: its input is its own output.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

layers = keras.layers

UNROLL_UP_TO = 64  # steps; XLA takes too long to compile longer unrolled loops
EXACT = "float32"  # the dtype of numbers and states with every policy of Keras
FIRST_INPUT = -1.0  # the decoder's previous output at the first step


@keras.utils.register_keras_serializable(package="filvm")
class Autoregression(layers.Layer):
    """Calls `cell` once per step, with its own output of the step before.

        y_t, h_t = cell(context, y_{t-1}, h_{t-1}),   y_{-1} = -1,   h_{-1} = 0

    Args:
        cell: (context [batch, c], previous output [batch, d], state [batch, u]) -> output, state.
        steps: number of steps.

    Call argument: context [batch, c]. Returns y, [batch, steps, d].
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

        def step(t: tf.Tensor, output: tf.Tensor, state: tf.Tensor, outputs: Any) -> Any:
            output, state = self.cell([context, output, state])
            return [t + 1, output, state, outputs.write(t, output)]

        outputs = tf.TensorArray(
            tf.float32, size=self.steps, element_shape=tf.TensorShape([None, output_size])
        )
        *_, outputs = tf.while_loop(
            lambda t, *_: t < self.steps,
            step,
            [tf.constant(0), output, state, outputs],
            maximum_iterations=self.steps,
        )
        return tf.transpose(outputs.stack(), [1, 0, 2])


def dense_pair(tensor: tf.Tensor, units: int, name: str = "dense") -> tf.Tensor:
    """Two dense layers with x * sigmoid(x), which fits smooth functions more exactly than ReLU."""
    for index in (1, 2):
        tensor = layers.Dense(units, activation="swish", name=f"{name}_{index}")(tensor)
    return tensor


@keras.utils.register_keras_serializable(package="filvm")
class NumberFeatures(layers.Layer):
    """[x_t / scale, (x_t - x_{t-1}) / step_scale], the second 0 at t = 0; masked where x_t = 0.

    Neighbouring numbers differ little; with the differences as input, the GRU need not learn to
    subtract. Call argument: x [batch, time, 1]. Returns [batch, time, 2], or [batch, time, 1]
    without `differences`, as the report's encoder has it.
    """

    def __init__(
        self, scale: float, step_scale: float, differences: bool = True, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.scale, self.step_scale, self.differences = scale, step_scale, differences

    def get_config(self) -> dict[str, Any]:
        own = {name: getattr(self, name) for name in ("scale", "step_scale", "differences")}
        return {**super().get_config(), **own}

    def call(self, x: tf.Tensor) -> tf.Tensor:
        if not self.differences:
            return x / self.scale
        differences = tf.concat([tf.zeros_like(x[:, :1]), x[:, 1:] - x[:, :-1]], axis=1)
        return tf.concat([x / self.scale, differences / self.step_scale], axis=-1)

    def compute_mask(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        return tf.not_equal(x[..., 0], 0.0)


@keras.utils.register_keras_serializable(package="filvm")
class ScaledFeatures(layers.Layer):
    """[(x_t - mean) / scale, (x_t - x_{t-1}) / step_scale] of every column; masked where nan.

    `mean`, `scale` and `step_scale` [columns] are weights: `adapt` takes them from training data.
    Call argument: x [batch, time, columns], nan after the end. Returns [batch, time, 2 * columns],
    or [batch, time, columns] without `differences`.
    """

    def __init__(self, differences: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.differences = differences

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "differences": self.differences}

    def build(self, shape: Any) -> None:
        def constant(name: str, initializer: str, size: list[int]) -> tf.Variable:
            return self.add_weight(name, size, EXACT, initializer, trainable=False)

        columns = [int(shape[-1])]
        self.mean = constant("mean", "zeros", columns)
        self.scale = constant("scale", "ones", columns)
        self.step_scale = constant("step_scale", "ones", columns)
        self.adapted = constant("adapted", "zeros", [])
        super().build(shape)

    def adapt(self, x: np.ndarray) -> None:
        """Set the weights from series [n, time, columns], nan after their ends."""
        x = np.asarray(x, np.float64)
        self.mean.assign(np.nanmean(x, axis=(0, 1)))
        self.scale.assign(_spread(x))
        self.step_scale.assign(_spread(np.diff(x, axis=1)))
        self.adapted.assign(1.0)

    def call(self, x: tf.Tensor) -> tf.Tensor:
        known = self.compute_mask(x)[..., tf.newaxis]
        numbers = tf.where(known, x, self.mean)
        if not self.differences:
            return (numbers - self.mean) / self.scale
        steps = tf.where(known[:, 1:], numbers[:, 1:] - numbers[:, :-1], 0.0)
        steps = tf.concat([tf.zeros_like(numbers[:, :1]), steps], axis=1)
        return tf.concat([(numbers - self.mean) / self.scale, steps / self.step_scale], axis=-1)

    def compute_mask(self, x: tf.Tensor, mask: tf.Tensor | None = None) -> tf.Tensor:
        return tf.logical_not(tf.math.is_nan(x[..., 0]))


def _spread(x: np.ndarray) -> np.ndarray:
    """Standard deviation of every column without the padding of nan; 1 where it is 0 or unknown."""
    known = np.where(np.isnan(x).all(axis=(0, 1)), 0.0, x)
    deviation = np.nanstd(known, axis=(0, 1)) if x.shape[1] else np.zeros(x.shape[2])
    varies = deviation > np.maximum(1e-6 * np.abs(np.nanmean(known, axis=(0, 1))), 1e-30)
    return np.where(varies, deviation, 1.0)


@keras.utils.register_keras_serializable(package="filvm")
class InUnits(layers.Layer):
    """y * scale + mean of every column: the inverse of the first half of `ScaledFeatures`."""

    def build(self, shape: Any) -> None:
        columns = [int(shape[-1])]
        self.mean = self.add_weight("mean", columns, EXACT, "zeros", trainable=False)
        self.scale = self.add_weight("scale", columns, EXACT, "ones", trainable=False)
        super().build(shape)

    def call(self, y: tf.Tensor) -> tf.Tensor:
        return y * self.scale + self.mean


def sequence_encoder(
    max_length: int,
    latent_dim: int,
    units: int,
    dense_units: int,
    features: layers.Layer,
    columns: int = 1,
) -> keras.Model:
    """Figure A2: sequences [batch, max_length, columns] -> z_mean, z_log_var, [batch, latent_dim].

    The GRU stops at the padding, which the layer `features` masks.
    """
    sequences = keras.Input((max_length, columns), name="sequences")
    hidden = features(sequences)
    output, state = layers.GRU(
        units, return_state=True, unroll=max_length <= UNROLL_UP_TO, dtype=EXACT, name="gru"
    )(hidden)
    hidden = layers.Concatenate(dtype=EXACT, name="output_and_state")([output, state])
    hidden = dense_pair(hidden, dense_units)
    z_mean = layers.Dense(latent_dim, dtype=EXACT, name="z_mean")(hidden)
    z_log_var = layers.Dense(latent_dim, dtype=EXACT, name="z_log_var")(hidden)
    return keras.Model(sequences, [z_mean, z_log_var], name="encoder")


def decoder_cell(context_units: int, units: int, columns: int = 1) -> keras.Model:
    """Figure A3: context, previous output and state -> the next output and state."""
    context = keras.Input((context_units,), name="context")
    previous = keras.Input((columns,), name="previous_output")
    state = keras.Input((units,), name="state")
    hidden = layers.Concatenate(dtype=EXACT, name="context_and_previous_output")(
        [context, previous]
    )
    output, new_state = layers.GRUCell(units, dtype=EXACT, name="gru_cell")(hidden, state)
    number = layers.Dense(columns, dtype=EXACT, name="number")(output)
    return keras.Model([context, previous, state], [number, new_state], name="decoder_cell")


def length_decoder(max_length: int, latent_dim: int, dense_units: int) -> keras.Model:
    """Figure A4: z [batch, latent_dim] -> logits of the lengths 1 .. max_length."""
    z = keras.Input((latent_dim,), name="z")
    hidden = dense_pair(z, dense_units, "length_dense")  # a name of its own: HDF5 needs it
    logits = layers.Dense(max_length, dtype=EXACT, name="length_logits")(hidden)
    return keras.Model(z, logits, name="length_decoder")


def sequence_decoder(
    max_length: int,
    latent_dim: int,
    units: int,
    dense_units: int,
    context_units: int,
    in_units: layers.Layer,
    columns: int = 1,
) -> keras.Model:
    """z -> numbers [batch, max_length, columns] and the logits of the lengths 1 .. max_length.

    The layer `in_units` gives the numbers their units.
    """
    z = keras.Input((latent_dim,), name="z")
    hidden = dense_pair(z, dense_units)
    context = layers.Dense(context_units, dtype=EXACT, name="context")(hidden)
    cell = decoder_cell(context_units, units, columns)
    numbers = Autoregression(cell, max_length, dtype=EXACT, name="autoregression")(context)
    numbers = in_units(numbers)
    logits = length_decoder(max_length, latent_dim, dense_units)(z)
    return keras.Model(z, [numbers, logits], name="decoder")

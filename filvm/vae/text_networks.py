"""The networks of the `TextVAE`: a convolutional encoder and a recurrent decoder.

    encoder    z_mean, z_log_var = dense(convolutions(embedding(x)))
    decoder    c = dense(z), one vector per place;   h_t = GRU([embedding(x_{t-1}), c_t], h_{t-1});
               p(x_t | x_1 .. x_{t-1}, z) = softmax(dense([h_t, c_t]));   x_0 = 0,   h_0 = 0

In training the decoder gets the true token before each place, and later its own, the most probable
one. With the tokens before as input, z need not hold what the language's spelling says anyway.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
import tf_keras as keras

from filvm.vae.recurrent import EXACT, UNROLL_UP_TO

layers = keras.layers


def text_encoder(
    max_length: int, num_tokens: int, latent_dim: int, filters: Sequence[int], dense_units: int
) -> keras.Model:
    """Numbers of tokens [batch, max_length] -> z_mean, z_log_var, each [batch, latent_dim]."""
    numbers = keras.Input((max_length,), name="tokens")
    hidden = layers.Embedding(num_tokens + 1, 32, dtype=EXACT, name="embedding")(numbers)
    for index, channels in enumerate(filters, start=1):
        hidden = layers.Conv1D(
            channels, 3, padding="same", activation="relu", name=f"conv_{index}"
        )(hidden)
    hidden = layers.Flatten(name="flatten")(hidden)
    hidden = layers.Dense(dense_units, activation="relu", name="dense")(hidden)
    z_mean = layers.Dense(latent_dim, dtype=EXACT, name="z_mean")(hidden)
    z_log_var = layers.Dense(latent_dim, dtype=EXACT, name="z_log_var")(hidden)
    return keras.Model(numbers, [z_mean, z_log_var], name="encoder")


def conditions_network(
    max_length: int, latent_dim: int, dense_units: int, condition_units: int
) -> keras.Model:
    """z [batch, latent_dim] -> c, [batch, max_length, condition_units]."""
    z = keras.Input((latent_dim,), name="z")
    hidden = layers.Dense(dense_units, activation="relu", name="dense")(z)
    hidden = layers.Dense(
        max_length * condition_units, activation="relu", dtype=EXACT, name="dense_to_places"
    )(hidden)
    places = layers.Reshape((max_length, condition_units), name="places")(hidden)
    return keras.Model(z, places, name="conditions")


@keras.utils.register_keras_serializable(package="filvm")
class TokenDecoder(layers.Layer):
    """Logits of the tokens at every place, from the conditions and the tokens before.

    Args:
        num_tokens: without the padding.
        units: state size of the GRU.

    Call argument: conditions [batch, places, c]; the token before each place is the most probable
    one. Returns logits [batch, places, num_tokens + 1].
    """

    def __init__(self, num_tokens: int, units: int, **kwargs: Any) -> None:
        super().__init__(**{**kwargs, "dtype": EXACT})
        self.num_tokens, self.units = num_tokens, units
        self.embedding = layers.Embedding(num_tokens + 1, 32, dtype=EXACT, name="embedding")
        self.cell = layers.GRUCell(units, dtype=EXACT, name="gru_cell")
        self.logits = layers.Dense(num_tokens + 1, dtype=EXACT, name="logits")

    def get_config(self) -> dict[str, Any]:
        config = {"num_tokens": self.num_tokens, "units": self.units}
        return {**super().get_config(), **config}

    def build(self, shape: Any) -> None:
        self.embedding.build(None)
        self.cell.build([None, 32 + int(shape[-1])])
        self.logits.build([None, self.units + int(shape[-1])])
        super().build(shape)

    def step(
        self, condition: tf.Tensor, before: tf.Tensor, state: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """One place: c_t [batch, c], x_{t-1} int [batch] and h_{t-1} -> logits and h_t."""
        inputs = tf.concat([self.embedding(before), condition], axis=-1)
        output, state = self.cell(inputs, state)
        return self.logits(tf.concat([output, condition], axis=-1)), state

    def teacher_forced(self, conditions: tf.Tensor, before: tf.Tensor) -> tf.Tensor:
        """The logits with the true tokens before each place, int [batch, places]."""
        inputs = tf.concat([self.embedding(before), conditions], axis=-1)
        states, state = [], tf.zeros([tf.shape(inputs)[0], self.units])
        if conditions.shape[1] > UNROLL_UP_TO:
            outputs = layers.RNN(self.cell, return_sequences=True, dtype=EXACT)(inputs)
        else:
            for place in range(conditions.shape[1]):
                output, state = self.cell(inputs[:, place], state)
                states.append(output)
            outputs = tf.stack(states, axis=1)
        return self.logits(tf.concat([outputs, conditions], axis=-1))

    def call(self, conditions: tf.Tensor) -> tf.Tensor:
        batch, places = tf.shape(conditions)[0], conditions.shape[1]
        before, state = tf.zeros([batch], tf.int32), tf.zeros([batch, self.units])
        if places <= UNROLL_UP_TO:
            found = []
            for place in range(places):
                logits, state = self.step(conditions[:, place], before, state)
                before = tf.argmax(logits, axis=-1, output_type=tf.int32)
                found.append(logits)
            return tf.stack(found, axis=1)

        def one(t: tf.Tensor, before: tf.Tensor, state: tf.Tensor, found: Any) -> Any:
            logits, state = self.step(conditions[:, t], before, state)
            before = tf.argmax(logits, axis=-1, output_type=tf.int32)
            return [t + 1, before, state, found.write(t, logits)]

        found = tf.TensorArray(
            tf.float32, size=places, element_shape=tf.TensorShape([None, self.num_tokens + 1])
        )
        *_, found = tf.while_loop(
            lambda t, *_: t < places,
            one,
            [tf.constant(0), before, state, found],
            maximum_iterations=places,
        )
        return tf.transpose(found.stack(), [1, 0, 2])

"""The VAE of texts: strings to z and back.

    ln p(x|z) = sum_{t=1..T} ln softmax(logits_t(z))[x_t]

x_t is the number of the token at place t, from 1, and 0 after the text's end, so the class 0 says
where a text ends. The places are independent of each other given z: nothing is fed back, and z
holds the whole text. Section 7 of the report leaves texts to the future.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from filvm.serving.signatures import require
from filvm.vae.base import VAE
from filvm.vae.elbo import gaussian_kl, sample_gaussian
from filvm.vae.model import batch_mean, check_precision
from filvm.vae.sizes import check_at_least, check_sizes
from filvm.vae.tokens import PADDING, UNKNOWN, Tokenizer, Vocabulary, tokenizer_of

layers = keras.layers

CHUNK = 65_536  # texts per call of a tokenizer, to limit memory
EXACT = "float32"  # the numbers of tokens, with every policy of Keras


def categorical_log_likelihood(numbers: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """sum_t ln softmax(logits_t)[numbers_t], over all places with the padding.

    Args:
        numbers: of the tokens, [batch, places].
        logits: [batch, places, classes].

    Returns:
        [batch], in nats.
    """
    cross_entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(
        labels=tf.cast(numbers, tf.int32), logits=logits
    )
    return -tf.reduce_sum(cross_entropy, axis=1)


def text_encoder(
    max_length: int,
    num_tokens: int,
    latent_dim: int,
    filters: Sequence[int],
    dense_units: int,
) -> keras.Model:
    """Numbers of tokens [batch, max_length] -> z_mean, z_log_var, each [batch, latent_dim]."""
    numbers = keras.Input((max_length,), name="tokens")
    hidden = layers.Embedding(
        num_tokens + 1, max(filters[0] // 2, 1), dtype=EXACT, name="embedding"
    )(numbers)
    for index, channels in enumerate(filters, start=1):
        hidden = layers.Conv1D(
            channels, 3, padding="same", activation="relu", name=f"conv_{index}"
        )(hidden)
    hidden = layers.Flatten(name="flatten")(hidden)
    hidden = layers.Dense(dense_units, activation="relu", name="dense")(hidden)
    z_mean = layers.Dense(latent_dim, dtype=EXACT, name="z_mean")(hidden)
    z_log_var = layers.Dense(latent_dim, dtype=EXACT, name="z_log_var")(hidden)
    return keras.Model(numbers, [z_mean, z_log_var], name="encoder")


def text_decoder(
    max_length: int,
    num_tokens: int,
    latent_dim: int,
    filters: Sequence[int],
    dense_units: int,
) -> keras.Model:
    """z [batch, latent_dim] -> logits [batch, max_length, num_tokens + 1]."""
    z = keras.Input((latent_dim,), name="z")
    hidden = layers.Dense(dense_units, activation="relu", name="dense")(z)
    each = max(filters[-1] // 2, 1)  # channels of a place
    hidden = layers.Dense(max_length * each, activation="relu", name="dense_to_text")(hidden)
    hidden = layers.Reshape((max_length, each), name="reshape")(hidden)
    for index, channels in enumerate(reversed(filters), start=1):
        hidden = layers.Conv1D(
            channels, 3, padding="same", activation="relu", name=f"conv_{index}"
        )(hidden)
    logits = layers.Dense(num_tokens + 1, dtype=EXACT, name="logits")(hidden)
    return keras.Model(z, logits, name="decoder")


@keras.utils.register_keras_serializable(package="filvm")
class TextVAE(VAE):
    """Convolutional VAE for texts of up to `max_length` tokens.

    Args:
        latent_dim: size of z.
        tokens: all tokens that texts may hold; one string stands for its characters.
        max_length: the largest number of tokens of a text.
        tokenizer: "characters", "words" (between white space), or an object as
            `filvm.vae.tokens.Tokenizer` describes it.
        lower: convert texts to lower case first; for the tokenizers with a name.
        filters: channels of the encoder's convolutions over three places each, first to last; the
            decoder's are mirrored.
        dense_units: size of the dense layer between the convolutions and z.
        beta: weight of the KL term; the one at the end of the warm-up.
        warm_up_steps: training steps in which the weight of the KL term rises from 0 to `beta`
            along a straight line. Without them the posterior collapses: the decoder learns the
            frequencies of the tokens first, and z becomes noise before it is of use.
        seed: of the noise. Initial weights follow `keras.utils.set_random_seed`, as in Keras.

    Texts are a string array, a list, a Series or a tensor [n], in `fit`, `evaluate`, `predict`,
    `encode` and `reconstruct`; datasets have batches of strings. Inside, a text is its tokens'
    numbers, float32 [max_length], which all of these take as well. `decode`, `reconstruct`,
    `predict` and `sample` return strings [n]: the most probable token of each place, up to the
    first padding.

    The metrics are those of `VAE`, with the present weight of the KL term in `loss`;
    `full_loss = reconstruction_loss + beta * kl_loss`, which is comparable between epochs; and
    `text_accuracy`, the share of texts whose every place is right for a draw of z.

    >>> vae = TextVAE.for_texts(["one", "two", "three"], latent_dim=2, filters=(8,), dense_units=8)
    >>> vae.max_length, "".join(vae.tokens)
    (5, 'ehnortw')
    >>> vae.compile("adam")
    >>> history = vae.fit(["one", "two", "three"], epochs=1, verbose=0)
    >>> vae.reconstruct(["one", "two"]).shape
    (2,)
    """

    def __init__(
        self,
        latent_dim: int = 24,
        *,
        tokens: str | Sequence[str] = "abcdefghijklmnopqrstuvwxyz",
        max_length: int = 12,
        tokenizer: str | dict[str, Any] | Tokenizer = "characters",
        lower: bool = False,
        filters: Sequence[int] = (128, 128),
        dense_units: int = 384,
        beta: float = 0.1,
        warm_up_steps: int = 5_000,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        filters = tuple(filters)
        check_sizes(latent_dim=latent_dim, max_length=max_length, dense_units=dense_units)
        check_sizes(filters=filters)
        check_at_least("warm_up_steps", warm_up_steps, 0)
        check_precision()
        vocabulary = Vocabulary(tokens)
        sizes = (max_length, len(vocabulary), latent_dim, filters, dense_units)
        super().__init__(text_encoder(*sizes), text_decoder(*sizes), beta=beta, seed=seed, **kwargs)
        self.max_length = max_length
        self.tokenizer = tokenizer_of(tokenizer, lower)
        self.vocabulary = vocabulary
        self.warm_up_steps = warm_up_steps
        self.own_trackers = [keras.metrics.Mean(name=n) for n in ("full_loss", "text_accuracy")]
        self._config = {
            "latent_dim": latent_dim,
            "tokens": list(vocabulary.tokens),
            "max_length": max_length,
            "tokenizer": keras.saving.serialize_keras_object(self.tokenizer),
            "filters": filters,
            "dense_units": dense_units,
            "beta": beta,
            "warm_up_steps": warm_up_steps,
            "seed": seed,
        }

    @classmethod
    def for_texts(
        cls,
        texts: Iterable[str],
        latent_dim: int = 24,
        *,
        tokenizer: str | Tokenizer = "characters",
        lower: bool = False,
        **kwargs: Any,
    ) -> TextVAE:
        """A model whose tokens and largest length are those of the texts.

        Args:
            texts: to train on.
            latent_dim, tokenizer, lower, kwargs: of `TextVAE`; `max_length` may be larger.
        """
        tokenizer = tokenizer_of(tokenizer, lower)
        split = tokenizer.split(tf.constant(string_array(texts).tolist(), tf.string))
        if not split.flat_values.shape[0]:
            raise ValueError("the texts hold no token; expected at least one")
        found = np.unique(split.flat_values.numpy().astype(bytes))
        longest = int(tf.reduce_max(split.row_lengths()))
        return cls(
            latent_dim,
            tokens=[token.decode("utf-8") for token in found],
            tokenizer=tokenizer,
            **{"max_length": longest, **kwargs},
        )

    def get_config(self) -> dict[str, Any]:
        return {**self._config, "name": self.name}

    @property
    def tokens(self) -> tuple[str, ...]:
        """All tokens; token k has the number k + 1."""
        return self.vocabulary.tokens

    # Losses.

    def log_likelihood(self, x: tf.Tensor, decoded: tf.Tensor) -> tf.Tensor:
        return categorical_log_likelihood(x, decoded)

    def kl_weight(self) -> tf.Tensor:
        """beta * min(1, step / warm_up_steps), the weight of the KL term at this training step."""
        progress = tf.cast(self.steps, tf.float32) / max(self.warm_up_steps, 1)
        return self.beta * (tf.minimum(1.0, progress) if self.warm_up_steps else 1.0)

    def batch_losses(
        self, x: tf.Tensor, seed: tf.Tensor, weights: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        z_mean, z_log_var = self.encoded(x, training=True)
        logits = self.decoded(sample_gaussian(z_mean, z_log_var, seed), training=True)
        reconstruction = -batch_mean(self.log_likelihood(x, logits), weights)
        kl = batch_mean(tf.reduce_sum(gaussian_kl(z_mean, z_log_var), axis=-1), weights)
        right = tf.argmax(logits, axis=-1, output_type=tf.int32) == tf.cast(x, tf.int32)
        all_right = tf.cast(tf.reduce_all(right, axis=1), tf.float32)
        return {
            "loss": reconstruction + self.kl_weight() * kl,
            "reconstruction_loss": reconstruction,
            "kl_loss": kl,
            "full_loss": reconstruction + self.beta * kl,
            "text_accuracy": batch_mean(all_right, weights),
        }

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return [*super().metrics, *self.own_trackers]

    # Strings and numbers of tokens.

    def observation(self, decoded: tf.Tensor) -> tf.Tensor:
        """Logits -> strings [n]: the most probable tokens, up to the first padding."""
        numbers = tf.argmax(decoded, axis=-1, output_type=tf.int32)
        before_end = tf.math.cumprod(tf.cast(numbers != PADDING, tf.int32), axis=1)
        return self.tokenizer.join(self.vocabulary.strings(numbers * before_end))

    def numbers_of(self, texts: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Strings [n] -> numbers int32 [n, max_length], and numbers of tokens int64 [n].

        A number is -1 where the vocabulary lacks the token, and 0 after the text's end.
        """
        split = self.tokenizer.split(texts)
        return self.vocabulary.numbers(split, self.max_length), split.row_lengths()

    def tokens_array(self, x: Any) -> np.ndarray:
        """Texts as numbers of tokens, float32 [n, max_length]; such numbers are checked alone.

        Raises:
            ValueError or TypeError that names the text: it is no string, holds a token that the
            vocabulary lacks, or more than `max_length` of them.
        """
        if getattr(x, "ndim", 1) == 2 and np.asarray(x).dtype.kind in "iuf":
            return self._checked_numbers(np.asarray(x))
        texts = string_array(x)
        numbers = np.zeros((len(texts), self.max_length), np.float32)
        for start in range(0, len(texts), CHUNK):
            part = texts[start : start + CHUNK]
            found, lengths = map(np.asarray, self.numbers_of(tf.constant(part.tolist(), tf.string)))
            if (lengths > self.max_length).any():
                row = int((lengths > self.max_length).argmax())
                raise ValueError(
                    f"text {start + row}, {shown(part[row])}, has {lengths[row]} tokens; expected "
                    f"at most {self.max_length}: shorten it, or create a TextVAE with a larger "
                    "max_length"
                )
            if (found == UNKNOWN).any():
                row, place = np.argwhere(found == UNKNOWN)[0]
                token = self.tokenizer.split(tf.constant([part[row]]))[0, int(place)].numpy()
                raise ValueError(
                    f"text {start + row}, {shown(part[row])}, holds {token.decode('utf-8')!r} at "
                    f"place {place}; expected tokens among {shown(' '.join(self.tokens))}: replace "
                    "it, or create a TextVAE with it among its tokens"
                )
            numbers[start : start + len(part)] = found
        return numbers

    def _checked_numbers(self, numbers: np.ndarray) -> np.ndarray:
        super().check_observations(numbers)
        known = (numbers >= 0) & (numbers <= len(self.tokens)) & (numbers == np.floor(numbers))
        after_end = (numbers[:, 1:] != PADDING) & (numbers[:, :-1] == PADDING)
        if not known.all() or after_end.any():
            raise ValueError(
                f"the numbers of tokens are not whole numbers from 0 to {len(self.tokens)} with "
                "zeros only after each text's end; expected such numbers, or strings"
            )
        return numbers.astype(np.float32)

    # Methods for users.

    def encode(self, x: Any) -> tuple[np.ndarray, np.ndarray]:
        """Texts [n] -> z_mean and z_log_var, float32 [n, latent_dim] each."""
        return super().encode(self.tokens_array(x))

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> np.ndarray:
        """The reconstructions of texts, strings [n]; arguments as in `keras.Model.predict`."""
        return decoded_strings(super().predict(x, *args, **kwargs))

    def _means(self, outputs: np.ndarray) -> np.ndarray:
        return decoded_strings(self.observation(outputs))

    # Data of `fit`, `evaluate` and `predict`: see `filvm.vae.batches`.

    def checked_inputs(self, x: Any) -> np.ndarray:
        return super().checked_inputs(self.tokens_array(x))

    def check_spec(self, x: Any) -> None:
        if getattr(x, "dtype", None) == tf.string:
            if not x.shape.is_compatible_with([None]):
                raise ValueError(f"the dataset's texts have shape {x.shape}; expected [n] strings")
            return
        super().check_spec(x)

    def checked_input_tensors(self, x: tf.Tensor) -> tf.Tensor:
        if x.dtype == tf.string:
            return self.received(x)
        return super().checked_input_tensors(x)

    def check_tensors(self, x: tf.Tensor) -> None:
        require(
            (x >= 0) & (x <= float(len(self.tokens))) & (x == tf.floor(x)),
            f"tokens must hold whole numbers from 0 to {len(self.tokens)}",
        )
        require(
            (x[:, 1:] == PADDING) | (x[:, :-1] != PADDING),
            "tokens must hold zeros only after each text's end",
        )

    # Serving.

    @property
    def served_spec(self) -> tf.TensorSpec:
        """The input of the signatures: strings [n]."""
        return tf.TensorSpec([None], tf.string, "texts")

    def received(self, x: tf.Tensor) -> tf.Tensor:
        """Strings [n], checked in the graph -> numbers of tokens, float32 [n, max_length]."""
        numbers, lengths = self.numbers_of(x)
        require(
            lengths <= self.max_length, f"texts must hold at most {self.max_length} tokens each"
        )
        require(
            numbers != UNKNOWN, f"texts must hold tokens among {shown(' '.join(self.tokens))} alone"
        )
        return tf.cast(tf.maximum(numbers, PADDING), tf.float32)  # no other op fails first

    def named(self, observed: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"texts": observed}


def string_array(texts: Any) -> np.ndarray:
    """Texts in any form as an array of Python strings, object [n].

    Raises:
        TypeError, ValueError: they are no list of strings; the first wrong row is named.
    """
    if isinstance(texts, str | bytes) or getattr(texts, "shape", None) == ():
        raise TypeError(f"texts is the one text {shown(texts)}; expected a list of texts")
    if not isinstance(texts, Iterable):
        raise TypeError(f"texts is a {type(texts).__name__}; expected a list of strings")
    texts = texts.numpy() if isinstance(texts, tf.Tensor) else texts
    rows = [text.decode("utf-8") if isinstance(text, bytes) else text for text in texts]
    for row, text in enumerate(rows):
        if not isinstance(text, str):
            raise TypeError(f"text {row} is {text!r}; expected a string: remove it, or replace it")
    array = np.empty(len(rows), object)
    array[:] = rows
    return array


def decoded_strings(strings: Any) -> np.ndarray:
    """A tensor or an array of UTF-8 bytes [n] -> an array of str."""
    found = [string.decode("utf-8", "replace") for string in np.asarray(strings).tolist()]
    return np.array(found, dtype=str)


def shown(text: Any, most: int = 60) -> str:
    """A text in quotes, shortened, for a message."""
    text = text if isinstance(text, str) else str(text)
    return repr(text if len(text) <= most else f"{text[:most]}...")

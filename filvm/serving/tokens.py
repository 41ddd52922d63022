"""A VAE of texts whose signatures take and return numbers of tokens instead of strings.

    encode   tokens -> z_mean, z_log_var           decode   z -> tokens

tokens is float32 [n, max_length]: the place of each token in `vae.tokens`, from 1, and 0 after the
text's end. ONNX graphs have no table of strings, and a page maps its own letters.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
import tf_keras as keras

from filvm.lens import LensPipeline
from filvm.serving.signatures import Signature, lens_signatures, vae_signatures
from filvm.vae import TextVAE
from filvm.vae.tokens import PADDING

TEXTS, TOKENS = "texts", "tokens"  # names of the inputs and outputs of a TextVAE, and of these


class OnTokens:
    """A `TextVAE` as `vae_signatures` and `lens_signatures` need it, on numbers of tokens."""

    def __init__(self, vae: TextVAE) -> None:
        self.encoded, self.decoded, self.latent_dim = vae.encoded, vae.decoded, vae.latent_dim
        self.received = super(TextVAE, vae).received
        self.served_spec = vae.observation_spec

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return self.observation(self.decoded(self.encoded(x)[0]))

    def observation(self, logits: tf.Tensor) -> tf.Tensor:
        """The most probable tokens, and zeros from the first padding on."""
        numbers = tf.argmax(logits, axis=-1, output_type=tf.int32)
        before_end = tf.math.cumprod(tf.cast(numbers != PADDING, tf.int32), axis=1)
        return tf.cast(numbers * before_end, tf.float32)

    def named(self, observed: tf.Tensor) -> dict[str, tf.Tensor]:
        return {TOKENS: observed}


def text_vae(model: keras.Model) -> TextVAE | None:
    """The `TextVAE` that a model is or contains; None without one."""
    vae = model.vae if isinstance(model, LensPipeline) else model
    return vae if isinstance(vae, TextVAE) else None


def numeric_signatures(model: keras.Model) -> dict[str, Signature]:
    """The signatures of a model on numbers alone: its own, or those of a text model on tokens."""
    vae = text_vae(model)
    if vae is None:
        return model.signatures()
    tokens = OnTokens(vae)
    if vae is model:
        return vae_signatures(tokens)
    return lens_signatures(
        model.lens,
        tokens.served_spec,
        lambda x: tokens.encoded(tokens.received(x))[0],
        lambda z: tokens.named(tokens.observation(tokens.decoded(z))),
    )


def numeric(model: keras.Model, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A request or an answer of `filvm.serving.cases` with tokens in place of texts."""
    if TEXTS not in arrays:
        return arrays
    rest = {name: array for name, array in arrays.items() if name != TEXTS}
    return {TOKENS: text_vae(model).tokens_array(arrays[TEXTS]), **rest}

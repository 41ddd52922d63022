"""Texts to tokens and back, inside a TensorFlow graph: a served model takes and returns strings.

A tokenizer splits strings into tokens and joins them again. `Characters` and `Words` are here; a
class with the same methods, registered with `keras.utils.register_keras_serializable`, works too.
`Vocabulary` numbers the tokens from 1; 0 is the padding after a text's end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tf_keras as keras

PADDING = 0  # the number of every place after a text's last token
UNKNOWN = -1  # the number of a token that a vocabulary lacks


class Tokenizer(Protocol):
    """The methods that every tokenizer has."""

    def split(self, texts: tf.Tensor) -> tf.RaggedTensor:
        """Strings [n] -> their tokens, strings [n, (length)]."""

    def join(self, tokens: tf.Tensor) -> tf.Tensor:
        """Tokens [n, length], "" after each text's end -> strings [n]."""

    def get_config(self) -> dict[str, Any]:
        """The arguments of the class; its class method `from_config` creates it from them."""


class _Named:
    """A tokenizer whose only setting is whether texts become lower case first."""

    def __init__(self, lower: bool = False) -> None:
        self.lower = lower

    def get_config(self) -> dict[str, Any]:
        return {"lower": self.lower}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Tokenizer:
        return cls(**config)

    def cased(self, texts: tf.Tensor) -> tf.Tensor:
        """The texts, in lower case if the tokenizer says so."""
        return tf.strings.lower(texts, encoding="utf-8") if self.lower else texts


@keras.utils.register_keras_serializable(package="filvm")
class Characters(_Named):
    """Every character is a token.

    Args:
        lower: convert texts to lower case first.

    >>> Characters(lower=True).split(tf.constant(["Ab"])).to_list()
    [[b'a', b'b']]
    """

    def split(self, texts: tf.Tensor) -> tf.RaggedTensor:
        return tf.strings.unicode_split(self.cased(texts), "UTF-8")

    def join(self, tokens: tf.Tensor) -> tf.Tensor:
        return tf.strings.reduce_join(tokens, axis=-1)


@keras.utils.register_keras_serializable(package="filvm")
class Words(_Named):
    """Every run of characters between white space is a token.

    Args:
        lower: convert texts to lower case first.

    >>> Words().split(tf.constant(["two  words"])).to_list()
    [[b'two', b'words']]
    """

    def split(self, texts: tf.Tensor) -> tf.RaggedTensor:
        return tf.strings.split(self.cased(texts))

    def join(self, tokens: tf.Tensor) -> tf.Tensor:
        return tf.strings.strip(tf.strings.reduce_join(tokens, axis=-1, separator=" "))


NAMED = {"characters": Characters, "words": Words}


def tokenizer_of(tokenizer: str | dict[str, Any] | Tokenizer, lower: bool = False) -> Tokenizer:
    """A tokenizer by its name, from its configuration, or itself.

    Raises:
        ValueError, TypeError: the name is unknown, or the object is no tokenizer.
    """
    if isinstance(tokenizer, str):
        if tokenizer not in NAMED:
            raise ValueError(
                f"tokenizer is {tokenizer!r}; expected one of {', '.join(NAMED)}, or an object "
                "with the methods split, join and get_config"
            )
        return NAMED[tokenizer](lower)
    if isinstance(tokenizer, dict):
        # While a SavedModel is loaded, Keras' own function reads the form of older versions alone.
        registered = keras.saving.get_registered_object(tokenizer["registered_name"])
        if registered is None:
            return keras.saving.deserialize_keras_object(tokenizer)
        return registered.from_config(tokenizer["config"])
    for method in ("split", "join", "get_config"):
        if not callable(getattr(tokenizer, method, None)):
            raise TypeError(
                f"tokenizer is a {type(tokenizer).__name__} without the method {method}; expected "
                f"one of {', '.join(NAMED)}, or an object with split, join and get_config"
            )
    return tokenizer


class Vocabulary(tf.Module):
    """Tokens and their numbers, 1, 2, ... in the given order.

    Args:
        tokens: different strings that are not empty; one string stands for its characters.

    Raises:
        ValueError, TypeError: there are no tokens, or one is repeated or no such string.
    """

    def __init__(self, tokens: str | Sequence[str]) -> None:
        super().__init__()
        self.tokens = tuple(str(t) if isinstance(t, np.str_) else t for t in tokens)
        for token in self.tokens:
            if not isinstance(token, str) or not token:
                raise TypeError(f"tokens holds {token!r}; expected strings that are not empty")
        counts = Counter(self.tokens)
        if not counts or counts.most_common(1)[0][1] > 1:
            found = f"holds {counts.most_common(1)[0][0]!r} twice" if counts else "is empty"
            raise ValueError(f"tokens {found}; expected one or more different strings")
        numbers = tf.range(1, len(self.tokens) + 1)
        self._numbers = tf.lookup.StaticHashTable(
            tf.lookup.KeyValueTensorInitializer(tf.constant(self.tokens), numbers), UNKNOWN
        )

    def __len__(self) -> int:
        return len(self.tokens)

    def numbers(self, tokens: tf.RaggedTensor, width: int) -> tf.Tensor:
        """Tokens [n, (length)] -> numbers int32 [n, width], -1 if unknown, 0 after the end.

        Tokens beyond `width` are dropped; compare `tokens.row_lengths()` with it first.
        """
        numbers = tokens.with_flat_values(self._numbers.lookup(tokens.flat_values))
        return numbers.to_tensor(PADDING, shape=[None, width])

    def strings(self, numbers: tf.Tensor) -> tf.Tensor:
        """Numbers int [n, width] -> tokens [n, width], "" for 0."""
        return tf.gather(tf.constant(["", *self.tokens]), numbers)

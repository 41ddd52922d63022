"""Sequences in every form that users have, as the padded arrays and tensors of a `SequenceVAE`.

The padding tells where a sequence ends: zeros after positive numbers, nan after numbers of any
sign.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np
import tensorflow as tf

from filvm.data.columns import plain_array
from filvm.data.sequences import LARGEST_EXACT, Sequences, padded_lengths, sequences_from_lists
from filvm.data.series import is_pair, padded_series, series_lengths
from filvm.serving.signatures import require


def positive_array(x: Any, max_length: int) -> np.ndarray:
    """Sequences of positive numbers as float32 [n, max_length, 1], zero after their ends.

    Args:
        x: an array [n, time, 1] or [n, time], zero after each sequence's length; such an array
            with its lengths, as a pair; `Sequences`; a RaggedTensor; or a list of lists.
        max_length: the largest length that the model takes.

    Raises:
        ValueError or TypeError: a sequence is longer than `max_length`, is empty, or has a value
            that is not a positive number up to 2^24.
    """
    if is_pair(x) or hasattr(x, "row_lengths"):
        x = np.nan_to_num(padded_series(x))
    if isinstance(x, Sequences):
        x = x.numbers
    if not hasattr(x, "shape"):
        if isinstance(x, Iterable) and not isinstance(x, (str, bytes)):
            x = list(x)
        x = sequences_from_lists(x).numbers
    x = plain_array("x", x)
    if x.dtype.kind not in "fiu":
        raise TypeError(f"the sequences have dtype {x.dtype}; expected numbers")
    if x.ndim == 2:
        x = x[:, :, np.newaxis]
    if x.ndim != 3 or x.shape[2] != 1:
        raise ValueError(f"the sequences have shape {list(x.shape)}; expected [n, {max_length}, 1]")
    lengths = padded_lengths(x)
    before_padding = np.arange(x.shape[1]) < np.maximum(lengths, 1)[:, np.newaxis]
    wrong = ~((x >= 0) & (x <= LARGEST_EXACT))  # so is nan
    wrong |= (x == 0) & before_padding[:, :, np.newaxis]
    if wrong.any():
        row, place = np.argwhere(wrong)[0, :2]
        raise ValueError(
            f"sequence {row} holds {x[row, place, 0]:g} at place {place}; expected positive "
            f"finite numbers up to 2^24 = {LARGEST_EXACT}, and zeros only as padding after them: "
            "for other numbers, create a SequenceVAE with signed=True"
        )
    _check_longest(lengths, max_length)
    return _padded(x, max_length, 0.0)


def signed_array(x: Any, max_length: int, columns: int) -> np.ndarray:
    """Series of numbers of any sign as float32 [n, max_length, columns], nan after their ends.

    Args:
        x: as `filvm.data.series.padded_series` describes it, or any iterable of series.
        max_length: the largest length that the model takes.
        columns: the number of columns that it takes.

    Raises:
        ValueError or TypeError: a series is longer, is empty, has other columns, or holds a value
            that is not finite.
    """
    known = hasattr(x, "shape") or isinstance(x, Sequences | tuple | str | bytes)
    x = padded_series(list(x) if isinstance(x, Iterable) and not known else x)
    if x.shape[2] != columns:
        raise ValueError(
            f"the series have {x.shape[2]} columns; expected {columns}: select them, or create a "
            f"SequenceVAE with columns={x.shape[2]}"
        )
    _check_longest(series_lengths(x), max_length)
    return _padded(x, max_length, np.nan)


def _check_longest(lengths: np.ndarray, max_length: int) -> None:
    if len(lengths) and lengths.max() > max_length:
        raise ValueError(
            f"sequence {int(np.argmax(lengths))} has {lengths.max()} numbers; this model takes "
            f"at most {max_length}: shorten it, or train a SequenceVAE with "
            f"max_length={lengths.max()} or more"
        )


def _padded(x: np.ndarray, max_length: int, padding: float) -> np.ndarray:
    padded = np.full((len(x), max_length, x.shape[2]), padding, np.float32)
    kept = min(x.shape[1], max_length)
    padded[:, :kept] = x[:, :kept]
    return padded


# Batches of a dataset, and the input of a signature.


def check_varying_spec(x: Any, columns: int) -> bool:
    """Whether x is the spec of batches of varying length: ragged, or (array, lengths).

    Raises:
        ValueError: it is, and has other columns.
    """
    if not isinstance(x, tuple | tf.RaggedTensorSpec):
        return False
    shape = getattr(x[0] if isinstance(x, tuple) else x, "shape", None)
    expected = [None, None, columns]
    flat = columns == 1 and shape is not None and shape.rank == 2
    if shape is None or not (flat or shape.is_compatible_with(expected)):
        raise ValueError(
            f"the dataset's sequences have shape {shape}; expected [n, time, {columns}], ragged or "
            "in a tuple with their lengths [n]"
        )
    return True


def padded_batch(x: Any, max_length: int, columns: int, padding: float) -> tf.Tensor:
    """A batch as a tensor [n, max_length, columns] with its padding.

    Args:
        x: such a tensor, a RaggedTensor, or a padded tensor with its lengths.
        max_length, columns: of the model.
        padding: the value after the end of a sequence.
    """
    if isinstance(x, tf.RaggedTensor):
        x = (x.to_tensor(), x.row_lengths())
    if not isinstance(x, tuple):
        x = x[..., tf.newaxis] if columns == 1 and x.shape.rank == 2 else x
        return tf.ensure_shape(x, [None, max_length, columns])  # unknown in a generator's batch
    numbers, lengths = x
    require(
        (lengths >= 1) & (lengths <= max_length), f"sequences must have 1 to {max_length} steps"
    )
    numbers = tf.cast(numbers, tf.float32)
    numbers = numbers[..., tf.newaxis] if numbers.shape.rank == 2 else numbers
    numbers = numbers[:, :max_length]
    numbers = tf.pad(numbers, [[0, 0], [0, max_length - tf.shape(numbers)[1]], [0, 0]])
    inside = tf.sequence_mask(lengths, max_length)[..., tf.newaxis]
    return tf.ensure_shape(tf.where(inside, numbers, padding), [None, max_length, columns])


def check_batch(x: tf.Tensor, *, signed: bool) -> None:
    """Fail, in the graph, unless x [n, time, columns] holds numbers and then padding."""
    if signed:
        step = ~tf.math.is_nan(x[..., 0])
        require(
            tf.reduce_all(tf.math.is_nan(x) != step[..., tf.newaxis], axis=-1)
            & ~tf.reduce_any(tf.math.is_inf(x), axis=-1),
            "sequences must hold finite numbers, or nan in every column after their end",
        )
        words = "nan only as padding after their numbers"
    else:
        step = x[..., 0] > 0
        require(
            tf.math.is_finite(x) & ((x > 0) | (x == 0)), "sequences must hold finite numbers > 0"
        )
        words = "zeros only as padding after their numbers"
    require(
        tf.concat([step[:, :1], step[:, :-1] | ~step[:, 1:]], axis=1),
        f"sequences must have {words}",
    )

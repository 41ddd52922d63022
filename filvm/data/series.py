"""Series of numbers of any sign, with several columns and different lengths, as one padded array.

A padded array is float32 [n, time, columns]; every column is nan after the end of a series, so the
mask and the lengths are in it:

    mask[i, t] = numbers[i, t, 0] is not nan          length[i] = sum_t mask[i, t]
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

LARGEST = 3.0e38  # of float32

FORMS = (
    "a list of series, an array [n, time, columns] with lengths or with nan after the end of each "
    "series, or a RaggedTensor"
)


def padded_series(x: Any, lengths: Any = None) -> np.ndarray:
    """Series in any form as one array, float32 [n, time, columns], nan after their ends.

    Args:
        x: a list of series, each a list of numbers or of rows of numbers; an array [n, time] or
            [n, time, columns]; a RaggedTensor [n, (time)] or [n, (time), columns]; `Sequences`; or
            a pair of an array and its lengths.
        lengths: number of steps of each series, int [n]; without them, a series ends before the
            first step of nothing but nan.

    Raises:
        TypeError, ValueError: the series at fault is named.

    >>> padded_series([[1.0, -2.0], [0.0]])[:, :, 0].tolist()
    [[1.0, -2.0], [0.0, nan]]
    """
    if lengths is None and is_pair(x):
        x, lengths = x
    if hasattr(x, "numbers") and hasattr(x, "length"):  # `Sequences`
        x, lengths = x.numbers, x.length
    if hasattr(x, "row_lengths"):  # a RaggedTensor
        x, lengths = x.to_tensor(), x.row_lengths()
    if isinstance(x, list | tuple) or (isinstance(x, np.ndarray) and x.dtype.kind == "O"):
        x = _stacked(x)
    if not hasattr(x, "shape"):
        raise TypeError(f"the series are a {type(x).__name__}; expected {FORMS}")
    x = np.asarray(x)
    if x.dtype.kind not in "fiu":
        raise TypeError(f"the series have dtype {x.dtype}; expected numbers")
    if x.ndim == 2:
        x = x[:, :, np.newaxis]
    if x.ndim != 3 or not x.shape[2]:
        raise ValueError(f"the series have shape {list(x.shape)}; expected [n, time, columns]")
    return _checked(x, _lengths(x, lengths))


def is_pair(x: Any) -> bool:
    """Whether x is an array [n, time, ...] with its lengths, int [n]."""
    if not isinstance(x, tuple) or len(x) != 2:
        return False
    shapes = [tuple(getattr(part, "shape", ())) for part in x]
    return len(shapes[0]) >= 2 and len(shapes[1]) == 1 and shapes[0][0] == shapes[1][0]


def series_lengths(numbers: np.ndarray) -> np.ndarray:
    """The number of steps before the padding of nan: int64 [n]."""
    return np.sum(~np.isnan(numbers[:, :, 0]), axis=1).astype(np.int64)


def _stacked(series: Iterable[Any]) -> np.ndarray:
    """Series of different lengths as one float64 array with nan after their ends."""
    rows = []
    for index, one in enumerate(series):
        try:
            row = np.asarray(one)
        except ValueError:  # rows of different lengths
            row = np.asarray(None)
        if row.dtype.kind not in "fiu" or row.ndim not in (1, 2):
            raise TypeError(
                f"series {index} is no list of numbers, nor of rows of as many numbers each; "
                f"expected {FORMS}"
            )
        rows.append(row[:, np.newaxis] if row.ndim == 1 else row)
        if rows[0].shape[1] != rows[-1].shape[1] and len(one):
            raise ValueError(
                f"series {index} has {rows[-1].shape[1]} columns; expected {rows[0].shape[1]}, as "
                "in the series before"
            )
    longest = max((len(row) for row in rows), default=0)
    stacked = np.full((len(rows), longest, rows[0].shape[1] if rows else 1), np.nan)
    for index, row in enumerate(rows):
        if len(row):
            stacked[index, : len(row)] = row
    return stacked


def _lengths(x: np.ndarray, lengths: Any) -> np.ndarray:
    """The lengths given, checked; or the number of steps before those of nothing but nan."""
    if lengths is None:
        numbers = ~np.isnan(x).all(axis=2) if x.dtype.kind == "f" else np.ones(x.shape[:2], bool)
        places = np.arange(1, x.shape[1] + 1)
        return np.max(np.where(numbers, places, 0), axis=1, initial=0)
    lengths = np.asarray(lengths)
    if lengths.dtype.kind not in "iu" and not np.array_equal(lengths, np.round(lengths)):
        raise TypeError(f"lengths have dtype {lengths.dtype}; expected whole numbers")
    if lengths.shape != (len(x),):
        raise ValueError(f"lengths have shape {list(lengths.shape)}; expected [{len(x)}]")
    wrong = (lengths < 0) | (lengths > x.shape[1])
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"length {row} is {lengths[row]}; expected 1 to {x.shape[1]}, the steps of the array"
        )
    return lengths.astype(np.int64)


def _checked(x: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    if (lengths == 0).any():
        raise ValueError(
            f"series {int((lengths == 0).argmax())} is empty; expected at least 1 step"
        )
    inside = np.arange(x.shape[1]) < lengths[:, np.newaxis]
    with np.errstate(invalid="ignore"):
        wrong = inside[:, :, np.newaxis] & ~(np.abs(x) <= LARGEST)
    if wrong.any():
        row, place, column = np.argwhere(wrong)[0]
        raise ValueError(
            f"series {row} holds {x[row, place, column]:g} at step {place}, column {column}; "
            "expected finite numbers of float32: fill gaps first, for example by interpolation"
        )
    return np.where(inside[:, :, np.newaxis], x, np.nan).astype(np.float32)

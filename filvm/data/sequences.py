"""Toy sequences: numbers that grow by a constant step, in sequences of different lengths.

    x_t = start + step * t,   t = 0 .. length - 1;      final = start + step * (length - 1)

Any three of start, step, length and final determine a sequence. Start, step and length are drawn
independently and uniformly from ranges, by default those of Table 1. Sequences are padded with
zeros to a common length; all numbers are positive, so the padding marks the end. Section 3.3 of the
report, Tables 1 and B1.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from numbers import Real
from typing import Any

import numpy as np

MAX_LENGTH = 30
LARGEST_EXACT = 2**24  # float32 represents every whole number up to here
MAX_NUMBERS = 2**28  # of a user's sequences, padded: 1 GiB

Range = tuple[int, int]  # smallest and largest value, both included

TABLE_1: dict[str, Range] = {"start": (1, 1000), "step": (1, 50), "length": (3, 30)}
"""Table 1. The largest final number it allows is 1000 + 29 * 50 = 2450, not the report's 2500."""

TABLE_B1: tuple[tuple[int, ...], ...] = (
    (4, 14, 24, 34, 44, 54, 64),
    (123, 148, 173, 198, 223, 248, 273, 298, 323),
    (1209, 1388, 1567, 1746, 1925),
)
"""Table B1. Its third row (start 1209, step 179) lies outside the ranges of Table 1."""


@dataclass(frozen=True)
class Sequences:
    """Sequences and their attributes, as arrays that share their first dimension.

    Attributes:
        numbers: float32 [n, max_length, 1], zero after each sequence's length.
        start: float32 [n], the first number.
        step: float32 [n], the mean difference between neighbours (in toy sequences, every
            difference); nan for a sequence of one number.
        length: int64 [n], the number of numbers.
        final: float32 [n], the last number.

    `len`, indexing and slicing work along the first dimension.
    """

    numbers: np.ndarray
    start: np.ndarray
    step: np.ndarray
    length: np.ndarray
    final: np.ndarray

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: Any) -> Sequences:
        if isinstance(index, (int, np.integer)):
            index = slice(index, None if index == -1 else index + 1)
        return Sequences(**{field.name: getattr(self, field.name)[index] for field in fields(self)})

    @property
    def triples(self) -> np.ndarray:
        """Start, step and length of each sequence, float64 [n, 3]."""
        return np.stack([self.start, self.step, self.length], axis=1).astype(np.float64)

    def to_lists(self) -> list[list[float]]:
        """Return the sequences without padding; whole numbers become `int`."""
        return sequences_to_lists(self.numbers, self.length)


@dataclass(frozen=True)
class SequenceSplits:
    """Training, validation and test sequences, with no (start, step, length) in common."""

    train: Sequences
    validation: Sequences
    test: Sequences


def make_sequences(
    n: int,
    seed: int = 0,
    *,
    start: Range = TABLE_1["start"],
    step: Range = TABLE_1["step"],
    length: Range = TABLE_1["length"],
    max_length: int | None = None,
) -> Sequences:
    """Draw sequences: start, step and length independently, uniformly and with repetition.

    Args:
        n: number of sequences.
        seed: equal seeds give equal sequences.
        start: smallest and largest start, both included; Table 1 by default.
        step: the same for the step.
        length: the same for the length.
        max_length: length to pad to; the largest length by default.

    Raises:
        ValueError, TypeError: a range is empty, or allows numbers that are not positive or exceed
            2^24, up to which float32 is exact.

    >>> sequences = make_sequences(2, seed=0, length=(3, 5))
    >>> sequences.numbers.shape
    (2, 5, 1)
    >>> sequences_to_lists(sequences.numbers)
    [[851, 883, 915], [637, 686, 735]]
    """
    n = _whole("n", n, minimum=0)
    space = _TripleSpace.checked(start, step, length)
    rng = np.random.default_rng(_whole("seed", seed, minimum=0))
    return _sequences(space.triples(rng.integers(space.size, size=n)), _padded(length, max_length))


def split_sequences(
    train: int,
    validation: int = 10_000,
    test: int = 10_000,
    seed: int = 0,
    *,
    start: Range = TABLE_1["start"],
    step: Range = TABLE_1["step"],
    length: Range = TABLE_1["length"],
    max_length: int | None = None,
) -> SequenceSplits:
    """Draw sequences in three parts that share no triple (start, step, length).

    All triples of the validation and test parts are different. Training triples are drawn from the
    others, with repetition (Table 1 allows 1.4 million triples).

    Args:
        train: number of training sequences.
        validation: number of validation sequences.
        test: number of test sequences.
        seed, start, step, length, max_length: as for `make_sequences`.

    >>> splits = split_sequences(train=1000, validation=50, test=50)
    >>> len(splits.train), len(splits.test)
    (1000, 50)
    """
    train = _whole("train", train, minimum=0)
    validation = _whole("validation", validation, minimum=0)
    test = _whole("test", test, minimum=0)
    space = _TripleSpace.checked(start, step, length)
    held_out = validation + test
    if held_out + (train > 0) > space.size:
        raise ValueError(
            f"validation={validation} and test={test} need {held_out} different (start, step, "
            f"length); expected fewer than the {space.size} in the ranges, because training needs "
            "one too: widen the ranges or ask for fewer"
        )
    rng = np.random.default_rng(_whole("seed", seed, minimum=0))
    held = rng.choice(space.size, size=held_out, replace=False)
    rank = rng.integers(space.size - held_out, size=train) if train else np.empty(0, np.int64)
    # The rank-th triple that is not held out: add the number of held-out triples below it.
    below = np.searchsorted(np.sort(held) - np.arange(held_out), rank, side="right")
    padded = _padded(length, max_length)
    return SequenceSplits(
        train=_sequences(space.triples(rank + below), padded),
        validation=_sequences(space.triples(held[:validation]), padded),
        test=_sequences(space.triples(held[validation:]), padded),
    )


def sequences_from_lists(
    lists: Iterable[Sequence[float]], max_length: int | None = None
) -> Sequences:
    """Convert lists of positive numbers to padded `Sequences`.

    Args:
        lists: one list of numbers per sequence; the steps need not be constant.
        max_length: length to pad to; 30 by default, more if a sequence is longer.

    Raises:
        TypeError, ValueError: a sequence, which is named, is not a list of positive numbers.

    >>> own = sequences_from_lists([[4, 14, 24], [7, 9, 11, 13]])
    >>> own.numbers.shape, own.step.tolist(), own.length.tolist()
    ((2, 30, 1), [10.0, 2.0], [3, 4])
    >>> own.to_lists()
    [[4, 14, 24], [7, 9, 11, 13]]
    """
    is_number = getattr(lists, "shape", None) == ()  # an array of no dimension
    if is_number or isinstance(lists, (str, bytes)) or not isinstance(lists, Iterable):
        raise TypeError(f"lists is a {type(lists).__name__}; expected a list of lists of numbers")
    rows = [_row(index, row) for index, row in enumerate(lists)]
    longest = max(map(len, rows), default=0)
    width = (
        max(MAX_LENGTH, longest)
        if max_length is None
        else _whole("max_length", max_length, minimum=1)
    )
    if longest > width:
        index = next(index for index, row in enumerate(rows) if len(row) > width)
        raise ValueError(
            f"sequence {index} has {len(rows[index])} numbers; expected at most "
            f"max_length={width}: shorten it or increase max_length"
        )
    if len(rows) * width > MAX_NUMBERS:
        raise ValueError(
            f"{len(rows)} sequences padded to {width} have {len(rows) * width} numbers; expected "
            f"at most {MAX_NUMBERS}: shorten the longest, or convert fewer at a time"
        )
    numbers = np.zeros((len(rows), width, 1), np.float32)
    for index, row in enumerate(rows):
        numbers[index, : len(row), 0] = row
    return _with_attributes(numbers, np.array([len(row) for row in rows], np.int64))


def sequences_to_lists(
    numbers: np.ndarray, lengths: np.ndarray | None = None, *, decimals: int | None = None
) -> list[list[float]]:
    """Convert padded numbers to lists without padding; whole numbers become `int`.

    Args:
        numbers: [n, max_length, 1] or [n, max_length].
        lengths: [n], how many numbers to keep; by default, up to the zeros at the end.
        decimals: decimals to round the numbers of a decoder to; by default, they stay.

    >>> sequences_to_lists(np.array([[4.0, 14.2, 24.0, 0.0]]), decimals=0)
    [[4, 14, 24]]
    """
    numbers = np.asarray(numbers)
    if numbers.ndim == 3 and numbers.shape[2] == 1:
        numbers = numbers[:, :, 0]
    if numbers.ndim != 2:
        raise ValueError(
            f"numbers has shape {list(numbers.shape)}; expected [n, max_length, 1] or "
            "[n, max_length]"
        )
    lengths = padded_lengths(numbers) if lengths is None else np.asarray(lengths).reshape(-1)
    if len(lengths) != len(numbers):
        raise ValueError(f"lengths has {len(lengths)} entries; expected {len(numbers)}")
    if len(lengths) and (lengths.min() < 0 or lengths.max() > numbers.shape[1]):
        raise ValueError(
            f"lengths range from {lengths.min()} to {lengths.max()}; expected 0 to "
            f"{numbers.shape[1]}, the number of numbers"
        )
    if decimals is not None:
        numbers = np.round(numbers, decimals)
    return [
        [int(x) if float(x).is_integer() else float(x) for x in row[: int(length)]]
        for row, length in zip(numbers, lengths, strict=True)
    ]


def padded_lengths(numbers: np.ndarray) -> np.ndarray:
    """Return the place of the last number that is not zero, counted from 1: int64 [n].

    Args:
        numbers: [n, max_length, 1] or [n, max_length].
    """
    numbers = np.asarray(numbers)
    numbers = numbers.reshape(numbers.shape[:2])
    places = np.arange(1, numbers.shape[1] + 1)
    return np.max(np.where(numbers != 0, places, 0), axis=1, initial=0).astype(np.int64)


def median_steps(numbers: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the median difference between neighbours within each length: float64 [n] (Figure 5).

    Args:
        numbers: [n, max_length, 1] or [n, max_length].
        lengths: [n]; the result is nan where the length is less than 2.
    """
    return _over_steps(np.nanmedian, numbers, lengths)


def mean_steps(numbers: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Return the mean difference, as `median_steps` returns the median (Figures 5 and 12)."""
    return _over_steps(np.nanmean, numbers, lengths)


def _over_steps(statistic: Any, numbers: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    numbers = np.asarray(numbers, np.float64)
    numbers = numbers.reshape(numbers.shape[:2])
    lengths = np.asarray(lengths).reshape(-1)
    steps = np.diff(numbers, axis=1)
    steps[np.arange(1, numbers.shape[1]) >= lengths[:, None]] = np.nan
    result = np.full(len(numbers), np.nan)
    has_steps = lengths > 1
    if has_steps.any():
        result[has_steps] = statistic(steps[has_steps], axis=1)
    return result


@dataclass(frozen=True)
class _TripleSpace:
    """All triples (start, step, length) in three ranges, numbered from 0."""

    start: Range
    step: Range
    length: Range

    @classmethod
    def checked(cls, start: Any, step: Any, length: Any) -> _TripleSpace:
        start = _range("start", start, minimum=1)
        step = _range("step", step, minimum=0)
        length = _range("length", length, minimum=2)
        largest = start[1] + step[1] * (length[1] - 1)
        if largest > LARGEST_EXACT:
            raise ValueError(
                f"the largest number is {largest}; expected at most 2^24 = {LARGEST_EXACT}, up to "
                "which float32 is exact: choose smaller ranges"
            )
        return cls(start, step, length)

    @property
    def shape(self) -> tuple[int, int, int]:
        return tuple(high - low + 1 for low, high in (self.start, self.step, self.length))

    @property
    def size(self) -> int:
        starts, steps, lengths = self.shape
        return starts * steps * lengths

    def triples(self, index: np.ndarray) -> np.ndarray:
        """Return the triples with these numbers, int64 [n, 3]."""
        lows = [self.start[0], self.step[0], self.length[0]]
        return np.stack(np.unravel_index(index, self.shape), axis=1).astype(np.int64) + lows


def _sequences(triples: np.ndarray, max_length: int) -> Sequences:
    start, step, length = (column[:, None] for column in triples.T)
    place = np.arange(max_length)
    numbers = np.where(place < length, start + step * place, 0)
    return _with_attributes(numbers[:, :, None].astype(np.float32), triples[:, 2])


def _with_attributes(numbers: np.ndarray, length: np.ndarray) -> Sequences:
    rows = np.arange(len(numbers))
    start, final = numbers[:, 0, 0], numbers[rows, length - 1, 0]
    gaps = np.maximum(length - 1, 1).astype(np.float32)
    step = np.where(length > 1, (final - start) / gaps, np.float32(np.nan))
    return Sequences(numbers, start.copy(), step.astype(np.float32), length, final)


def _padded(length: Range, max_length: Any) -> int:
    if max_length is None:
        return int(length[1])
    max_length = _whole("max_length", max_length, minimum=1)
    if max_length < length[1]:
        raise ValueError(
            f"max_length is {max_length}; expected at least the largest length, {length[1]}: "
            "increase max_length"
        )
    return max_length


def _whole(name: str, value: Any, *, minimum: int) -> int:
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)):
        raise TypeError(f"{name} is {value!r}; expected a whole number")
    if value < minimum:
        raise ValueError(f"{name} is {value}; expected at least {minimum}")
    return int(value)


def _range(name: str, value: Any, *, minimum: int) -> Range:
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence) or len(value) != 2:
        raise TypeError(f"{name} is {value!r}; expected its smallest and largest value: (min, max)")
    low = _whole(f"the smallest {name}", value[0], minimum=minimum)
    high = _whole(f"the largest {name}", value[1], minimum=minimum)
    if low > high:
        raise ValueError(f"{name} is ({low}, {high}); expected (min, max) with min <= max")
    return low, high


def _row(index: int, row: Any) -> np.ndarray:
    if isinstance(row, np.ndarray) and row.ndim == 2 and row.shape[1] == 1:
        row = row[:, 0]  # of an array [n, time, 1]
    is_array = isinstance(row, np.ndarray) and row.ndim == 1
    if isinstance(row, (str, bytes)) or not (is_array or isinstance(row, Sequence)):
        raise TypeError(f"sequence {index} is {row!r}; expected a list of numbers")
    for place, value in enumerate(row):
        if isinstance(value, (bool, np.bool_)) or not isinstance(value, Real):
            raise TypeError(f"sequence {index} holds {value!r} at place {place}; expected a number")
        try:
            number = float(value)
        except OverflowError:
            number = np.inf
        if not 0 < number <= LARGEST_EXACT:
            raise ValueError(
                f"sequence {index} holds {number:g} at place {place}; expected a number above 0 "
                f"(0 is the padding) and at most 2^24 = {LARGEST_EXACT}"
            )
    if not len(row):
        raise ValueError(f"sequence {index} is empty; expected at least one number")
    return np.asarray([float(value) for value in row])

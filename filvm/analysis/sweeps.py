"""Sweeps of one dimension of z*, measured on the generated images.

They start at real samples of every digit, or at the digits' coordinates and 0 elsewhere, as in
Figure 10; the other dimensions of real samples are seldom 0 all at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from filvm.analysis.manipulation import Generate, Measure, predicted_digits, traverse

PER_DIGIT = 100  # samples of every digit that sweeps start at


@dataclass(frozen=True)
class Sweep:
    """Coordinates `values` [v]; `measured` and `digits` of the images, [classes, rests, v]."""

    values: np.ndarray
    measured: np.ndarray
    digits: np.ndarray

    def summary(self) -> dict[str, Any]:
        """Return shares and ranges, for each digit and in all.

        `strictly_increasing`: share of sweeps in which every step increases the measure; nan (the
        thickness of a blank image) is no increase. `digit_kept`: share of images with the requested
        digit. `lowest`, `highest`: range of the measure, mean over the rests. `reached_by_all`: the
        range that all digits reach. `sweeps_per_digit`: number of rests.
        """
        increasing = np.all(np.diff(self.measured, axis=-1) > 0, axis=-1).mean(axis=1)
        requested = np.arange(len(self.digits))[:, None, None]
        kept = (self.digits == requested).mean(axis=(1, 2))
        lowest = np.fmin.reduce(self.measured, axis=-1).mean(axis=1)
        highest = np.fmax.reduce(self.measured, axis=-1).mean(axis=1)
        return {
            "strictly_increasing": float(increasing.mean()),
            "strictly_increasing_per_digit": increasing.tolist(),
            "digit_kept": float(kept.mean()),
            "digit_kept_per_digit": kept.tolist(),
            "lowest_per_digit": _nan_to_none(lowest),
            "highest_per_digit": _nan_to_none(highest),
            "reached_by_all": _nan_to_none(np.array([lowest.max(), highest.min()])),
            "sweeps_per_digit": self.digits.shape[1],
        }


def samples_of_each_digit(digits: np.ndarray, num_classes: int = 10, most: int = PER_DIGIT) -> Any:
    """Rows of the first samples of every digit, as many of each: int [num_classes, n], n <= most.

    >>> samples_of_each_digit(np.array([1, 0, 1, 0, 0]), num_classes=2)
    array([[1, 3],
           [0, 2]])
    """
    rows = [np.flatnonzero(np.asarray(digits) == digit) for digit in range(num_classes)]
    count = min(most, *map(len, rows))
    return np.array([of_digit[:count] for of_digit in rows])


def sweep_samples(
    generate: Generate,
    measure: Measure,
    predict_digit: Measure,
    z_star: np.ndarray,
    values: np.ndarray,
    *,
    dimension: int = 1,
) -> Sweep:
    """Sweep `dimension` over `values` from samples; all other dimensions keep their values.

    Args:
        measure: images [n, ...] -> the attribute of `dimension` [n].
        z_star: samples of every digit, [classes, r, d].
        values: coordinates on `dimension` [v], in the direction in which the attribute rises.
        dimension: the dimension of the attribute.
    """
    classes, count, d = z_star.shape
    swept = traverse(z_star.reshape(-1, d), dimension, values)
    images = generate(swept.reshape(-1, d))
    shape = (classes, count, len(values))
    measured = np.asarray(measure(images), np.float64).reshape(shape)
    return Sweep(
        np.asarray(values), measured, predicted_digits(predict_digit, images).reshape(shape)
    )


def digits_in_sweeps(
    generate: Generate,
    predict_digit: Measure,
    z_star: np.ndarray,
    values: np.ndarray,
    *,
    dimension: int = 0,
) -> dict[str, float]:
    """How many different digits appear while the dimension of the digit is swept.

    Args:
        z_star: samples [n, d] that sweeps start at.
        values: coordinates on `dimension` [v]: its own range.
        dimension: the dimension of the digit.

    Returns:
        `from_origin`: number of digits where all other dimensions are 0. `mean`: mean number over
        the samples. `all_ten`: share of the samples whose sweep has all ten. `samples`: n.
    """
    starts = np.concatenate([np.zeros((1, z_star.shape[1])), z_star])
    swept = traverse(starts, dimension, values)
    found = np.asarray(predict_digit(generate(swept.reshape(-1, z_star.shape[1]))))
    numbers = np.array([len(np.unique(row)) for row in found.reshape(len(starts), -1)])
    return {
        "from_origin": int(numbers[0]),
        "mean": float(numbers[1:].mean()),
        "all_ten": float(np.mean(numbers[1:] == 10)),
        "samples": len(z_star),
    }


def _nan_to_none(values: np.ndarray) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]

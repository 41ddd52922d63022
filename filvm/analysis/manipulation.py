"""Change z*, and measure on the generated images whether the requested attributes changed.

Oracles that do not use latents measure the images: a digit classifier, the thickness measure, a
rotation regressor. All functions here take functions instead of models:

    generate(z_star [n, d]) -> images [n, ...]      for example `LensPipeline.decode`
    measure(images [n, ...]) -> values [n]          for example `stroke_thickness`
    predict_digit(images [n, ...]) -> digits [n]    a digit oracle

Results hold arrays; `summary()` converts them to numbers for metrics.json.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from filvm.analysis.angles import angular_difference
from filvm.analysis.correlation import linear_correlation

Generate = Callable[[np.ndarray], np.ndarray]
Measure = Callable[[np.ndarray], np.ndarray]


# Points of z*.


def traverse(z_star: np.ndarray, dimension: int, values: np.ndarray) -> np.ndarray:
    """Return each point [n, d] with one dimension set to each of the values [v]: [n, v, d].

    The other dimensions stay: zeros (as in the figures of the report), draws from the prior, or
    real samples.

    >>> traverse(np.zeros((1, 3)), 1, np.array([-2.0, 2.0])).tolist()
    [[[0.0, -2.0, 0.0], [0.0, 2.0, 0.0]]]
    """
    swept = np.repeat(np.asarray(z_star)[:, None, :], len(values), axis=1)
    swept[:, :, dimension] = values
    return swept


def plane(
    latent_dim: int,
    x_values: np.ndarray,
    y_values: np.ndarray,
    *,
    x_dimension: int = 0,
    y_dimension: int = 1,
) -> np.ndarray:
    """Return a grid in two dimensions, the others 0: [y, x, d] (Figures 10, 11 and B3)."""
    points = np.zeros((len(y_values), len(x_values), latent_dim))
    points[:, :, x_dimension] = np.asarray(x_values)[None, :]
    points[:, :, y_dimension] = np.asarray(y_values)[:, None]
    return points


# Request a digit; the other dimensions are random.


@dataclass(frozen=True)
class DigitsOnRequest:
    """`counts` [requested digit, measured digit] of images."""

    counts: np.ndarray

    def summary(self) -> dict[str, Any]:
        """`agreement`: share of images with the requested digit, in all and for each digit."""
        agreed = np.diag(self.counts) / self.counts.sum(axis=1)
        return {"agreement": float(agreed.mean()), "agreement_per_digit": agreed.tolist()}


def digit_requests(
    digit_coordinates: np.ndarray,
    latent_dim: int,
    *,
    dimension: int = 0,
    num_per_digit: int = 1000,
    seed: int = 0,
) -> np.ndarray:
    """z* that request every digit, with the other dimensions drawn from N(0, I).

    Args:
        digit_coordinates: coordinate of each class on `dimension`, [classes].
        latent_dim: d.
        dimension: the dimension of the digit.
        num_per_digit: points per digit.
        seed: seed of the draws.

    Returns:
        [classes, num_per_digit, d].
    """
    digit_coordinates = np.asarray(digit_coordinates)
    shape = (len(digit_coordinates), num_per_digit, latent_dim)
    z_star = np.random.default_rng(seed).standard_normal(shape)
    z_star[:, :, dimension] = digit_coordinates[:, np.newaxis]
    return z_star


def requested_digits(
    images: np.ndarray, predict_digit: Measure, num_classes: int
) -> DigitsOnRequest:
    """Compare images of requests, as many of each class in order, with the digits they show."""
    classes = np.repeat(np.arange(num_classes), len(images) // num_classes)
    counts = np.zeros((num_classes, num_classes), int)
    np.add.at(counts, (classes, predicted_digits(predict_digit, images)), 1)
    return DigitsOnRequest(counts)


# Change the digit of real samples.


@dataclass(frozen=True)
class Change:
    """Digits `requested` and `predicted`; another attribute `before` and `after`: arrays [n]."""

    requested: np.ndarray
    predicted: np.ndarray
    before: np.ndarray
    after: np.ndarray

    def summary(self) -> dict[str, Any]:
        """`agreement` of digits; Pearson `correlation` and mean `difference` of the attribute."""
        known = ~(np.isnan(self.before) | np.isnan(self.after))
        before, after = self.before[known], self.after[known]
        return {
            "agreement": float(np.mean(self.requested == self.predicted)),
            "correlation": float(linear_correlation(after[:, None], before)[0]),
            "difference": float(np.mean(np.abs(after - before))) if known.any() else None,
        }


def change_digit(
    generate: Generate,
    measure: Measure,
    predict_digit: Measure,
    z_star: np.ndarray,
    requested: np.ndarray,
    measured: np.ndarray,
    digit_coordinates: np.ndarray,
    *,
    dimension: int = 0,
) -> Change:
    """Change every sample to another digit, and measure another attribute.

    Args:
        measure: images [n, ...] -> the attribute that should stay, [n].
        z_star: real samples, [n, d].
        requested: the new digits, [n], for example `other_classes` of their own ones.
        measured: the attribute before the change, [n], measured on the original images, or on
            `generate(z_star)` to exclude reconstruction errors.
        digit_coordinates: coordinate of each class on `dimension`, [classes].
        dimension: the dimension of the digit.
    """
    changed = np.array(z_star)
    changed[:, dimension] = np.asarray(digit_coordinates)[requested]
    images = generate(changed)
    return Change(
        requested=np.asarray(requested),
        predicted=predicted_digits(predict_digit, images),
        before=np.asarray(measured, dtype=np.float64),
        after=np.asarray(measure(images), dtype=np.float64),
    )


def other_classes(own: np.ndarray, num_classes: int, seed: int = 0) -> np.ndarray:
    """For each class, 0 to num_classes - 1, another one, drawn uniformly: int [n].

    >>> other_classes(np.array([0, 1, 1]), 2).tolist()
    [1, 0, 0]
    """
    steps = np.random.default_rng(seed).integers(1, num_classes, len(own))
    return (np.asarray(own) + steps) % num_classes


# Request a digit and a value together.


@dataclass(frozen=True)
class Request:
    """Requested and measured digits, and values in the attribute's units: arrays [n].

    `alike` are pairs of digits that can look the same, such as a 6 and a rotated 9. `period` is
    that of values that are angles: errors are then the shorter way round.
    """

    requested_digits: np.ndarray
    predicted_digits: np.ndarray
    requested_values: np.ndarray
    measured_values: np.ndarray
    alike: tuple[tuple[int, int], ...] = ((6, 9),)
    period: float | None = None

    def summary(self) -> dict[str, Any]:
        """Return the agreement of the digits and the error of the values.

        `agreement`: share of images with the requested digit. `agreement_apart`: the same without
        images in which one digit of an alike pair was predicted as the other. `read_as`: the shares
        of these images.
        """
        agreed = self.requested_digits == self.predicted_digits
        confused = np.zeros(len(agreed), bool)
        read_as = {}
        for first, second in self.alike:
            for requested, predicted in ((first, second), (second, first)):
                is_requested = self.requested_digits == requested
                is_confused = is_requested & (self.predicted_digits == predicted)
                confused |= is_confused
                share = is_confused.sum() / max(is_requested.sum(), 1)
                read_as[f"{requested} read as {predicted}"] = float(share)
        if self.period is None:
            errors = np.abs(self.measured_values - self.requested_values)
        else:
            errors = angular_difference(self.measured_values, self.requested_values, self.period)
        return {
            "agreement": float(agreed.mean()),
            "agreement_apart": float(agreed[~confused].mean()) if (~confused).any() else None,
            "read_as": read_as,
            "median_absolute_error": _median(errors),
            "median_absolute_error_per_value": {
                f"{value:g}": _median(errors[self.requested_values == value])
                for value in np.unique(self.requested_values)
            },
            "median_absolute_error_per_digit": {
                str(digit): _median(errors[self.requested_digits == digit])
                for digit in np.unique(self.requested_digits)
            },
        }


def value_requests(
    digit_coordinates: np.ndarray,
    value_coordinates: np.ndarray,
    latent_dim: int,
    *,
    digit_dimension: int = 0,
    value_dimension: int | tuple[int, ...] = 1,
    num_per_request: int = 20,
    seed: int = 0,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """z* that request every digit with every value; the other dimensions are drawn from N(0, I).

    Args:
        digit_coordinates: coordinate of each class on `digit_dimension`, [classes].
        value_coordinates: coordinate of each value on `value_dimension`, [v]; [v, 2] on two.
        latent_dim: d.
        digit_dimension: the dimension of the digit.
        value_dimension: the dimension of the value, or the two of an angle.
        num_per_request: points per digit and value.
        seed: seed of the draws.

    Returns:
        z* [n, d]; and for each, the class and the place of the value among the coordinates, [n].
    """
    shape = (len(digit_coordinates), len(value_coordinates), num_per_request)
    classes, places, _ = np.indices(shape).reshape(3, -1)
    z_star = np.random.default_rng(seed).standard_normal((len(classes), latent_dim))
    z_star[:, digit_dimension] = np.asarray(digit_coordinates)[classes]
    z_star[:, np.array(value_dimension)] = np.asarray(value_coordinates)[places]
    return z_star, classes, places


# Sweep every dimension and measure every attribute (sequences, Figure 12).


@dataclass(frozen=True)
class Effects:
    """The effect of every dimension on every attribute.

    `values` [v] are the coordinates; `read` has each measured attribute [d, v] by name; `ranges`
    are the smallest and largest value of each attribute in the data.
    """

    values: np.ndarray
    read: dict[str, np.ndarray]
    ranges: dict[str, tuple[float, float]]

    def moved(self) -> dict[str, np.ndarray]:
        """Return (max - min of the attribute in the sweep) / (its range in the data), [d] each."""
        shares = {}
        for name, curves in self.read.items():
            low, high = self.ranges[name]
            spread = np.fmax.reduce(curves, axis=1) - np.fmin.reduce(curves, axis=1)
            shares[name] = np.nan_to_num(spread) / (high - low)
        return shares


def sweep_every_dimension(
    measure_attributes: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    values: np.ndarray,
    ranges: Mapping[str, tuple[float, float]],
    latent_dim: int,
) -> Effects:
    """Sweep each dimension over `values`, with the others 0, and measure all attributes.

    Args:
        measure_attributes: z_star [n, d] -> each attribute [n] by name; nan where undefined.
        values: coordinates, [v].
        ranges: smallest and largest value of each attribute in the data.
        latent_dim: d.
    """
    values = np.asarray(values)
    swept = [traverse(np.zeros((1, latent_dim)), i, values)[0] for i in range(latent_dim)]
    attributes = measure_attributes(np.concatenate(swept))
    if differing := sorted(set(ranges) ^ set(attributes)):
        raise ValueError(
            f"ranges and measure_attributes differ in {differing}; expected the same names"
        )
    measured = {
        name: np.asarray(attribute, dtype=np.float64).reshape(latent_dim, len(values))
        for name, attribute in attributes.items()
    }
    return Effects(values, measured, dict(ranges))


def predicted_digits(predict_digit: Measure, images: np.ndarray) -> np.ndarray:
    """The digits of images, int64 [n]; a TypeError if the oracle returns something else."""
    predicted = np.asarray(predict_digit(images))
    if predicted.ndim != 1 or predicted.dtype.kind not in "iu":
        raise TypeError(
            f"predict_digit returned {predicted.dtype} {list(predicted.shape)}; expected one "
            "integer per image"
        )
    return predicted.astype(np.int64)


def _median(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else None

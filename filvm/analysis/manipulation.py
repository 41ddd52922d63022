"""Is what is asked of z* there in what comes out, and did the rest stay?

Points of z* are moved, turned into observations, and judged by oracles that never saw a latent: a
digit classifier, the thickness measure, a rotation regressor. No model is known here, only

    generate(z_star [n, d]) -> images [n, ...]      such as `LensPipeline.decode`
    judge(images [n, ...]) -> values [n]            such as `stroke_thickness`

Results hold arrays; their `summary()` is plain numbers for metrics.json.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from filvm.analysis.correlation import linear_correlation

Generate = Callable[[np.ndarray], np.ndarray]
Judge = Callable[[np.ndarray], np.ndarray]


# Moving points of z*.


def traverse(z_star: np.ndarray, dimension: int, values: np.ndarray) -> np.ndarray:
    """Each point [n, d] with one dimension set to each of the values [v]: [n, v, d].

    The rest of the dimensions is that of `z_star`: zeros (the report's figures), draws from the
    prior, or real samples.

    Example:
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
    """Zeros but for two dimensions: [len(y_values), len(x_values), d] (Figures 10, 11 and B3)."""
    points = np.zeros((len(y_values), len(x_values), latent_dim))
    points[:, :, x_dimension] = np.asarray(x_values)[None, :]
    points[:, :, y_dimension] = np.asarray(y_values)[:, None]
    return points


def exchange(z_star: np.ndarray, partners: np.ndarray, dimensions: Sequence[int]) -> np.ndarray:
    """Each point [n, d] with some dimensions taken from another one, z_star[partners]."""
    exchanged = np.array(z_star)
    exchanged[:, dimensions] = np.asarray(z_star)[partners][:, dimensions]
    return exchanged


# Asking for a digit, the rest at random.


@dataclass(frozen=True)
class DigitsOnRequest:
    """`counts` [asked, read]: how often which digit was read where which was asked."""

    counts: np.ndarray

    def summary(self) -> dict[str, Any]:
        """`agreement`: share of images whose digit is the asked one, in all and for each digit."""
        agreed = np.diag(self.counts) / self.counts.sum(axis=1)
        return {"agreement": float(agreed.mean()), "agreement_per_digit": agreed.tolist()}


def digits_on_request(
    generate: Generate,
    predict_digit: Judge,
    digit_coordinates: np.ndarray,
    latent_dim: int,
    *,
    dimension: int = 0,
    num_per_digit: int = 1000,
    seed: int = 0,
) -> DigitsOnRequest:
    """Ask for every digit through its own dimension, the rest drawn from N(0, I).

    Args:
        digit_coordinates: where each class lies on `dimension`: [classes].
    """
    digit_coordinates = np.asarray(digit_coordinates)
    classes = np.repeat(np.arange(len(digit_coordinates)), num_per_digit)
    z_star = np.random.default_rng(seed).standard_normal((len(classes), latent_dim))
    z_star[:, dimension] = digit_coordinates[classes]
    counts = np.zeros((len(digit_coordinates),) * 2, int)
    np.add.at(counts, (classes, _classes(predict_digit, generate(z_star))), 1)
    return DigitsOnRequest(counts)


# Sweeping a continuous attribute at every digit.


@dataclass(frozen=True)
class Sweep:
    """What was read off the images of a sweep.

    `values` [v] are the coordinates; `measured` and `digits` are [classes, rests, v].
    """

    values: np.ndarray
    measured: np.ndarray
    digits: np.ndarray

    def summary(self) -> dict[str, Any]:
        """Per digit and in all (nan, such as a blank image's thickness, is never an increase).

        `strictly_increasing`: share of sweeps that grow at every step. `digit_kept`: share of
        images whose digit is the asked one. `lowest` and `highest`: measured per digit, mean over
        the rests. `reached_by_all`: the range that lies within every digit's.
        """
        increasing = np.all(np.diff(self.measured, axis=-1) > 0, axis=-1).mean(axis=1)
        asked = np.arange(len(self.digits))[:, None, None]
        kept = (self.digits == asked).mean(axis=(1, 2))
        lowest = np.fmin.reduce(self.measured, axis=-1).mean(axis=1)
        highest = np.fmax.reduce(self.measured, axis=-1).mean(axis=1)
        return {
            "strictly_increasing": float(increasing.mean()),
            "strictly_increasing_per_digit": increasing.tolist(),
            "digit_kept": float(kept.mean()),
            "digit_kept_per_digit": kept.tolist(),
            "lowest_per_digit": _plain(lowest),
            "highest_per_digit": _plain(highest),
            "reached_by_all": _plain(np.array([lowest.max(), highest.min()])),
        }


def sweep_every_digit(
    generate: Generate,
    measure: Judge,
    predict_digit: Judge,
    digit_coordinates: np.ndarray,
    values: np.ndarray,
    rests: np.ndarray,
    *,
    digit_dimension: int = 0,
    dimension: int = 1,
) -> Sweep:
    """Sweep `dimension` over increasing `values` [v] at every digit.

    Args:
        digit_coordinates: where each class lies on `digit_dimension`: [classes].
        rests: float [r, d], what the other dimensions are: `np.zeros((1, d))` as in Figure 10,
            draws from the prior, or real samples.
    """
    digit_coordinates, values = np.asarray(digit_coordinates), np.asarray(values)
    at_digits = traverse(rests, digit_dimension, digit_coordinates).swapaxes(0, 1)
    shape = (len(digit_coordinates), len(rests), len(values))
    z_star = traverse(at_digits.reshape(-1, at_digits.shape[-1]), dimension, values)
    images = generate(z_star.reshape(-1, z_star.shape[-1]))
    measured = np.asarray(measure(images), dtype=np.float64)
    return Sweep(values, measured.reshape(shape), _classes(predict_digit, images).reshape(shape))


# Changing one attribute of real samples, and exchanging it between them.


@dataclass(frozen=True)
class Change:
    """What was asked of real samples and what was read, arrays [n].

    `asked` and `read` are digits; `before` and `after` are another attribute, measured before and
    after the change.
    """

    asked: np.ndarray
    read: np.ndarray
    before: np.ndarray
    after: np.ndarray

    def summary(self) -> dict[str, Any]:
        """`agreement` of digits; Pearson `correlation` and mean `difference` of the attribute."""
        known = ~(np.isnan(self.before) | np.isnan(self.after))
        before, after = self.before[known], self.after[known]
        return {
            "agreement": float(np.mean(self.asked == self.read)),
            "correlation": float(linear_correlation(after[:, None], before)[0]),
            "difference": float(np.mean(np.abs(after - before))) if known.any() else None,
        }


def change_digit(
    generate: Generate,
    measure: Judge,
    predict_digit: Judge,
    z_star: np.ndarray,
    digits: np.ndarray,
    measured: np.ndarray,
    digit_coordinates: np.ndarray,
    *,
    dimension: int = 0,
    seed: int = 0,
) -> Change:
    """Turn every sample into another digit, drawn at random: does the other attribute stay?

    Args:
        z_star, digits, measured: real samples [n, d], their digits, and the attribute before the
            change: measured on the original images, or on `generate(z_star)` to leave out what the
            model loses anyhow.
        digit_coordinates: where each class lies on `dimension`: [classes].
    """
    digit_coordinates = np.asarray(digit_coordinates)
    num_classes = len(digit_coordinates)
    steps = np.random.default_rng(seed).integers(1, num_classes, len(z_star))
    asked = (np.asarray(digits) + steps) % num_classes
    changed = np.array(z_star)
    changed[:, dimension] = digit_coordinates[asked]
    images = generate(changed)
    return Change(
        asked=asked,
        read=_classes(predict_digit, images),
        before=np.asarray(measured, dtype=np.float64),
        after=np.asarray(measure(images), dtype=np.float64),
    )


def swap(
    generate: Generate,
    measure: Judge,
    predict_digit: Judge,
    z_star: np.ndarray,
    digits: np.ndarray,
    measured: np.ndarray,
    dimensions: Sequence[int],
    *,
    digit_dimension: int = 0,
    measured_dimension: int = 1,
    seed: int = 0,
) -> Change:
    """Exchange some dimensions between real samples; every attribute must follow its dimension.

    `asked` and `before` are the partner's where the attribute's dimension is among `dimensions`,
    and the sample's own elsewhere.
    """
    partners = np.random.default_rng(seed).permutation(len(z_star))
    images = generate(exchange(z_star, partners, dimensions))
    digits, measured = np.asarray(digits), np.asarray(measured, dtype=np.float64)
    return Change(
        asked=digits[partners] if digit_dimension in dimensions else digits,
        read=_classes(predict_digit, images),
        before=measured[partners] if measured_dimension in dimensions else measured,
        after=np.asarray(measure(images), dtype=np.float64),
    )


# Asking for a digit and a value together.


@dataclass(frozen=True)
class Request:
    """What was asked and what was read, arrays [n]: digits, and values in the attribute's units.

    `alike` are pairs of digits that may truly look the same: 6 and 9, turned.
    """

    asked_digits: np.ndarray
    read_digits: np.ndarray
    asked_values: np.ndarray
    read_values: np.ndarray
    alike: tuple[tuple[int, int], ...]

    def summary(self) -> dict[str, Any]:
        """Agreement on the digit, and the error of the value.

        `agreement` is over all images, `agreement_apart` leaves out those where one digit of a pair
        that looks alike was read as the other, and `read_as` tells how often that was.
        """
        agreed = self.asked_digits == self.read_digits
        confused = np.zeros(len(agreed), bool)
        read_as = {}
        for one, other in self.alike:
            for asked, read in ((one, other), (other, one)):
                of_asked = self.asked_digits == asked
                as_read = of_asked & (self.read_digits == read)
                confused |= as_read
                share = as_read.sum() / max(of_asked.sum(), 1)
                read_as[f"{asked} read as {read}"] = float(share)
        errors = np.abs(self.read_values - self.asked_values)
        return {
            "agreement": float(agreed.mean()),
            "agreement_apart": float(agreed[~confused].mean()) if (~confused).any() else None,
            "read_as": read_as,
            "median_absolute_error": _median(errors),
            "median_absolute_error_per_value": {
                f"{value:g}": _median(errors[self.asked_values == value])
                for value in np.unique(self.asked_values)
            },
            "median_absolute_error_per_digit": {
                str(digit): _median(errors[self.asked_digits == digit])
                for digit in np.unique(self.asked_digits)
            },
        }


def digit_and_value_on_request(
    generate: Generate,
    measure: Judge,
    predict_digit: Judge,
    digit_coordinates: np.ndarray,
    value_coordinates: np.ndarray,
    values: np.ndarray,
    latent_dim: int,
    *,
    digit_dimension: int = 0,
    value_dimension: int = 1,
    num_per_request: int = 20,
    alike: tuple[tuple[int, int], ...] = ((6, 9),),
    seed: int = 0,
) -> Request:
    """Ask for every digit with every value (a rotation, a thickness), the rest drawn from N(0, I).

    Args:
        digit_coordinates: where each class lies on `digit_dimension`: [classes].
        value_coordinates, values: where each asked value lies on `value_dimension`, and the values
            themselves, in the units of `measure`: [v].
    """
    digit_coordinates, values = np.asarray(digit_coordinates), np.asarray(values, dtype=np.float64)
    value_coordinates = np.asarray(value_coordinates)
    requests = np.indices((len(digit_coordinates), len(values), num_per_request))
    classes, which = requests[0].ravel(), requests[1].ravel()
    z_star = np.random.default_rng(seed).standard_normal((len(classes), latent_dim))
    z_star[:, digit_dimension] = digit_coordinates[classes]
    z_star[:, value_dimension] = value_coordinates[which]
    images = generate(z_star)
    return Request(
        asked_digits=classes,
        read_digits=_classes(predict_digit, images),
        asked_values=values[which],
        read_values=np.asarray(measure(images), dtype=np.float64),
        alike=alike,
    )


# Sweeping every dimension and reading every attribute (sequences, Figure 12).


@dataclass(frozen=True)
class Effects:
    """What every dimension does to every attribute.

    `values` [v] are the coordinates; `read` [d, v] holds each attribute by name; `ranges` are each
    attribute's smallest and largest value in the data.
    """

    values: np.ndarray
    read: dict[str, np.ndarray]
    ranges: dict[str, tuple[float, float]]

    def moved(self) -> dict[str, np.ndarray]:
        """(max - min of the attribute over the sweep) / (its range in the data), [d] by name."""
        shares = {}
        for name, curves in self.read.items():
            low, high = self.ranges[name]
            spread = np.fmax.reduce(curves, axis=1) - np.fmin.reduce(curves, axis=1)
            shares[name] = np.nan_to_num(spread) / (high - low)
        return shares

    def summary(self) -> dict[str, Any]:
        """`moved`: per attribute, the share of its range that each dimension moves it over."""
        return {"moved": {name: shares.tolist() for name, shares in self.moved().items()}}


def sweep_every_dimension(
    read_attributes: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    values: np.ndarray,
    ranges: Mapping[str, tuple[float, float]],
    latent_dim: int,
) -> Effects:
    """Sweep each dimension over `values` [v], the others 0, and read attributes off what comes out.

    Args:
        read_attributes: z_star [n, d] -> each attribute [n] by name; nan where it has none.
        ranges: smallest and largest value of each attribute in the data.
    """
    values = np.asarray(values)
    swept = [traverse(np.zeros((1, latent_dim)), i, values)[0] for i in range(latent_dim)]
    found = read_attributes(np.concatenate(swept))
    missing = sorted(set(ranges) ^ set(found))
    if missing:
        raise ValueError(f"ranges and read_attributes differ in {missing}: both must name the same")
    read = {
        name: np.asarray(read, dtype=np.float64).reshape(latent_dim, len(values))
        for name, read in found.items()
    }
    return Effects(values, read, dict(ranges))


def _classes(predict_digit: Judge, images: np.ndarray) -> np.ndarray:
    predicted = np.asarray(predict_digit(images))
    if predicted.ndim != 1 or predicted.dtype.kind not in "iu":
        raise TypeError(
            f"predict_digit returned {predicted.dtype} {list(predicted.shape)}, expected one "
            "integer per image"
        )
    return predicted.astype(np.int64)


def _median(values: np.ndarray) -> float | None:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else None


def _plain(values: np.ndarray) -> list[float | None]:
    """For JSON: nan becomes None."""
    return [None if np.isnan(value) else float(value) for value in values]

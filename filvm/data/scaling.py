"""Location and scale of attributes, and what makes them hard to use: outliers, correlations."""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from filvm.data.side_information import Attribute, Categorical, Circular, Continuous

NORMAL_IQR = 1.349  # interquartile range of a normal distribution of standard deviation 1
CORRELATED = 0.5  # |Spearman's r| of two attributes, above which a lens warns


def attribute_scaling(
    attributes: Sequence[Attribute], stacked: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and scale of the known values in each column of `stack_side_information`.

    The scale is the standard deviation, or 1 for a constant attribute; with robust scaling, the
    two are the median and the interquartile range / 1.349. Labels and angles have mean 0 and
    scale 1.

    Returns:
        Two float64 arrays [number of attributes].

    Raises:
        ValueError: all values of an attribute are missing.

    Warns:
        UserWarning: a few values make the standard deviation more than 10 times as large as the
            spread of the others.

    >>> attribute_scaling([Continuous("t")], np.array([[1.0], [np.nan], [3.0]]))
    (array([2.]), array([1.]))
    """
    mean, scale = np.zeros(len(attributes)), np.ones(len(attributes))
    for column, attribute in enumerate(attributes):
        known = stacked[:, column][np.isfinite(stacked[:, column])].astype(np.float64)
        if not len(known):
            raise ValueError(
                f"every value of {attribute.name!r} is missing; expected some known values: add "
                "them, or remove the attribute from side_information"
            )
        if isinstance(attribute, Continuous):
            mean[column], scale[column] = _location_and_scale(attribute, known)
    return mean, scale


def _location_and_scale(attribute: Continuous, known: np.ndarray) -> tuple[float, float]:
    mean, deviation = known.mean(), known.std()
    # A constant column has a small deviation from rounding, relative to its mean.
    if not deviation > 1e-12 * abs(mean):
        if np.ptp(known) > 1e-15 * abs(mean):
            warnings.warn(
                f"{attribute.name!r} is taken as constant: its values differ from {mean:g} by less "
                "than float64 can tell. Subtract its smallest value, or use a smaller unit",
                stacklevel=2,
            )
        return float(mean), 1.0
    low, median, high = np.percentile(known, [25, 50, 75])
    farthest = int(np.abs(known - median).argmax())
    usual = (high - low) / NORMAL_IQR or np.delete(known, farthest).std()
    if attribute.scaling == "robust":
        return float(median), float(usual or deviation)
    if deviation > 10 * usual > 0:
        warnings.warn(
            f"{attribute.name!r} has the outlier {known[farthest]:g}: its standard deviation is "
            f"{deviation:g}, that of most values {usual:.3g}. Correct the value, mark it as "
            f"missing (nan), or use Continuous({attribute.name!r}, scaling='robust')",
            stacklevel=2,
        )
    return float(mean), float(deviation)


def _columns(attribute: Attribute, values: np.ndarray) -> np.ndarray:
    """What correlations are of: ranks [n, 1], cosine and sine of an angle [n, 2], or classes."""
    if isinstance(attribute, Categorical) and attribute.num_classes > 2:
        return (values[:, np.newaxis] == np.unique(values)).astype(float)
    if isinstance(attribute, Circular):
        radians = 2 * np.pi / attribute.period * np.mod(values, attribute.period)
        return np.stack([np.cos(radians), np.sin(radians)], axis=1)
    return rankdata(values)[:, np.newaxis]


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    """Pearson's r of two columns [n, 1]; the first canonical correlation of several."""
    if x.shape[1] == y.shape[1] == 1:
        return float(np.corrcoef(x[:, 0], y[:, 0])[0, 1])
    bases = []
    for columns in (x, y):
        basis, sizes, _ = np.linalg.svd(columns - columns.mean(axis=0), full_matrices=False)
        bases.append(basis[:, sizes > 1e-6 * np.sqrt(len(columns))])  # not of constant columns
    return float(np.linalg.svd(bases[0].T @ bases[1], compute_uv=False).max(initial=0.0))


def warn_of_correlations(attributes: Sequence[Attribute], stacked: np.ndarray) -> None:
    """Warn, once, of all pairs of attributes with |r| > 0.5.

    A lens cannot change one of two such attributes alone without leaving the data. r is Spearman's
    for numbers and two-class labels. For an angle or a label of 3 to 50 classes, it is the largest
    canonical correlation of the two (with a number, the correlation ratio of its ranks), which is
    0 or more. Independent attributes of p and q columns have an r of up to
    (sqrt(p) + sqrt(q)) / sqrt(n), so that canonical correlations need n >= 10 (p + q) samples.
    """
    pairs = []
    few = [
        j for j, a in enumerate(attributes) if not isinstance(a, Categorical) or a.num_classes <= 50
    ]
    for i, j in itertools.combinations(few, 2):
        both = stacked[np.isfinite(stacked[:, [i, j]]).all(axis=1)][:, [i, j]]
        if len(both) > 2 and (np.ptp(both, axis=0) > 0).all():
            first, second = _columns(attributes[i], both[:, 0]), _columns(attributes[j], both[:, 1])
            columns = first.shape[1] + second.shape[1]
            if columns > 2 and len(both) < 10 * columns:
                continue
            r = _correlation(first, second)
            if abs(r) > CORRELATED:
                pairs.append(f"{attributes[i].name!r} and {attributes[j].name!r} (r = {r:.2f})")
    if pairs:
        warnings.warn(
            f"attributes are correlated: {', '.join(pairs)} (Spearman's r, or canonical with an "
            "angle or classes). Each has its own dimensions of z*, and setting one alone leads "
            "away from the training data",
            stacklevel=2,
        )

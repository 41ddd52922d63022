"""I(c_i; v_j) = sum p(c, v) log(p(c, v) / (p(c) p(v))) of the dimensions of a code with factors.

In nats, by one of three estimators:

- `"quantile"` (default): dimensions and continuous factors in 20 bins of equal count, which does
  not change under increasing maps of a dimension.
- `"histogram"`: bins of equal width (Locatello et al. 2019, arXiv 1811.12359).
- `"knn"`: nearest neighbours (Kraskov et al. 2004; Ross 2014), from scikit-learn, as in Pati and
  Lerch 2020, arXiv 2004.05485. The entropy of v_j is then estimated as I(v_j; v_j).
"""

from collections.abc import Mapping

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.stats import entropy
from sklearn.feature_selection import mutual_info_classif, mutual_info_regression
from sklearn.metrics import mutual_info_score
from sklearn.metrics.cluster import contingency_matrix

from filvm.analysis.factors import Factor, checked, varying

ESTIMATORS = ("quantile", "histogram", "knn")


def mutual_information(
    codes: np.ndarray,
    factors: Mapping[str, np.ndarray],
    *,
    estimator: str = "quantile",
    bins: int = 20,
) -> dict[str, np.ndarray]:
    """Return I(c_i; v_j) for codes [n, d] as one array [d] per factor.

    >>> codes = np.random.default_rng(0).normal(size=(1000, 2))
    >>> found = mutual_information(codes, {"sign": (codes[:, 1] > 0).astype(int)})
    >>> found["sign"].round(1)
    array([0. , 0.7])
    """
    codes, known_factors = checked(codes, factors)
    information, _ = information_matrix(codes, known_factors, estimator, bins)
    return {factor.name: information[:, j] for j, factor in enumerate(known_factors)}


def most_informative_dimensions(
    codes: np.ndarray,
    factors: Mapping[str, np.ndarray],
    *,
    estimator: str = "quantile",
    bins: int = 20,
) -> dict[str, int]:
    """Return a different dimension i(j) for every factor, maximising sum_j I(c_i(j); v_j) / H(v_j).

    For models such as ILVM, which assign no dimension to an attribute. If there are more factors
    than dimensions, the remaining factors get their most informative dimension.
    """
    codes, known_factors = checked(codes, factors)
    information, entropies = information_matrix(codes, known_factors, estimator, bins)
    share = information / np.where(entropies > 0, entropies, 1.0)
    best = share.argmax(axis=0)
    dimensions, columns = linear_sum_assignment(share, maximize=True)
    best[columns] = dimensions
    return {factor.name: int(best[j]) for j, factor in enumerate(known_factors)}


def information_matrix(
    codes: np.ndarray, factors: list[Factor], estimator: str, bins: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return I(c_i; v_j) [d, factors] and H(v_j) [factors]; 0 for constants."""
    if estimator not in ESTIMATORS:
        raise ValueError(f"estimator is {estimator!r}; expected one of {', '.join(ESTIMATORS)}")
    if bins < 2:
        raise ValueError(f"bins is {bins}; expected at least 2")
    information = np.zeros((codes.shape[1], len(factors)))
    entropies = np.zeros(len(factors))
    for j, factor in enumerate(factors):
        if factor.varies:
            own = codes[factor.known]
            alive = varying(own)
            measure = _nearest_neighbours if estimator == "knn" else _binned
            information[alive, j], entropies[j] = measure(own[:, alive], factor, estimator, bins)
    return information, entropies


def _binned(
    codes: np.ndarray, factor: Factor, estimator: str, bins: int
) -> tuple[list[float], float]:
    in_bins = _equal_counts if estimator == "quantile" else _equal_widths
    classes = factor.values if factor.categorical else in_bins(factor.values, bins)
    most = float(entropy(np.bincount(classes)))
    # Given labels instead of tables, scikit-learn warns if there are many classes and few samples.
    tables = [contingency_matrix(classes, in_bins(code, bins), sparse=True) for code in codes.T]
    information = [mutual_info_score(None, None, contingency=table) for table in tables]
    return [min(nats, most) for nats in information], most  # rounding can exceed the maximum


def _nearest_neighbours(
    codes: np.ndarray, factor: Factor, estimator: str, bins: int
) -> tuple[np.ndarray, float]:
    settings = {"n_neighbors": min(3, len(codes) - 1), "random_state": 0}
    estimate = mutual_info_classif if factor.categorical else mutual_info_regression
    information = estimate(codes, factor.values, **settings) if codes.size else np.zeros(0)
    if factor.categorical:
        return information, float(entropy(np.bincount(factor.values)))
    return information, float(estimate(factor.values[:, None], factor.values, **settings)[0])


def _equal_counts(values: np.ndarray, bins: int) -> np.ndarray:
    """Return bins of equal count; equal values share a bin, few distinct values have one each."""
    distinct, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(distinct) <= bins:
        return inverse
    middle_rank = np.cumsum(counts) - counts / 2
    return np.floor(middle_rank * bins / len(values)).astype(int)[inverse]


def _equal_widths(values: np.ndarray, bins: int) -> np.ndarray:
    """Return bins of equal width from the smallest to the largest value."""
    low, high = values.min(), values.max()
    return np.minimum(((values - low) * bins / (high - low)).astype(int), bins - 1)

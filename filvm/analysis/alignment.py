"""Is factor j where it was assigned (alignment), and nowhere else (leakage)?

alignment_j = quality of v_j read from c_a(j) alone
leakage_j   = quality of v_j read from all c_i, i != a(j)

where a(j) is the dimension assigned to factor j, and quality is the accuracy (categorical) or the
R^2 (continuous) of a reader fitted on one half of the samples and judged on the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import r2_score
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from filvm.analysis.correlation import rank_correlation
from filvm.analysis.factors import Factor, check_assigned, checked, varying

READERS = ("strong", "linear")


@dataclass(frozen=True)
class ReadOut:
    """How well one factor is read from some dimensions. What does not apply to it is None."""

    chance: float  # accuracy of always naming the most frequent class; 0 for continuous factors
    accuracy: float | None = None  # categorical
    r2: float | None = None  # continuous; 0 where negative
    spearman: float | None = None  # continuous


def alignment(
    codes: np.ndarray,
    factors: Mapping[str, np.ndarray],
    assigned: Mapping[str, int],
    *,
    neighbors: int = 30,
    seed: int = 0,
) -> dict[str, ReadOut]:
    """How well every assigned factor is read from its own dimension alone.

    The reader is nearest neighbours on that one axis: it follows any curve, and classes in any
    order. `spearman` is that of the dimension itself, with its sign.
    """
    codes, known_factors = checked(codes, factors)
    check_assigned(assigned, known_factors, codes.shape[1])
    readings = {}
    for factor in known_factors:
        if factor.name not in assigned:
            continue
        own = codes[factor.known][:, [assigned[factor.name]]]
        train, test = halves(len(own), seed)
        near = max(1, min(neighbors, len(train)))
        if factor.categorical:
            readings[factor.name] = _best(factor, [KNeighborsClassifier(near)], own, train, test)
        else:
            reading = _best(factor, [KNeighborsRegressor(near)], own, train, test)
            rank = float(rank_correlation(own, factor.values)[0])
            readings[factor.name] = ReadOut(chance=0.0, r2=reading.r2, spearman=rank)
    return readings


def leakage(
    codes: np.ndarray,
    factors: Mapping[str, np.ndarray],
    assigned: Mapping[str, int],
    *,
    readers: str = "strong",
    num_train: int = 5_000,
    num_test: int = 5_000,
    seed: int = 0,
) -> dict[str, ReadOut]:
    """How well every assigned factor is read from all dimensions but its own: `chance` is perfect.

    `readers="strong"`: gradient boosted trees and a support vector machine with Gaussian kernel, of
    which the better one counts. `readers="linear"`: logistic or linear regression, which misses
    what several dimensions hide together; always say which. `spearman` is that of the reading with
    the truth.
    """
    if readers not in READERS:
        raise ValueError(f"readers is {readers!r}, expected one of {', '.join(READERS)}")
    codes, known_factors = checked(codes, factors)
    check_assigned(assigned, known_factors, codes.shape[1])
    readings = {}
    for factor in known_factors:
        if factor.name not in assigned:
            continue
        others = np.delete(codes[factor.known], assigned[factor.name], axis=1)
        train, test = halves(len(others), seed)
        models = _strong(factor, seed) if readers == "strong" else _linear(factor)
        readings[factor.name] = _best(factor, models, others, train[:num_train], test[:num_test])
    return readings


def halves(num_samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Indices to fit on and indices to judge on, at random."""
    order = np.random.default_rng(seed).permutation(num_samples)
    return order[: num_samples // 2], order[num_samples // 2 :]


def read(
    model: Any, codes: np.ndarray, values: np.ndarray, train: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """What a scikit-learn model fitted on `train` says about `test`."""
    if np.all(values[train] == values[train][0]):
        return np.full(len(test), values[train][0])
    return model.fit(codes[train], values[train]).predict(codes[test])


def quality(factor: Factor, reading: np.ndarray, test: np.ndarray) -> float:
    """Accuracy of a categorical factor; R^2 of a continuous one, at least 0."""
    truth = factor.values[test]
    if factor.categorical:
        return float(np.mean(reading == truth))
    return max(0.0, float(r2_score(truth, reading))) if len(truth) > 1 else 0.0


def _strong(factor: Factor, seed: int) -> list:
    if factor.categorical:
        trees = HistGradientBoostingClassifier(early_stopping=False, random_state=seed)
        kernel = SVC(C=10.0)
    else:
        trees = HistGradientBoostingRegressor(early_stopping=False, random_state=seed)
        kernel = TransformedTargetRegressor(SVR(C=10.0), transformer=StandardScaler())
    return [trees, make_pipeline(StandardScaler(), kernel)]


def _linear(factor: Factor) -> list:
    model = LogisticRegression(max_iter=1000) if factor.categorical else LinearRegression()
    return [make_pipeline(StandardScaler(), model)]


def _best(
    factor: Factor, models: list, codes: np.ndarray, train: np.ndarray, test: np.ndarray
) -> ReadOut:
    """The best reading of the models; chance where the codes have nothing to say."""
    truth = factor.values[test]
    chance = 0.0
    if factor.categorical and train.size:
        chance = float(np.mean(truth == np.bincount(factor.values[train]).argmax()))
    alive = varying(codes) if len(codes) else np.zeros(0, bool)
    if not (factor.varies and alive.any()):
        if factor.categorical:
            return ReadOut(chance=chance, accuracy=chance)
        return ReadOut(chance=0.0, r2=0.0, spearman=0.0)
    readings = [read(model, codes[:, alive], factor.values, train, test) for model in models]
    qualities = [quality(factor, reading, test) for reading in readings]
    best = int(np.argmax(qualities))
    if factor.categorical:
        return ReadOut(chance=chance, accuracy=qualities[best])
    rank = float(rank_correlation(readings[best][:, None], truth)[0])
    return ReadOut(chance=0.0, r2=qualities[best], spearman=rank)

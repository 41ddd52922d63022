"""Is factor j in its assigned dimension (alignment), and in no other (leakage)?

alignment_j = quality of v_j predicted from c_a(j) alone
leakage_j   = quality of v_j predicted from all c_i, i != a(j)

where a(j) is the dimension assigned to factor j (two for an angle), and quality is the accuracy
(categorical) or the R^2 (continuous) of a model fitted on one half of the samples and tested on the
other. Of an angle, the cosine and the sine are predicted, and R^2 is that of both together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import r2_score
from sklearn.multioutput import MultiOutputRegressor
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, SVR

from filvm.analysis.angles import Assigned, angular_difference
from filvm.analysis.correlation import rank_correlation
from filvm.analysis.factors import Factor, check_assigned, checked, own_dimensions, varying

READERS = ("strong", "linear")


@dataclass(frozen=True)
class ReadOut:
    """How well one factor is predicted; None if a measure does not apply."""

    chance: float  # accuracy of always predicting the most frequent class; 0 if continuous
    accuracy: float | None = None  # categorical
    r2: float | None = None  # continuous, or an angle; 0 where negative
    spearman: float | None = None  # continuous
    mean_error: float | None = None  # an angle, in its unit; period / 4 without information


def alignment(
    codes: np.ndarray,
    factors: Mapping[str, np.ndarray],
    assigned: Assigned,
    *,
    neighbors: int = 30,
    seed: int = 0,
) -> dict[str, ReadOut]:
    """Predict every assigned factor from its own dimension alone.

    The model is nearest neighbours on one axis, which follows any curve and any order of classes.
    `spearman` is the signed correlation of the dimension itself.

    Args:
        codes: float [n, d].
        factors: name -> values [n]; see `filvm.analysis.factors`.
        assigned: name -> dimension; the two dimensions of an angle.
        neighbors: number of nearest neighbours.
        seed: seed of the division into halves.

    Returns:
        The quality of the prediction by name of the factor.
    """
    codes, known_factors = checked(codes, factors)
    check_assigned(assigned, known_factors, codes.shape[1])
    results = {}
    for factor in known_factors:
        if factor.name not in assigned:
            continue
        own = codes[factor.known][:, own_dimensions(assigned, factor.name)]
        train, test = halves(len(own), seed)
        kind = KNeighborsClassifier if factor.categorical else KNeighborsRegressor
        near = kind(max(1, min(neighbors, len(train))))
        found = _best(factor, [near], own, train, test)
        if factor.ordered:
            found = replace(found, spearman=float(rank_correlation(own, factor.values)[0]))
        results[factor.name] = found
    return results


def leakage(
    codes: np.ndarray,
    factors: Mapping[str, np.ndarray],
    assigned: Assigned,
    *,
    readers: str = "strong",
    num_train: int = 5_000,
    num_test: int = 5_000,
    seed: int = 0,
) -> dict[str, ReadOut]:
    """Predict every assigned factor from all dimensions except its own: `chance` is no leakage.

    `spearman` is the correlation of the prediction with the true values.

    Args:
        codes: float [n, d].
        factors: name -> values [n]; see `filvm.analysis.factors`.
        assigned: name -> dimension; the two dimensions of an angle.
        readers: "strong" takes the better of gradient boosted trees and a support vector machine
            with a Gaussian kernel; "linear" is logistic or linear regression, which cannot combine
            dimensions in other ways. Results must state which was used.
        num_train: at most so many samples are fitted.
        num_test: at most so many samples are tested.
        seed: seed of the division into halves, and of the trees.

    Returns:
        The quality of the prediction by name of the factor.
    """
    if readers not in READERS:
        raise ValueError(f"readers is {readers!r}; expected one of {', '.join(READERS)}")
    codes, known_factors = checked(codes, factors)
    check_assigned(assigned, known_factors, codes.shape[1])
    results = {}
    for factor in known_factors:
        if factor.name not in assigned:
            continue
        own = own_dimensions(assigned, factor.name)
        others = np.delete(codes[factor.known], own, axis=1)
        train, test = halves(len(others), seed)
        models = _strong(factor, seed) if readers == "strong" else _linear(factor)
        results[factor.name] = _best(factor, models, others, train[:num_train], test[:num_test])
    return results


def halves(num_samples: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return random indices to fit on and indices to test on."""
    order = np.random.default_rng(seed).permutation(num_samples)
    return order[: num_samples // 2], order[num_samples // 2 :]


def predicted(
    model: Any, codes: np.ndarray, values: np.ndarray, train: np.ndarray, test: np.ndarray
) -> np.ndarray:
    """Fit a scikit-learn model on the rows `train` and return its predictions for `test`."""
    if np.all(values[train] == values[train][0]):
        return np.repeat(values[train][:1], len(test), axis=0)
    return model.fit(codes[train], values[train]).predict(codes[test])


def quality(factor: Factor, prediction: np.ndarray, test: np.ndarray) -> float:
    """Return the accuracy of a categorical factor, or the R^2, at least 0, of another one."""
    truth = factor.targets[test]
    if factor.categorical:
        return float(np.mean(prediction == truth))
    if len(truth) < 2:
        return 0.0
    # Weighted by their variances, cosine and sine have the R^2 of the point on the circle.
    return max(0.0, float(r2_score(truth, prediction, multioutput="variance_weighted")))


def _strong(factor: Factor, seed: int) -> list:
    if factor.categorical:
        trees = HistGradientBoostingClassifier(early_stopping=False, random_state=seed)
        kernel = SVC(C=10.0)
    else:
        trees = HistGradientBoostingRegressor(early_stopping=False, random_state=seed)
        kernel = SVR(C=10.0)
        if factor.period is not None:
            trees, kernel = MultiOutputRegressor(trees), MultiOutputRegressor(kernel)
        kernel = TransformedTargetRegressor(kernel, transformer=StandardScaler())
    return [trees, make_pipeline(StandardScaler(), kernel)]


def _linear(factor: Factor) -> list:
    model = LogisticRegression(max_iter=1000) if factor.categorical else LinearRegression()
    return [make_pipeline(StandardScaler(), model)]


def _best(
    factor: Factor, models: list, codes: np.ndarray, train: np.ndarray, test: np.ndarray
) -> ReadOut:
    """Return the quality of the best model; chance if all dimensions are constant."""
    truth = factor.values[test]
    chance = 0.0
    if factor.categorical and train.size:
        chance = float(np.mean(truth == np.bincount(factor.values[train]).argmax()))
    alive = varying(codes) if len(codes) else np.zeros(0, bool)
    found, prediction = chance, None
    if factor.varies and alive.any():
        inputs, values = codes[:, alive], factor.targets
        predictions = [predicted(model, inputs, values, train, test) for model in models]
        qualities = [quality(factor, prediction, test) for prediction in predictions]
        best = int(np.argmax(qualities))
        found, prediction = qualities[best], predictions[best]
    if factor.categorical:
        return ReadOut(chance, accuracy=found)
    if factor.ordered:
        rank = 0.0
        if prediction is not None:
            rank = float(rank_correlation(prediction[:, None], truth)[0])
        return ReadOut(chance, r2=found, spearman=rank)
    error = factor.period / 4 if factor.varies else 0.0
    if prediction is not None:
        turns = np.arctan2(*prediction.T[::-1]) / (2 * np.pi)
        error = float(angular_difference(turns * factor.period, truth, factor.period).mean())
    return ReadOut(chance, r2=found, mean_error=error)

"""Measures of disentanglement: how well the dimensions of a code match known factors.

Codes c are float [n, d] (z, z* or any other representation), factors v arrays [n] by name. I is
mutual information, H entropy; "first" and "second" rank the dimensions.

| measure | formula | source |
|---|---|---|
| `mig` | (I(c_first; v) - I(c_second; v)) / H(v) | Chen et al. 2018, arXiv 1802.04942 |
| `aligned_mig` | (I(c_own; v) - max_other I(c_i; v)) / H(v) | the same; may be negative |
| `sap` | S_first - S_second, S = fit of a line to one c_i | Kumar et al. 2018, 1711.00848 |
| `dci` | 1 - entropy of importances | Eastwood and Williams 2018 |
| `modularity` | 1 - sum_{j != top} I_ij^2 / (F - 1) / I_i,top^2 | Ridgeway, Mozer, 1802.05312 |
| `scc` | max_i abs(Spearman(c_i, v)) | Pati and Lerch 2020, 2004.05485 |
| `interpretability` | R^2 of v = a c_i + b, i = argmax I(c_i; v) | Adel et al. 2018; 2004.05485 |

Choices that these papers leave open follow Locatello et al. 2019 (arXiv 1811.12359) and their
disentanglement_lib.

*Factors.* A dictionary of columns, or a DataFrame. Integers, booleans, strings and pandas
categories are categorical (-1 or None if missing), floats are continuous (nan if missing): pass the
length of a sequence as floats if its order matters. A sample with a missing value is excluded for
that factor only.

*Angles.* `Angles(values, period)` is a circular factor. `assigned` may give it two dimensions; in
measures of single dimensions, their angle replaces the two (`filvm.analysis.angles.join_circles`).
SAP, SCC and interpretability fit lines and ranks, so they exclude circular factors.

*Constants.* A constant dimension has no information: 0. A constant factor has score 0 and is
excluded from means.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.stats import entropy
from sklearn.ensemble import (
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.svm import LinearSVC

from filvm.analysis.alignment import ReadOut, alignment, halves, leakage, predicted, quality
from filvm.analysis.angles import Assigned, join_circles
from filvm.analysis.correlation import linear_correlation, rank_correlation, spearman
from filvm.analysis.factors import Factor, check_assigned, checked, plain_columns, varying
from filvm.analysis.mutual_information import (
    information_matrix,
    most_informative_dimensions,
    mutual_information,
)

IMPORTANCES = ("forest", "boosting")


@dataclass(frozen=True)
class Score:
    """The mean over all factors that vary, and the value for every factor."""

    mean: float
    per_factor: dict[str, float]


@dataclass(frozen=True)
class Modularity:
    """The mean over dimensions, and the value for every dimension."""

    mean: float
    per_dimension: list[float]


@dataclass(frozen=True)
class DCI:
    """Disentanglement, completeness and informativeness; `importances` are [d, factors]."""

    disentanglement: float
    completeness: float
    informativeness: float
    disentanglement_per_dimension: list[float]
    completeness_per_factor: dict[str, float]
    informativeness_per_factor: dict[str, float]
    importances: list[list[float]]


def mig(
    codes: np.ndarray,
    factors: Mapping[str, np.ndarray],
    *,
    estimator: str = "quantile",
    bins: int = 20,
) -> Score:
    """MIG_j = (I_first,j - I_second,j) / H(v_j), the mutual information gap.

    Chen et al. 2018, arXiv 1802.04942, section 4.1. I_first,j and I_second,j are the two largest of
    I(c_i; v_j) over the dimensions i. Between 0 and 1 with binned estimators. The borders of 20
    bins differ from those of ten uneven classes, so an axis with the digits of MNIST in perfect
    order has 0.93.

    >>> codes = np.random.default_rng(0).normal(size=(5000, 2))
    >>> round(mig(codes, {"first": codes[:, 0]}).mean, 2)
    0.99
    """
    codes, known_factors = checked(codes, factors)
    information, entropies = information_matrix(codes, known_factors, estimator, bins)
    return _score(known_factors, _ratio(_gap(information), entropies))


def aligned_mig(
    codes: np.ndarray,
    factors: Mapping[str, np.ndarray],
    assigned: Assigned,
    *,
    estimator: str = "quantile",
    bins: int = 20,
) -> Score:
    """(I(c_a(j); v_j) - max_{i != a(j)} I(c_i; v_j)) / H(v_j), a(j) the assigned dimension.

    Equal to MIG if the assigned dimension is the most informative one, negative if another one is:
    between -1 and 1. Factors without an assigned dimension are excluded.
    """
    codes, known_factors = checked(codes, factors)
    check_assigned(assigned, known_factors, codes.shape[1])
    known_factors = [factor for factor in known_factors if factor.name in assigned]
    codes, assigned = join_circles(codes, assigned)
    information, entropies = information_matrix(codes, known_factors, estimator, bins)
    own = [assigned[factor.name] for factor in known_factors], np.arange(len(known_factors))
    others = information.copy()
    others[own] = 0.0
    return _score(known_factors, _ratio(information[own] - others.max(axis=0), entropies))


def sap(codes: np.ndarray, factors: Mapping[str, np.ndarray], *, seed: int = 0) -> Score:
    """SAP_j = S_first,j - S_second,j, the separated attribute predictability.

    Kumar et al. 2018, arXiv 1711.00848, section 3. S_ij is the R^2 of a linear fit of v_j on c_i,
    or, for a categorical factor, the accuracy on a held-out half of a linear support vector machine
    on c_i alone (C = 0.01, balanced classes). A linear machine cannot separate ten classes on one
    axis, so even a perfectly ordered digit axis has far less than 1.
    """
    codes, known_factors = checked(codes, factors)
    known_factors = [factor for factor in known_factors if factor.period is None]
    if not known_factors:
        raise ValueError("factors of sap are all angles; expected labels or numbers")
    scores = np.zeros((codes.shape[1], len(known_factors)))
    for j, factor in enumerate(known_factors):
        own = codes[factor.known]
        if factor.varies and not factor.categorical:
            scores[:, j] = linear_correlation(own, factor.values) ** 2
        elif factor.varies:
            train, test = halves(len(own), seed)
            for i in np.flatnonzero(varying(own)):
                machine = LinearSVC(C=0.01, class_weight="balanced", dual=False)
                prediction = predicted(machine, own[:, [i]], factor.values, train, test)
                scores[i, j] = quality(factor, prediction, test)
    return _score(known_factors, _gap(scores))


def dci(
    codes: np.ndarray,
    factors: Mapping[str, np.ndarray],
    *,
    importance: str = "forest",
    num_train: int = 5_000,
    num_test: int = 5_000,
    seed: int = 0,
) -> DCI:
    """D_i = 1 - H_F(P_i.) and C_j = 1 - H_d(P_.j), from the importances R_ij of c_i for v_j.

    Eastwood and Williams 2018 (ICLR, openreview By-7dz-AZ), section 2. P_i. is row i of R as a
    distribution over the F factors, P_.j is column j as one over the d dimensions; the entropies
    have base F and d. Disentanglement is the mean of D_i weighted by sum_j R_ij; completeness the
    mean of C_j; informativeness the mean accuracy (categorical) or R^2 (continuous) on held-out
    samples.

    R are the impurity importances of a random `"forest"`, as in the paper, or of `"boosting"`
    (gradient boosted trees, as in disentanglement_lib; slow with many classes).
    """
    if importance not in IMPORTANCES:
        raise ValueError(f"importance is {importance!r}; expected one of {', '.join(IMPORTANCES)}")
    codes, known_factors = checked(codes, factors)
    if importance == "boosting" and any(factor.period is not None for factor in known_factors):
        raise ValueError("importance is 'boosting'; expected 'forest' for factors with angles")
    importances = np.zeros((codes.shape[1], len(known_factors)))
    informativeness = np.zeros(len(known_factors))
    for j, factor in enumerate(known_factors):
        own = codes[factor.known]
        train, test = halves(len(own), seed)
        train, test = train[:num_train], test[:num_test]
        if np.unique(factor.values[train]).size < 2:
            continue
        trees = _trees(factor, importance, seed)
        prediction = predicted(trees, own, factor.targets, train, test)
        informativeness[j] = quality(factor, prediction, test)
        importances[:, j] = trees.feature_importances_
    total = importances.sum()
    per_dimension = np.array([_concentration(row) for row in importances])
    completeness = _score(known_factors, np.array([_concentration(c) for c in importances.T]))
    informed = _score(known_factors, informativeness)
    return DCI(
        disentanglement=float(per_dimension @ importances.sum(axis=1) / total) if total else 0.0,
        completeness=completeness.mean,
        informativeness=informed.mean,
        disentanglement_per_dimension=per_dimension.tolist(),
        completeness_per_factor=completeness.per_factor,
        informativeness_per_factor=informed.per_factor,
        importances=importances.tolist(),
    )


def modularity(
    codes: np.ndarray,
    factors: Mapping[str, np.ndarray],
    *,
    estimator: str = "quantile",
    bins: int = 20,
) -> Modularity:
    """M_i = 1 - sum_{j != top} I_ij^2 / (I_i,top^2 (F - 1)): does c_i have one factor?

    Ridgeway and Mozer 2018, arXiv 1802.05312, section 3. `top` is the factor with the largest I_ij,
    F the number of factors that vary. The mean is over all dimensions. A dimension without
    information counts as 0, but estimates from samples are rarely exactly 0, so such a dimension
    adds noise to the mean.
    """
    codes, known_factors = checked(codes, factors)
    information, entropies = information_matrix(codes, known_factors, estimator, bins)
    squared = information[:, entropies > 0] ** 2
    top = squared.max(axis=1, initial=0.0)
    deviation = (squared.sum(axis=1) - top) / max(squared.shape[1] - 1, 1)
    per_dimension = np.where(top > 0, 1.0 - _ratio(deviation, top), 0.0)
    return Modularity(float(per_dimension.mean()), per_dimension.tolist())


def scc(codes: np.ndarray, factors: Mapping[str, np.ndarray]) -> Score:
    """SCC_j = max_i abs(Spearman(c_i, v_j)); only continuous factors, as classes have no order.

    Pati and Lerch 2020, arXiv 2004.05485.
    """
    codes, known_factors = checked(codes, factors)
    ordered = _continuous(known_factors, "scc")
    scores = [np.abs(rank_correlation(codes[f.known], f.values)).max() for f in ordered]
    return _score(ordered, np.array(scores))


def interpretability(
    codes: np.ndarray,
    factors: Mapping[str, np.ndarray],
    *,
    estimator: str = "quantile",
    bins: int = 20,
) -> Score:
    """R^2 of the fit v_j = a c_i + b, with i = argmax_i I(c_i; v_j); continuous factors only.

    Adel et al. 2018 (ICML), as in Pati and Lerch 2020 (arXiv 2004.05485), who use the "knn"
    estimator.
    """
    codes, known_factors = checked(codes, factors)
    ordered = _continuous(known_factors, "interpretability")
    information, _ = information_matrix(codes, ordered, estimator, bins)
    fits = [linear_correlation(codes[f.known], f.values) ** 2 for f in ordered]
    return _score(ordered, np.array(fits)[np.arange(len(ordered)), information.argmax(axis=0)])


def disentanglement_report(
    codes: np.ndarray,
    factors: Mapping[str, np.ndarray],
    assigned: Assigned | None = None,
    *,
    estimator: str = "quantile",
    bins: int = 20,
    num_samples: int = 10_000,
    importance: str = "forest",
    seed: int = 0,
) -> dict[str, Any]:
    """Return all measures as numbers, lists and dictionaries for metrics.json.

    Takes about 6 s for 10,000 codes of 8 dimensions on one core.

    Args:
        codes: float [n, d].
        factors: name -> values [n].
        assigned: name -> dimension, or the two of an angle; by default (ILVM, VAE) the
            `most_informative_dimensions`, which "assigned_by" then records.
        estimator: estimator of mutual information; see `filvm.analysis.mutual_information`.
        bins: number of bins of the estimator.
        num_samples: if there are more samples, a random subset is measured.
        importance: importances of `dci`.
        seed: seed of all random choices.
    """
    codes, known_factors = checked(codes, factors)
    kept = slice(None)
    if len(codes) > num_samples:
        kept = np.random.default_rng(seed).choice(len(codes), num_samples, replace=False)
    codes, factors = codes[kept], plain_columns(known_factors, kept)
    codes, known_factors = checked(codes, factors)
    estimated = {"estimator": estimator, "bins": bins}
    assigned_by = "the caller"
    if assigned is None:
        assigned_by = "mutual information"
        assigned = most_informative_dimensions(codes, factors, **estimated)
    check_assigned(assigned, known_factors, codes.shape[1])
    joined, _ = join_circles(codes, assigned)

    report = {
        "num_samples": len(codes),
        "num_dimensions": codes.shape[1],
        **estimated,
        "assigned": {name: np.asarray(own).tolist() for name, own in assigned.items()},
        "assigned_by": assigned_by,
        "mutual_information": _lists(mutual_information(joined, factors, **estimated)),
        "mig": asdict(mig(joined, factors, **estimated)),
        "mig_histogram": asdict(mig(joined, factors, estimator="histogram", bins=bins)),
        "aligned_mig": asdict(aligned_mig(codes, factors, assigned, **estimated)),
        "dci": asdict(dci(joined, factors, importance=importance, seed=seed)),
        "modularity": asdict(modularity(joined, factors, **estimated)),
    }
    if any(factor.period is None for factor in known_factors):
        report["sap"] = asdict(sap(joined, factors, seed=seed))
    if any(factor.ordered for factor in known_factors):
        report["spearman"] = _lists(spearman(joined, factors))
        report["scc"] = asdict(scc(joined, factors))
        report["interpretability"] = asdict(interpretability(joined, factors, **estimated))
    report["alignment"] = _as_dictionaries(alignment(codes, factors, assigned, seed=seed))
    report["leakage"] = _as_dictionaries(leakage(codes, factors, assigned, seed=seed))
    linear = leakage(codes, factors, assigned, readers="linear", seed=seed)
    report["leakage_linear"] = _as_dictionaries(linear)
    return report


def _as_dictionaries(results: Mapping[str, ReadOut]) -> dict[str, dict[str, float]]:
    """Convert results to dictionaries without measures that do not apply."""
    return {
        factor: {key: value for key, value in asdict(result).items() if value is not None}
        for factor, result in results.items()
    }


def _lists(arrays: dict[str, np.ndarray]) -> dict[str, list[float]]:
    return {name: array.tolist() for name, array in arrays.items()}


def _score(factors: list[Factor], values: np.ndarray) -> Score:
    varying_values = [v for f, v in zip(factors, values, strict=True) if f.varies]
    mean = float(np.mean(varying_values)) if varying_values else 0.0
    return Score(mean, {f.name: float(v) for f, v in zip(factors, values, strict=True)})


def _continuous(factors: list[Factor], measure: str) -> list[Factor]:
    ordered = [factor for factor in factors if factor.ordered]
    if not ordered:
        raise ValueError(
            f"factors of {measure} are all categorical or angles; expected floats in one"
        )
    return ordered


def _gap(scores: np.ndarray) -> np.ndarray:
    """Return largest minus second largest of every column; the value itself if it has one row."""
    if len(scores) == 1:
        return scores[0]
    return np.diff(np.sort(scores, axis=0)[-2:], axis=0)[0]


def _ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Return numerator / denominator, and 0 where the denominator is 0."""
    return np.divide(numerator, denominator, out=np.zeros_like(numerator), where=denominator > 0)


def _concentration(weights: np.ndarray) -> float:
    """Return 1 - entropy of the normalised weights, in base of their number; 1 for one weight."""
    if weights.sum() == 0 or len(weights) == 1:
        return float(weights.sum() > 0)
    return float(np.clip(1.0 - entropy(weights, base=len(weights)), 0.0, 1.0))


def _trees(factor: Factor, importance: str, seed: int) -> Any:
    """Return trees with leaves of 20 samples: smaller leaves give importance to noise."""
    if importance == "forest":
        kind = RandomForestClassifier if factor.categorical else RandomForestRegressor
        return kind(50, max_features=None, min_samples_leaf=20, random_state=seed)
    kind = GradientBoostingClassifier if factor.categorical else GradientBoostingRegressor
    return kind(random_state=seed)

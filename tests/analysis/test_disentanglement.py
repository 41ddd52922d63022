"""Measures of disentanglement on codes with known results, and against other implementations."""

import json
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import norm, spearmanr
from sklearn.ensemble import RandomForestRegressor
from sklearn.feature_selection import mutual_info_regression
from sklearn.linear_model import LinearRegression

from filvm.analysis.disentanglement import (
    aligned_mig,
    dci,
    disentanglement_report,
    interpretability,
    mig,
    modularity,
    sap,
    scc,
    spearman,
)
from filvm.analysis.mutual_information import mutual_information

N = 4000
rng = np.random.default_rng(0)
label = rng.integers(0, 10, N)
width, slant = rng.standard_normal((2, N))
FACTORS = {"digit": label, "width": width, "slant": slant}
ASSIGNED = {"digit": 0, "width": 1, "slant": 2}
STAIRCASE = norm.ppf((label + rng.uniform(0.05, 0.95, N)) / 10)  # digits in order, Gaussian
NOISE = rng.standard_normal((N, 2))
PERFECT = np.column_stack([STAIRCASE, width, slant, NOISE])
angle = np.pi / 4
TURNED = PERFECT.copy()  # width and slant share two dimensions equally
TURNED[:, 1] = np.cos(angle) * width - np.sin(angle) * slant
TURNED[:, 2] = np.sin(angle) * width + np.cos(angle) * slant


def test_a_perfect_code_scores_close_to_one():
    assert mig(PERFECT, FACTORS).per_factor["width"] > 0.97
    assert mig(PERFECT, FACTORS).per_factor["digit"] > 0.9  # bins straddle uneven classes
    assert mig(PERFECT, FACTORS, estimator="knn").per_factor["digit"] > 0.98
    assert aligned_mig(PERFECT, FACTORS, ASSIGNED) == mig(PERFECT, FACTORS)
    assert scc(PERFECT, FACTORS).mean == pytest.approx(1.0)
    assert interpretability(PERFECT, FACTORS).mean == pytest.approx(1.0)
    assert min(modularity(PERFECT, FACTORS).per_dimension[:3]) > 0.99
    continuous = {"width": width, "slant": slant}
    assert sap(PERFECT, continuous).mean > 0.99
    found = dci(PERFECT, FACTORS)
    assert found.disentanglement > 0.98
    assert found.completeness > 0.98
    assert found.informativeness > 0.98


def test_sap_of_ten_classes_on_one_axis_is_low_even_if_perfect():
    assert 0.1 < sap(PERFECT, {"digit": label}).mean < 0.4
    two = (label >= 5).astype(int)
    assert sap(PERFECT, {"half": two}).mean == pytest.approx(0.5, abs=0.05)  # 1 against chance


def test_rotating_two_dimensions_entangles_them():
    continuous = {"width": width, "slant": slant}
    assert mig(TURNED, continuous).mean < 0.03
    assert sap(TURNED, continuous).mean < 0.05
    assert scc(TURNED, continuous).mean == pytest.approx(0.7, abs=0.03)
    assert interpretability(TURNED, continuous).mean == pytest.approx(0.5, abs=0.04)
    assert modularity(TURNED[:, 1:3], continuous).mean < 0.1
    found = dci(TURNED[:, 1:3], continuous)
    assert found.disentanglement < 0.1
    assert found.completeness < 0.1
    assert found.informativeness > 0.9  # everything is there, only turned


def test_the_aligned_gap_is_negative_if_another_dimension_is_more_informative():
    swapped = {"digit": 0, "width": 2, "slant": 1}
    found = aligned_mig(PERFECT, FACTORS, swapped).per_factor
    plain = mig(PERFECT, FACTORS).per_factor
    assert found["digit"] == pytest.approx(plain["digit"])
    assert found["width"] == pytest.approx(-plain["width"], abs=1e-12)
    assert set(aligned_mig(PERFECT, FACTORS, {"width": 1}).per_factor) == {"width"}


def test_a_duplicated_dimension_leaves_no_gap():
    doubled = np.column_stack([PERFECT, PERFECT[:, :3]])
    assert mig(doubled, FACTORS).mean == pytest.approx(0.0, abs=1e-12)
    assert sap(doubled, FACTORS).mean == pytest.approx(0.0, abs=1e-12)
    assert aligned_mig(doubled, FACTORS, ASSIGNED).mean == pytest.approx(0.0, abs=1e-12)
    assert scc(doubled, FACTORS).mean == pytest.approx(1.0)


def test_the_order_of_dimensions_changes_nothing():
    order = np.array([3, 2, 4, 0, 1])
    assert mig(PERFECT[:, order], FACTORS) == mig(PERFECT, FACTORS)
    assert sap(PERFECT[:, order], FACTORS).mean == pytest.approx(sap(PERFECT, FACTORS).mean)
    assert scc(PERFECT[:, order], FACTORS) == scc(PERFECT, FACTORS)
    assert modularity(PERFECT[:, order], FACTORS).per_dimension == pytest.approx(
        np.array(modularity(PERFECT, FACTORS).per_dimension)[order]
    )


def test_constant_codes_score_zero_and_constant_factors_are_excluded_from_means():
    nothing = np.full((N, 3), 2.5)
    for measure in (mig, sap, modularity, scc, interpretability):
        assert measure(nothing, FACTORS).mean == 0.0
    assert aligned_mig(nothing, FACTORS, ASSIGNED).mean == 0.0
    found = dci(nothing, FACTORS)
    assert (found.disentanglement, found.completeness) == (0.0, 0.0)
    still = {**FACTORS, "colour": np.zeros(N, int), "size": np.full(N, 3.0)}
    for measure in (mig, sap, scc, interpretability):
        assert measure(PERFECT, still).mean == measure(PERFECT, FACTORS).mean
        assert measure(PERFECT, still).per_factor["size"] == 0.0
    assert modularity(PERFECT, still) == modularity(PERFECT, FACTORS)
    assert mig(PERFECT, {"size": np.full(N, 3.0)}).mean == 0.0


@pytest.mark.parametrize("estimator", ["quantile", "histogram", "knn"])
def test_every_estimator_separates_perfect_from_rotated_codes(estimator):
    continuous = {"width": width[:1000], "slant": slant[:1000]}
    perfect = mig(PERFECT[:1000], continuous, estimator=estimator).mean
    assert perfect > 10 * mig(TURNED[:1000], continuous, estimator=estimator).mean


def test_knn_gaps_are_those_of_ar_vae_evaluation():
    codes = TURNED[:800, :3] + 0.5 * PERFECT[:800, :3]
    information = mutual_info_regression(codes, width[:800], random_state=0)
    own = mutual_info_regression(width[:800, None], width[:800], random_state=0)[0]
    expected = np.diff(np.sort(information))[-1] / own
    assert mig(codes, {"width": width[:800]}, estimator="knn").mean == pytest.approx(expected)


def test_modularity_is_ridgeways_and_mozers_formula():
    codes = TURNED[:, :3]
    information = np.column_stack([*mutual_information(codes, FACTORS).values()])
    expected = []
    for row in information:
        template = np.where(row == row.max(), row.max(), 0.0)
        deviation = ((row - template) ** 2).sum() / (row.max() ** 2 * (len(row) - 1))
        expected.append(1 - deviation)
    assert modularity(codes, FACTORS).per_dimension == pytest.approx(expected)


def test_dci_is_the_entropy_of_the_forests_importances():
    continuous = {"width": width, "slant": slant}
    found = dci(TURNED[:, 1:3] + PERFECT[:, 1:3], continuous)
    importances = np.array(found.importances)
    assert importances.sum(axis=0) == pytest.approx([1.0, 1.0])
    rows = importances / importances.sum(axis=1, keepdims=True)
    per_dimension = 1 + (rows * np.log2(rows)).sum(axis=1)
    weights = importances.sum(axis=1) / importances.sum()
    assert found.disentanglement_per_dimension == pytest.approx(per_dimension)
    assert found.disentanglement == pytest.approx(weights @ per_dimension)
    columns = 1 + (importances * np.log2(importances)).sum(axis=0)
    assert found.completeness == pytest.approx(columns.mean())


def test_dci_has_the_accuracy_of_a_separate_forest():
    found = dci(TURNED, {"width": width}, num_train=1500, num_test=1500).informativeness
    forest = RandomForestRegressor(50, min_samples_leaf=20, random_state=1)
    own = forest.fit(TURNED[:1500], width[:1500]).score(TURNED[1500:3000], width[1500:3000])
    assert found == pytest.approx(own, abs=0.03)


def test_boosting_finds_the_same_structure():
    small = {name: values[:800] for name, values in FACTORS.items() if name != "digit"}
    found = dci(PERFECT[:800], small, importance="boosting")
    assert found.disentanglement > 0.95
    with pytest.raises(ValueError, match="'tree'; expected one of forest, boosting"):
        dci(PERFECT, FACTORS, importance="tree")


def test_correlations_and_fits_agree_with_scipy_and_scikit_learn():
    codes = np.exp(TURNED)
    expected = [spearmanr(code, width).statistic for code in codes.T]
    assert spearman(codes, FACTORS)["width"] == pytest.approx(expected)
    assert scc(codes, FACTORS).per_factor["width"] == pytest.approx(np.abs(expected).max())
    fits = [LinearRegression().fit(c[:, None], width).score(c[:, None], width) for c in codes.T]
    best = np.argmax(mutual_information(codes, FACTORS)["width"])
    assert interpretability(codes, FACTORS).per_factor["width"] == pytest.approx(fits[best])
    top, second = np.sort(fits)[:-3:-1]
    assert sap(codes, FACTORS).per_factor["width"] == pytest.approx(top - second)


def test_measures_of_order_refuse_classes_alone():
    for measure in (scc, interpretability):
        with pytest.raises(ValueError, match="all categorical"):
            measure(PERFECT, {"digit": label})


finite = st.floats(-100, 100, width=32)


@settings(max_examples=30, deadline=None)
@given(
    codes=arrays(np.float64, (24, 3), elements=finite),
    labels=arrays(np.int64, 24, elements=st.integers(-1, 2)),
    values=arrays(np.float64, 24, elements=st.one_of(finite, st.just(np.nan))),
)
def test_every_measure_is_within_bounds_for_any_input(codes, labels, values):
    factors = {"label": labels, "value": values}
    measures = [mig, sap, modularity, scc, interpretability]
    scores = [measure(codes, factors).mean for measure in measures]
    found = dci(codes, factors)
    scores += [found.disentanglement, found.completeness, found.informativeness]
    assert all(0.0 <= score <= 1.0 for score in scores)
    assert -1.0 <= aligned_mig(codes, factors, {"label": 0, "value": 2}).mean <= 1.0


def test_few_samples_of_many_values_are_measured_without_warnings_and_within_bounds():
    values = np.concatenate([np.arange(13.0), np.full(11, -1.0)])
    code = np.eye(24)[:, :1]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert 0.0 < mig(code, {"value": values}).mean < 1.0
        assert mig(code, {"value": code[:, 0]}).mean == 1.0


def test_the_report_holds_every_measure_as_plain_json():
    report = disentanglement_report(PERFECT, FACTORS, ASSIGNED, num_samples=1000)
    assert json.loads(json.dumps(report)) == report
    assert report["num_samples"] == 1000
    assert report["assigned_by"] == "the caller"
    assert {
        "mutual_information",
        "mig",
        "mig_histogram",
        "aligned_mig",
        "sap",
        "dci",
        "modularity",
        "spearman",
        "scc",
        "interpretability",
        "alignment",
        "leakage",
        "leakage_linear",
    } < set(report)
    assert report["mig"]["mean"] == pytest.approx(mig(*_first(1000)).mean, abs=0.03)
    assert report["alignment"]["digit"]["accuracy"] > 0.95
    assert report["leakage"]["width"]["r2"] < 0.05


def _first(n):
    return PERFECT[:n], {name: values[:n] for name, values in FACTORS.items()}


def test_without_assignment_the_report_finds_and_records_one():
    codes, factors = _first(600)
    report = disentanglement_report(codes[:, ::-1], factors)
    assert report["assigned"] == {"digit": 4, "width": 3, "slant": 2}
    assert report["assigned_by"] == "mutual information"
    classes_only = disentanglement_report(codes, {"digit": factors["digit"]})
    assert "scc" not in classes_only


def test_reports_are_repeatable_and_subsample_large_sets_by_seed():
    codes, factors = _first(800)
    first = disentanglement_report(codes, factors, ASSIGNED, num_samples=500, seed=3)
    again = disentanglement_report(codes, factors, ASSIGNED, num_samples=500, seed=3)
    assert first == again

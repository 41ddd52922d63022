"""Alignment and leakage: predictions from the assigned dimension, and from all others."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import spearmanr

from filvm.analysis.alignment import alignment, leakage

N = 3000
rng = np.random.default_rng(0)
label = rng.integers(0, 10, N)
order = rng.permutation(10)
width = rng.standard_normal(N)
CODES = np.column_stack(
    [order[label] + rng.uniform(0.1, 0.9, N), np.exp(-width), rng.standard_normal(N)]
)
FACTORS = {"digit": label, "width": width}
ASSIGNED = {"digit": 0, "width": 1}


def test_classes_in_any_order_and_any_curve_are_predicted_perfectly():
    found = alignment(CODES, FACTORS, ASSIGNED)
    assert found["digit"].accuracy > 0.99
    assert found["digit"].chance == pytest.approx(0.1, abs=0.02)
    assert found["width"].r2 > 0.98
    assert found["width"].spearman == pytest.approx(-1.0)


def test_nothing_leaks_from_independent_dimensions():
    found = leakage(CODES, FACTORS, ASSIGNED)
    assert found["digit"].accuracy == pytest.approx(found["digit"].chance, abs=0.03)
    assert found["width"].r2 < 0.02


def test_information_in_several_dimensions_together_leaks():
    sign = rng.choice([-1.0, 1.0], N)
    together = np.column_stack([CODES, sign, sign * np.where(label >= 5, 1.0, -1.0)])
    half = {"half": (label >= 5).astype(int), "width": width}
    found = leakage(together, half, {"half": 0, "width": 2})
    assert found["half"].accuracy > 0.99  # neither dimension tells, their product does
    assert found["width"].r2 > 0.98
    assert found["width"].spearman > 0.98
    linear = leakage(together, half, {"half": 0, "width": 2}, readers="linear")
    assert linear["half"].accuracy < 0.6  # a line does not see the product
    assert linear["width"].r2 < found["width"].r2
    with pytest.raises(ValueError, match="'weak'; expected one of strong, linear"):
        leakage(together, half, {"half": 0}, readers="weak")


def test_a_wrong_assignment_changes_alignment_and_leakage():
    wrong = {"digit": 2, "width": 2}
    read, leaked = alignment(CODES, FACTORS, wrong), leakage(CODES, FACTORS, wrong)
    assert read["digit"].accuracy < 0.2
    assert read["width"].r2 < 0.1
    assert leaked["digit"].accuracy > 0.95
    assert leaked["width"].r2 > 0.95


def test_noise_lowers_r2_as_in_theory():
    noisy = (width + rng.standard_normal(N))[:, None]
    found = alignment(noisy, {"width": width}, {"width": 0})["width"]
    assert found.r2 == pytest.approx(0.5, abs=0.06)
    assert found.spearman == pytest.approx(spearmanr(noisy[:, 0], width).statistic)


def test_constant_dimensions_give_chance_and_no_leakage():
    still = np.zeros((N, 1))
    read = alignment(still, FACTORS, {"digit": 0, "width": 0})
    leaked = leakage(still, FACTORS, {"digit": 0, "width": 0})
    for found in (read, leaked):
        assert found["digit"].accuracy == found["digit"].chance
        assert (found["width"].r2, found["width"].spearman) == (0.0, 0.0)


def test_missing_values_are_excluded():
    holes = rng.random(N) < 0.5
    factors = {"digit": np.where(holes, -1, label), "width": np.where(holes, np.nan, width)}
    kept = {"digit": label[~holes], "width": width[~holes]}
    assert alignment(CODES, factors, ASSIGNED) == alignment(CODES[~holes], kept, ASSIGNED)


def test_a_wrong_name_or_dimension_is_named():
    with pytest.raises(ValueError, match=r"assigned names \['slant'\]; expected names of factors"):
        alignment(CODES, FACTORS, {"slant": 0})
    with pytest.raises(ValueError, match="'digit' is assigned dimension 3; expected 0 to 2"):
        leakage(CODES, FACTORS, {"digit": 3})


finite = st.floats(-100, 100, width=32)


@settings(max_examples=30, deadline=None)
@given(
    codes=arrays(np.float64, (20, 2), elements=finite),
    labels=arrays(np.int64, 20, elements=st.integers(-1, 2)),
    values=arrays(np.float64, 20, elements=st.one_of(finite, st.just(np.nan))),
)
def test_results_are_within_bounds_for_any_input(codes, labels, values):
    factors = {"label": labels, "value": values}
    for found in (
        alignment(codes, factors, {"label": 0, "value": 1}),
        leakage(codes, factors, {"label": 0, "value": 1}),
        leakage(codes, factors, {"label": 0, "value": 1}, readers="linear"),
    ):
        assert 0.0 <= found["label"].accuracy <= 1.0
        assert 0.0 <= found["label"].chance <= 1.0
        assert 0.0 <= found["value"].r2 <= 1.0
        assert -1.0 <= found["value"].spearman <= 1.0

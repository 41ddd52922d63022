"""Factors that are angles: where they lie in a code, how well they are read, and in which unit."""

import numpy as np
import pytest

from filvm.analysis.alignment import alignment, leakage
from filvm.analysis.angles import Angles, angular_difference, join_circles
from filvm.analysis.disentanglement import (
    aligned_mig,
    dci,
    disentanglement_report,
    interpretability,
    mig,
    sap,
    scc,
)
from filvm.analysis.manipulation import Request, value_requests

N = 3000
rng = np.random.default_rng(0)
angle = rng.uniform(-180.0, 540.0, N)
size = rng.standard_normal(N)
radius = rng.uniform(0.5, 1.5, N)
turned = np.radians(angle) + 2.0
ON_CIRCLE = np.column_stack(
    [size, radius * np.cos(turned), radius * np.sin(turned), rng.standard_normal(N)]
)
FACTORS = {"size": size, "angle": Angles(angle)}
ASSIGNED = {"size": 0, "angle": (1, 2)}


def test_an_angle_on_a_turned_circle_is_read_in_degrees_and_leaks_nowhere():
    found = alignment(ON_CIRCLE, FACTORS, ASSIGNED)["angle"]
    assert found.r2 > 0.99
    assert found.mean_error < 2.0
    elsewhere = leakage(ON_CIRCLE, FACTORS, ASSIGNED)
    assert elsewhere["angle"].r2 < 0.02
    assert elsewhere["angle"].mean_error == pytest.approx(90.0, abs=4.0)  # a quarter of a period
    assert elsewhere["size"].r2 < 0.02


@pytest.mark.parametrize("readers", ["strong", "linear"])
def test_an_angle_in_other_dimensions_leaks(readers):
    found = leakage(ON_CIRCLE, FACTORS, {"angle": (0, 3)}, readers=readers)["angle"]
    assert found.r2 > 0.9
    assert found.mean_error < 20.0


def test_a_code_that_is_the_angle_itself_is_aligned_wherever_it_starts_again():
    moved = np.column_stack([(angle + 90.0) % 360.0, size])
    factors = {"angle": Angles(angle), "size": size}
    report = disentanglement_report(moved, factors, {"angle": 0, "size": 1})
    assert report["alignment"]["angle"]["r2"] > 0.98
    assert report["mig"]["per_factor"]["angle"] > 0.7
    assert set(report["sap"]["per_factor"]) == set(report["scc"]["per_factor"]) == {"size"}


def test_measures_of_single_dimensions_take_the_angle_of_the_two():
    report = disentanglement_report(ON_CIRCLE, FACTORS, ASSIGNED)
    assert report["assigned"] == {"size": 0, "angle": [1, 2]}
    for measure in ("mig", "aligned_mig"):
        assert report[measure]["per_factor"]["angle"] > 0.7
    assert report["dci"]["completeness"] > 0.9
    assert report["modularity"]["mean"] > 0.6
    assert aligned_mig(ON_CIRCLE, FACTORS, ASSIGNED).mean > 0.8
    assert mig(ON_CIRCLE, FACTORS).per_factor["angle"] < 0.1  # of two dimensions alone, half each
    joined, assigned = join_circles(ON_CIRCLE, {"angle": (2, 1), "size": 3})
    assert joined.shape == (N, 3)
    assert assigned == {"angle": 1, "size": 2}


def test_missing_angles_are_left_out_and_periods_count():
    hours = angle / 15.0
    values = np.where(np.arange(N) % 2, hours, np.nan)
    found = alignment(ON_CIRCLE, {"hour": Angles(values, 24.0)}, {"hour": (1, 2)})["hour"]
    assert found.mean_error < 0.2
    masked = Angles(np.ma.masked_array(np.full(N, 3.0), np.arange(N) % 2), 24.0)
    found = alignment(ON_CIRCLE, {"hour": masked}, {"hour": (1, 2)})["hour"]
    assert (found.r2, found.mean_error) == (0.0, 0.0)  # constant


def test_wrong_uses_are_refused_in_one_sentence():
    for measure in (sap, scc, interpretability):
        with pytest.raises(ValueError, match=r"factors of \w+ are all .*angles; expected"):
            measure(ON_CIRCLE, {"angle": Angles(angle)})
    with pytest.raises(ValueError, match="'boosting'; expected 'forest' for factors with angles"):
        dci(ON_CIRCLE, FACTORS, importance="boosting")
    with pytest.raises(ValueError, match=r"'size' is assigned the dimensions \[0, 1\]; expected"):
        alignment(ON_CIRCLE, FACTORS, {"size": (0, 1)})
    with pytest.raises(ValueError, match="assigned dimension 4"):
        leakage(ON_CIRCLE, FACTORS, {"angle": (1, 4)})
    with pytest.raises(ValueError, match="factor 'a' is no angle; expected finite"):
        mig(ON_CIRCLE, {"a": Angles(np.full(N, np.inf))})
    with pytest.raises(ValueError, match="period is 0; expected a number > 0"):
        Angles(angle, 0)


def test_a_requested_angle_is_compared_the_shorter_way_round():
    assert angular_difference(359.0, [1.0, -1.0, 179.0]).tolist() == [2.0, 0.0, 180.0]
    angles = np.array([0.0, 350.0])
    places = np.stack([np.cos(np.radians(angles)), np.sin(np.radians(angles))], axis=1)

    def measure(z_star):
        return np.degrees(np.arctan2(z_star[:, 2], z_star[:, 1])) + 5.0

    z_star, digits, rows = value_requests(np.zeros(1), places, 4, value_dimension=(1, 2))
    found = Request(digits, digits, angles[rows], measure(z_star), period=360.0)
    assert found.summary()["median_absolute_error"] == pytest.approx(5.0)

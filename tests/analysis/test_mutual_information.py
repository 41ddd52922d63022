"""Mutual information: closed forms, scikit-learn, and invariances."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import mutual_info_score
from sklearn.preprocessing import KBinsDiscretizer

from filvm.analysis.mutual_information import most_informative_dimensions, mutual_information

rng = np.random.default_rng(0)
finite = st.floats(-1e6, 1e6, width=32)


@pytest.mark.parametrize("estimator", ["quantile", "histogram", "knn"])
def test_gaussians_have_their_closed_form(estimator):
    rho = 0.8
    x = rng.standard_normal((20_000, 1))
    y = rho * x[:, 0] + np.sqrt(1 - rho**2) * rng.standard_normal(20_000)
    closed_form = -0.5 * np.log(1 - rho**2)  # 0.51 nats; bins lose a little
    assert mutual_information(x, {"y": y}, estimator=estimator)["y"][0] == pytest.approx(
        closed_form, abs=0.04
    )


def test_quantile_bins_agree_with_scikit_learn():
    codes, values = rng.standard_normal((3000, 2)), rng.gamma(2.0, size=3000)
    values += codes[:, 1] ** 2
    binned = KBinsDiscretizer(
        20, encode="ordinal", strategy="quantile", quantile_method="linear"
    ).fit_transform(np.column_stack([codes, values]))
    expected = [mutual_info_score(binned[:, 2], binned[:, i]) for i in (0, 1)]
    assert mutual_information(codes, {"v": values})["v"] == pytest.approx(expected, rel=0.02)


def test_histogram_bins_agree_with_numpy():
    codes, labels = rng.standard_normal((3000, 3)), rng.integers(0, 10, 3000)
    codes[:, 2] += labels
    expected = [
        mutual_info_score(labels, np.digitize(code, np.histogram(code, 20)[1][:-1]))
        for code in codes.T
    ]
    found = mutual_information(codes, {"digit": labels}, estimator="histogram")["digit"]
    assert found == pytest.approx(expected, abs=1e-12)


def test_a_code_of_few_values_is_not_merged_by_quantile_bins():
    rare = (np.arange(1000) < 10).astype(float)
    entropy = -0.01 * np.log(0.01) - 0.99 * np.log(0.99)
    found = mutual_information(rare[:, None], {"rare": rare.astype(int)})["rare"][0]
    assert found == pytest.approx(entropy)


@settings(max_examples=50, deadline=None)
@given(
    codes=arrays(np.float64, (30, 3), elements=finite),
    labels=arrays(np.int64, 30, elements=st.integers(-1, 3)),
    values=arrays(np.float64, 30, elements=st.one_of(finite, st.just(np.nan))),
    estimator=st.sampled_from(["quantile", "histogram"]),
)
def test_it_is_finite_never_negative_and_follows_dimensions_and_samples(
    codes, labels, values, estimator
):
    found = mutual_information(codes, {"label": labels, "value": values}, estimator=estimator)
    samples, dimensions = np.random.default_rng(1).permutation(30), np.array([2, 0, 1])
    shuffled = mutual_information(
        codes[samples][:, dimensions],
        {"label": labels[samples], "value": values[samples]},
        estimator=estimator,
    )
    for name, information in found.items():
        assert np.isfinite(information).all()
        assert (information >= 0).all()
        assert shuffled[name] == pytest.approx(information[dimensions], abs=1e-12)


@settings(max_examples=50, deadline=None)
@given(arrays(np.int64, 40, elements=st.integers(-1000, 1000)))
def test_increasing_maps_do_not_change_quantile_information(code):
    labels = np.arange(40) % 3
    plain = mutual_information(code[:, None].astype(float), {"v": labels})["v"]
    mapped = mutual_information(np.arctan(code / 100.0)[:, None], {"v": labels})["v"]
    assert mapped == pytest.approx(plain)


def test_a_missing_value_excludes_its_sample_for_its_factor_only():
    codes = rng.standard_normal((500, 2))
    labels, values = rng.integers(0, 4, 500), codes[:, 0] + rng.standard_normal(500)
    holes = np.arange(500) % 5 == 0
    with_holes = mutual_information(
        codes, {"label": np.where(holes, -1, labels), "value": np.where(holes, np.nan, values)}
    )
    without = mutual_information(codes[~holes], {"label": labels[~holes], "value": values[~holes]})
    for name in without:
        np.testing.assert_allclose(with_holes[name], without[name])
    one_missing = {"label": np.where(holes, -1, labels), "value": values}
    untouched = mutual_information(codes, {"value": values})["value"]
    np.testing.assert_allclose(mutual_information(codes, one_missing)["value"], untouched)


def test_factors_come_in_any_container():
    codes, labels = rng.standard_normal((60, 2)), np.arange(60) % 3
    holes = np.arange(60) % 5 == 0
    plain = {"label": np.where(holes, -1, labels), "value": np.where(holes, np.nan, codes[:, 0])}
    expected = mutual_information(codes, plain)
    strings = np.where(holes, None, np.array(["x", "y", "z"])[labels])
    masked = {
        name: np.ma.masked_array(v, holes)
        for name, v in zip(plain, (labels, codes[:, 0]), strict=True)
    }
    frame = pd.DataFrame({"label": strings, "value": plain["value"]}, index=holes.astype(int))
    for factors in (
        masked,
        {"label": strings.tolist(), "value": pd.Series(plain["value"], dtype="Float64")},
        {
            "label": pd.Series(np.where(holes, None, labels), dtype="Int64"),
            "value": masked["value"],
        },
        frame,
        frame.astype({"label": "string"}),
        frame.astype({"label": pd.CategoricalDtype(["unused", "z", "y", "x"])}),
    ):
        found = mutual_information(pd.DataFrame(codes), factors)
        for name in plain:
            np.testing.assert_allclose(found[name], expected[name])
    cut = mutual_information(codes, {"cut": pd.cut(codes[:, 0], 3), "on": pd.Series(labels > 0)})
    assert cut["cut"][0] > cut["cut"][1]


def test_every_factor_gets_a_different_dimension():
    a, b, noise = rng.standard_normal((3, 5000))
    codes = np.column_stack([noise, a + b, a - 0.5 * b])
    factors = {"a": a, "b": b}  # both are told best by dimension 1 or 2
    assert sorted(most_informative_dimensions(codes, factors).values()) == [1, 2]
    one = most_informative_dimensions(codes[:, 1:2], factors)
    assert one == {"a": 0, "b": 0}


@pytest.mark.parametrize(
    ("codes", "factors", "message"),
    [
        (np.full((5, 2), "a"), {"a": np.zeros(5)}, "codes are no array of numbers"),
        (np.zeros((5, 2)), np.zeros(5), "factors has type ndarray; expected a dictionary"),
        (np.zeros((5, 2)), {"a": [1, "b", 2, 3, 4]}, "'a' has numbers and strings .* at row 1"),
        (np.zeros((5, 2)), {"a": np.zeros((5, 1))}, r"such as values\[:, 0\]"),
        (np.zeros((5, 2)), {"a": pd.date_range("2020", periods=5)}, "convert times"),
        (np.zeros(5), {"a": np.zeros(5)}, r"codes have shape \[5\]"),
        (np.full((5, 2), np.nan), {"a": np.zeros(5)}, "infinity in row 0"),
        (np.zeros((5, 2)), {"a": np.zeros(4)}, r"factor 'a' has shape \[4\]; expected \[5\]"),
        (np.zeros((5, 2)), {"a": np.full(5, np.inf)}, "'a' is infinite"),
        (np.zeros((5, 2)), {}, "factors are empty"),
    ],
)
def test_bad_input_is_named(codes, factors, message):
    with pytest.raises((ValueError, TypeError), match=message):
        mutual_information(codes, factors)


def test_unknown_settings_are_named():
    codes, factors = np.zeros((5, 2)), {"a": np.zeros(5)}
    with pytest.raises(ValueError, match="'kde'; expected one of quantile, histogram, knn"):
        mutual_information(codes, factors, estimator="kde")
    with pytest.raises(ValueError, match="bins is 1"):
        mutual_information(codes, factors, bins=1)
    with pytest.raises(TypeError, match="dtype complex128"):
        mutual_information(codes, {"a": np.zeros(5, complex)})

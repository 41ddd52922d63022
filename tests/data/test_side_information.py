"""Side information: accepted and refused values, error messages, and scaling."""

import json
import keyword
import re
import warnings

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filvm.data.scaling import attribute_scaling, warn_of_correlations
from filvm.data.side_information import (
    RESERVED_KEYS,
    Categorical,
    Circular,
    Continuous,
    attributes_from_config,
    attributes_to_config,
    check_attributes,
    graph_key,
    stack_side_information,
)

DIGIT, THICKNESS = Categorical("digit", 10), Continuous("thickness")
COLOUR = Categorical("colour", ["red", "green", "blue"])
TIMES = pd.Series(pd.date_range("2020-01-01", periods=2))


@given(
    labels=st.lists(st.integers(-1, 9), min_size=1, max_size=20),
    dtype=st.sampled_from([np.int8, np.int64, np.float32, np.float64]),
)
def test_labels_of_any_number_type_are_accepted_and_minus_one_is_missing(labels, dtype):
    column = stack_side_information([DIGIT], {"digit": np.array(labels, dtype)}, len(labels))[:, 0]
    np.testing.assert_array_equal(np.isnan(column), np.array(labels) == -1)
    np.testing.assert_array_equal(column[~np.isnan(column)], [x for x in labels if x >= 0])


def test_columns_have_the_order_of_the_attributes():
    stacked = stack_side_information(
        [DIGIT, THICKNESS], {"thickness": [2.5, np.nan], "digit": [-1, 4]}, 2
    )
    np.testing.assert_array_equal(stacked, [[np.nan, 2.5], [4, np.nan]])
    assert stacked.dtype == np.float64


def test_an_attribute_left_out_is_missing_everywhere_unless_all_are_required():
    stacked = stack_side_information([DIGIT, THICKNESS], {"digit": [1]}, 1)
    np.testing.assert_array_equal(stacked, np.float32([[1, np.nan]]))
    with pytest.raises(ValueError, match=r"lacks \['thickness'\]"):
        stack_side_information([DIGIT, THICKNESS], {"digit": [1]}, 1, require_all=True)


@pytest.mark.parametrize(
    ("values", "error", "message"),
    [
        ({"digit": [0, 10]}, ValueError, "'digit' is 10 at row 1; expected a label from 0 to 9"),
        ({"digit": [0, -2]}, ValueError, "'digit' is -2 at row 1"),
        ({"digit": [0.5, 1]}, ValueError, "'digit' is 0.5 at row 0"),
        ({"digit": [1]}, ValueError, r"'digit' has shape \[1\]; expected \[2\]"),
        ({"digit": [[1], [2]]}, ValueError, r"'digit' has shape \[2, 1\]"),
        ({"digit": ["1", "2"]}, TypeError, "'digit' is '1' at row 0; expected a label from 0 to"),
        ({"digit": [None, "one"]}, TypeError, "'digit' is 'one' at row 1"),
        ({"digit": [1, "one"]}, TypeError, "'digit' has numbers and strings .* 'one' at row 1"),
        ({"digit": [1, [2]]}, ValueError, "'digit' is no array"),
        ({"digit": {1, 2}}, TypeError, "'digit' has type set"),
        ({"digit": np.array(1)}, ValueError, r"'digit' has shape \[\]; expected \[2\]"),
        ({"digit": np.eye(2)}, ValueError, r"expected \[2\], .*: pass labels for one-hot rows"),
        ({"digit": np.ones([2, 1])}, ValueError, r"its only column, such as values\[:, 0\]"),
        ({"digit": [1j, 2j]}, TypeError, "'digit' has dtype complex128; expected numbers"),
        ({"thickness": ["thin", "thick"]}, TypeError, "'thickness' is 'thin' at row 0"),
        ({"thickness": [2**5000, 1]}, ValueError, "'thickness' is too large .* at row 0"),
        ({"thickness": TIMES}, TypeError, "'thickness' has dtype datetime64.*convert times"),
        ({"thickness": list(TIMES)}, TypeError, "'thickness' is Timestamp.* at row 0; .*convert"),
        ({"thickness": [np.inf, 1]}, ValueError, "'thickness' is infinite at row 0"),
        ({"colour": [1, 2]}, ValueError, r"names \['colour'\]; expected some of \['digit', 'th"),
        ([1, 2], TypeError, "side information has type list; expected a dictionary"),
    ],
)
def test_invalid_side_information_is_refused_in_one_sentence(values, error, message):
    with pytest.raises(error, match=message):
        stack_side_information([DIGIT, THICKNESS], values, 2)


@pytest.mark.parametrize(
    "values",
    [
        ["blue", None, "red", "red"],
        ("blue", np.nan, "red", "red"),
        np.array(["blue", None, "red", "red"], object),
        np.ma.masked_array(["blue", "green", "red", "red"], [0, 1, 0, 0]),
        [b"blue", None, b"red", b"red"],
        pd.Series(["blue", pd.NA, "red", "red"], dtype="string", index=[0, 0, 5, 5]),
        pd.Series(["blue", None, "red", "red"], dtype="category"),
        pd.Categorical(["blue", None, "red", "red"], categories=["x", "red", "blue", "green"]),
        pd.Series(["blue", None, "red", "red"], dtype=object),
    ],
)
def test_labels_with_names_come_in_any_container_of_strings(values):
    np.testing.assert_array_equal(
        stack_side_information([COLOUR], {"colour": values}, 4)[:, 0], [2, np.nan, 0, 0]
    )


@pytest.mark.parametrize(
    "values",
    [
        [3, -1, 0],
        [3, None, 0],
        (3.0, np.nan, 0),
        np.ma.masked_array([3, 99, 0], [0, 1, 0]),
        np.array([3, None, 0], object),
        pd.Series([3, pd.NA, 0], dtype="Int64"),
        pd.Series([3, pd.NA, 0], dtype="Float64"),
        pd.Series([3, None, 0], dtype="category"),
        pd.Series([3, pd.NA, 0], dtype=object),
    ],
)
@pytest.mark.parametrize("attribute", [DIGIT, Categorical("digit", [0, 3]), THICKNESS])
def test_integers_and_numbers_come_in_any_container(values, attribute):
    found = stack_side_information([attribute], {attribute.name: values}, 3)[:, 0]
    expected = [3, np.nan, 0]
    if attribute == THICKNESS and isinstance(values, list) and values[1] == -1:
        expected[1] = -1
    elif attribute.width == 2:
        expected[0] = 1
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "values",
    [
        [True, False, None],
        pd.Series([True, False, pd.NA], dtype="boolean"),
        np.ma.masked_array([True, False, True], [0, 0, 1]),
        np.array([1.0, 0.0, np.nan]),
    ],
)
@pytest.mark.parametrize(
    "attribute", [Categorical("on", 2), Categorical("on", [False, True]), Continuous("on")]
)
def test_booleans_are_labels_or_numbers(values, attribute):
    found = stack_side_information([attribute], {"on": values}, 3)[:, 0]
    np.testing.assert_array_equal(found, [1, 0, np.nan])


def test_integer_labels_may_be_large_negative_or_unordered():
    year, sign = Categorical("year", [2001, 10**18 + 1, 1999]), Categorical("sign", [-1, 1])
    values = {"year": [10**18 + 1, 1999, -1], "sign": [-1, 1, None]}
    np.testing.assert_array_equal(
        stack_side_information([year, sign], values, 3), [[1, 0], [2, 1], [np.nan, np.nan]]
    )
    with pytest.raises(ValueError, match=r"'year' is 2000 at row 0; expected one of \[2001, "):
        stack_side_information([year], {"year": [2000]}, 1)


def test_a_frame_is_side_information():
    frame = pd.DataFrame({"thickness": [2.5, None], "colour": ["red", None]}, index=[7, 7])
    stacked = stack_side_information([COLOUR, THICKNESS], frame, 2)
    np.testing.assert_array_equal(stacked, [[0, 2.5], [np.nan, np.nan]])
    record = np.array([(1, 2.5)], [("digit", int), ("thickness", float)])
    assert stack_side_information([DIGIT, THICKNESS], record, 1).tolist() == [[1, 2.5]]
    with pytest.raises(ValueError, match=r"names \['size'\].*select the columns, frame\["):
        stack_side_information([COLOUR], frame.assign(size=1)[["colour", "size"]], 2)
    with pytest.raises(ValueError, match="has 2 columns 'colour'"):
        stack_side_information([COLOUR], frame[["colour", "colour"]], 2)
    with pytest.raises(ValueError, match=r"'colour' has shape \[0\]; expected \[2\]"):
        stack_side_information([COLOUR], frame[:0][["colour"]], 2)
    with pytest.raises(
        TypeError, match="has type Series; expected a dictionary of arrays, or a Data"
    ):
        stack_side_information([COLOUR], frame["colour"], 2)


def test_a_wrong_label_is_named():
    with pytest.raises(ValueError, match=r"'colour' is 'pink' at row 1; expected one of \['red',"):
        stack_side_information([COLOUR], {"colour": ["red", "pink"]}, 2)
    with pytest.raises(TypeError, match=r"'colour' is 2 at row 0; expected one of \['red',"):
        stack_side_information([COLOUR], {"colour": [2, 1]}, 2)


@pytest.mark.parametrize(
    ("attributes", "error", "message"),
    [
        (DIGIT, TypeError, "expected a list of attributes: put a single one in brackets"),
        ([], ValueError, "side_information is empty"),
        ([DIGIT, Continuous("digit")], ValueError, "expected different names"),
        ([DIGIT, THICKNESS, Continuous("slant")], ValueError, "3 attributes; expected at most 2"),
        (["digit"], TypeError, "side_information holds 'digit'; expected Categorical"),
    ],
)
def test_invalid_attributes_are_refused(attributes, error, message):
    with pytest.raises(error, match=message):
        check_attributes(attributes, latent_dim=2)


KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
NAMES = ["class", "lambda", "mean", "w", "hidden_1", "_x", "n", "self", "Größe", "stroke width"]
NAMES += [
    "stroke_width",
    "a/b",
    "2nd",
    "z",
    "z_star",
    "loss",
    "日本語",
    "😀",
    "A",
    "a",
    "mean_",
    "x" * 300,
]


def test_every_name_has_a_key_of_its_own_that_is_an_ascii_identifier():
    keys = [graph_key(name) for name in NAMES]
    assert len(set(keys)) == len(NAMES)
    assert all(KEY.fullmatch(key) and not keyword.iskeyword(key) for key in keys)
    assert not RESERVED_KEYS & set(keys)


@given(names=st.sets(st.text(min_size=1, max_size=5).filter(str.strip), min_size=2, max_size=2))
def test_a_key_is_an_identifier_for_any_name(names):
    keys = {Continuous(name).key for name in names}
    assert all(KEY.fullmatch(key) for key in keys)
    assert len(keys) == 2


@pytest.mark.parametrize("name", ["", "  "])
def test_a_name_is_not_empty(name):
    with pytest.raises(ValueError, match="an attribute's name is"):
        Continuous(name)


@pytest.mark.parametrize(
    "classes",
    [1, 2.0, True, None, "ab", ["a"], ["a", "a"], ["a", 1], [0.5, 1.5], ["a", None], {"a", "b"}],
)
def test_a_categorical_attribute_needs_two_classes(classes):
    with pytest.raises((ValueError, TypeError), match="classes of 'digit'"):
        Categorical("digit", classes)


def test_attributes_are_the_same_after_conversion_to_a_configuration():
    attributes = (
        DIGIT,
        THICKNESS,
        Categorical("colour", ["red", "green"]),
        Categorical("year", [1999, 2001]),
        Categorical("bold", [False, True]),
        Continuous("price", scaling="robust"),
    )
    config = json.loads(json.dumps(attributes_to_config(attributes)))
    assert attributes_from_config(config) == attributes


def test_scaling_uses_known_values_of_continuous_attributes_only():
    rng = np.random.default_rng(0)
    thickness = rng.normal(3.0, 0.7, 500)
    thickness[::3] = np.nan
    stacked = stack_side_information(
        [DIGIT, THICKNESS], {"digit": rng.integers(-1, 10, 500), "thickness": thickness}, 500
    )
    mean, scale = attribute_scaling([DIGIT, THICKNESS], stacked)
    np.testing.assert_allclose(mean, [0, np.nanmean(thickness)], rtol=1e-6)
    np.testing.assert_allclose(scale, [1, np.nanstd(thickness)], rtol=1e-6)


def test_an_attribute_that_never_varies_has_scale_one():
    stacked = np.full([100, 1], 0.1)
    assert attribute_scaling([THICKNESS], stacked)[1] == 1.0


def test_an_attribute_that_is_always_missing_is_refused():
    with pytest.raises(ValueError, match="every value of 'thickness' is missing"):
        attribute_scaling([THICKNESS], np.full([3, 1], np.nan, np.float32))


def test_numbers_far_from_zero_keep_their_digits():
    times = 1.7e9 + 0.01 * np.arange(300)
    stacked = stack_side_information([Continuous("time")], {"time": times}, 300)
    mean, scale = attribute_scaling([Continuous("time")], stacked)
    scaled = ((stacked - mean) / scale).astype(np.float32)[:, 0]
    np.testing.assert_allclose(scaled, (np.arange(300) - 149.5) / np.arange(300).std(), atol=1e-4)


@pytest.mark.parametrize("usual", [np.linspace(1, 5, 100), np.zeros(100)])
def test_an_outlier_is_named_and_can_be_scaled_robustly(usual):
    values = np.concatenate([usual + np.arange(100) % 2, [1e6]])[:, None]
    with pytest.warns(UserWarning, match=r"'thickness' has the outlier 1e\+06: .*robust"):
        attribute_scaling([THICKNESS], values)
    mean, scale = attribute_scaling([Continuous("t", scaling="robust")], values)
    assert abs(mean - np.median(values)) < 1e-9
    assert 0 < scale < 3


def test_correlated_attributes_are_named_once_with_their_correlation():
    rng = np.random.default_rng(0)
    values = rng.normal(size=(200, 3))
    values[:, 1] = np.exp(values[:, 0]) + 0.01 * values[:, 1]
    values[::7, 0] = np.nan
    attributes = [Continuous(name) for name in "abc"]
    with pytest.warns(UserWarning, match=r"'a' and 'b' \(r = (0.99|1.00)\)") as caught:
        warn_of_correlations(attributes, values)
    assert len(caught) == 1
    assert "'c'" not in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_of_correlations(attributes[1:], values[:, 1:])


@pytest.mark.parametrize(
    ("attributes", "n", "expected"),
    [
        ((Categorical("kind", ["a", "b", "c"]), Continuous("size")), 200, r"\(r = 0\.[89]"),
        ((Categorical("kind", 4), Categorical("colour", 4)), 200, r"\(r = 1\.00\)"),
        ((Categorical("kind", 4), Circular("hour", 4)), 200, r"\(r = 0\.[89]"),
        ((Categorical("kind", 4), Categorical("colour", 4)), 40, None),  # too few
    ],
)
def test_correlations_of_labels_are_those_of_their_classes(attributes, n, expected):
    rng = np.random.default_rng(0)
    shared = rng.uniform(0, 3, n)
    values = np.stack([np.floor(shared), np.floor(shared)], axis=1)
    if not isinstance(attributes[1], Categorical):
        values[:, 1] = shared
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        warn_of_correlations(attributes, values)
        warn_of_correlations(
            attributes, np.stack([values[:, 0], rng.permutation(values[:, 1])], axis=1)
        )
    messages = [str(warning.message) for warning in caught]
    assert len(messages) == (expected is not None)
    assert expected is None or re.search(expected, messages[0])


@pytest.mark.parametrize("values", [np.linspace(0, 1e-300, 9), 1.7e18 + 1e3 * np.arange(9)])
def test_numbers_without_digits_are_taken_as_constant_with_a_warning(values):
    with pytest.warns(UserWarning, match="'thickness' is taken as constant: .* smaller unit"):
        assert attribute_scaling([THICKNESS], values[:, None])[1] == 1

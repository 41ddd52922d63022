"""Oracles learn to predict digits and rotations from sharp and from blurred images."""

import numpy as np
import pytest
import tf_keras as keras
from scipy import ndimage

from filvm.analysis.oracles import (
    build_digit_oracle,
    build_rotation_oracle,
    compile_oracle,
    digit_report,
    predict_digit,
    predict_rotation,
    rotation_report,
    training_images,
)
from filvm.data import rotate_images, to_float
from filvm.data.mnist import load_sample


@pytest.fixture(scope="module")
def digits():
    return load_sample()


def train(oracle, pixels, targets, epochs):
    import tensorflow as tf

    compile_oracle(oracle, keras.optimizers.Adam(2e-3))
    batches = tf.data.Dataset.from_tensor_slices((pixels, targets)).shuffle(10**5, seed=0)
    batches = batches.batch(64).map(lambda images, targets: (training_images(images), targets))
    oracle.fit(batches, epochs=epochs, verbose=0)


@pytest.fixture(scope="module")
def digit_oracle(digits):
    keras.utils.set_random_seed(0)
    oracle = build_digit_oracle()
    train(oracle, digits.train_images, {"digit": digits.train_labels}, epochs=4)
    return oracle


@pytest.fixture(scope="module")
def rotated(digits):
    angles = np.random.default_rng(0).uniform(-90, 90, 10000).astype(np.float32)
    source = np.arange(10000) % 5000
    images = np.concatenate([digits.train_images, digits.test_images])[source]
    labels = np.concatenate([digits.train_labels, digits.test_labels])[source]
    is_test = source >= 4000
    return rotate_images(images, angles), labels, angles, is_test


@pytest.fixture(scope="module")
def rotation_oracle(rotated):
    images, labels, angles, is_test = rotated
    keras.utils.set_random_seed(0)
    oracle = build_rotation_oracle()
    targets = {"digit": labels[~is_test], "rotation": angles[~is_test]}
    train(oracle, images[~is_test], targets, epochs=4)
    return oracle


def test_the_digit_oracle_recognises_test_digits(digits, digit_oracle):
    accuracy = np.mean(predict_digit(digit_oracle, digits.test_images) == digits.test_labels)
    assert accuracy >= 0.94  # from 4,000 digits; 60,000 give 0.985 and more


def test_it_recognises_blurred_digits_nearly_as_well(digits, digit_oracle):
    blurred = ndimage.gaussian_filter(to_float(digits.test_images), [0, 1, 1, 0])
    accuracy = np.mean(predict_digit(digit_oracle, blurred) == digits.test_labels)
    assert accuracy >= 0.93


def test_the_rotation_oracle_predicts_digit_and_rotation_of_test_digits(rotated, rotation_oracle):
    images, labels, angles, is_test = rotated
    report = rotation_report(rotation_oracle, images[is_test], angles[is_test], labels[is_test])
    assert report["median_error"] < 15
    read = predict_rotation(rotation_oracle, images[is_test])
    assert np.corrcoef(read, angles[is_test])[0, 1] > 0.85
    digits = digit_report(rotation_oracle, images[is_test], labels[is_test])
    assert digits["accuracy"] > 0.8
    assert digits["accuracy_but_6_and_9"] >= digits["accuracy"] - 0.02


def test_the_reports_agree_with_the_predictions(rotated, rotation_oracle):
    images, labels, angles, _ = (array[:500] for array in rotated)
    errors = np.abs(predict_rotation(rotation_oracle, images) - angles)
    report = rotation_report(rotation_oracle, images, angles, labels)
    assert report["median_error"] == pytest.approx(np.median(errors))
    assert report["mean_error"] == pytest.approx(errors.mean())
    threes = np.median(errors[labels == 3])
    assert report["median_error_per_digit"][3] == pytest.approx(threes)

    right = predict_digit(rotation_oracle, images) == labels
    digits = digit_report(rotation_oracle, images, labels)
    assert digits["accuracy"] == pytest.approx(right.mean())
    assert np.sum(digits["confusions"]) == 500
    assert np.trace(digits["confusions"]) == right.sum()
    assert digits["accuracy_per_digit"][7] == pytest.approx(right[labels == 7].mean())


def test_pixels_and_floats_give_equal_predictions_for_any_number_of_images(digits, digit_oracle):
    pixels = digits.test_images
    read = predict_digit(digit_oracle, pixels)
    np.testing.assert_array_equal(predict_digit(digit_oracle, to_float(pixels)), read)
    np.testing.assert_array_equal(predict_digit(digit_oracle, pixels[:7]), read[:7])
    assert predict_digit(digit_oracle, pixels[:0]).shape == (0,)


def test_a_saved_oracle_predicts_the_same(digits, rotation_oracle, tmp_path):
    rotation_oracle.save(str(tmp_path / "oracle"), include_optimizer=False)
    loaded = keras.models.load_model(str(tmp_path / "oracle"), compile=False)
    images = digits.test_images[:50]
    np.testing.assert_allclose(
        predict_rotation(loaded, images), predict_rotation(rotation_oracle, images), atol=1e-3
    )
    np.testing.assert_array_equal(
        predict_digit(loaded, images), predict_digit(rotation_oracle, images)
    )


def test_training_images_are_blurred_from_0_to_fully(digits):
    pixels = np.repeat(digits.test_images[:1], 11, axis=0)
    shown = training_images(pixels).numpy()
    sharp = to_float(pixels[:1])[0, ..., 0]
    blurred = ndimage.gaussian_filter(sharp, 1, truncate=3, mode="constant")
    np.testing.assert_allclose(shown[0, ..., 0], sharp, atol=1e-6)
    np.testing.assert_allclose(shown[-1, ..., 0], blurred, atol=1e-5)
    np.testing.assert_allclose(shown[5, ..., 0], (sharp + blurred) / 2, atol=1e-5)


@pytest.mark.parametrize(
    "images",
    [np.zeros([2, 28, 28]), np.zeros([2, 28, 28, 1], np.uint8), np.zeros([2, 32, 32, 1]), "images"],
)
def test_arrays_that_are_no_batch_of_images_are_refused(images):
    with pytest.raises(ValueError, match=r"expected uint8 \[n, 28, 28\]"):
        predict_digit(build_digit_oracle(), images)


def test_the_digit_oracle_predicts_no_rotation():
    with pytest.raises(ValueError, match="build_rotation_oracle"):
        predict_rotation(build_digit_oracle(), np.zeros([1, 28, 28, 1]))

"""Oracles: networks that measure the digit and the rotation of an image, without latents.

    digit_oracle:     image -> digit
    rotation_oracle:  image -> digit, rotation in degrees

They measure the images that a lens generates, and are trained on real images, separately from every
other model. A VAE generates smoother images than people write, and an oracle trained on sharp
images alone would react to the blur. Therefore an image x is trained on as

    x + amount * (gaussian(x) - x),    amount in [0, 1], a Gaussian of sigma 1 pixel

with amounts in equal steps from 0 to 1 in each (shuffled) batch. Generated images are not used.
Test errors are measured on real, unblurred images.

The rotation is relative to the digit as it was written. It cannot be predicted exactly: people
write at a slant, a 0 is nearly symmetric, and a 6 is a 9 rotated by half a turn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from filvm.data import to_float
from filvm.vae.base import in_batches

IMAGE_SHAPE = (28, 28, 1)
MAX_ANGLE = 90.0
BLUR_SIGMA = 1.0  # pixels
PREDICT_BATCH = 1000


def build_digit_oracle(num_classes: int = 10, *, name: str = "digit_oracle") -> keras.Model:
    """Return an untrained network: images [n, 28, 28, 1] in [0, 1] -> {"digit": logits [n, 10]}."""
    images, features = _convolutions(24, 48)
    return keras.Model(images, {"digit": _digit_head(features, 128, num_classes)}, name=name)


def build_rotation_oracle(num_classes: int = 10, *, name: str = "rotation_oracle") -> keras.Model:
    """Return an untrained network with two heads on shared convolutions.

    images [n, 28, 28, 1] in [0, 1] -> {"digit": logits [n, 10], "rotation": degrees [n, 1]},
    counter-clockwise positive. Trained for the same time, one network with both heads is better at
    either task than two networks.
    """
    images, features = _convolutions(16, 32)
    turns = keras.layers.Dense(192, activation="relu")(features)
    turns = keras.layers.Dense(64, activation="relu")(turns)
    turns = keras.layers.Dense(1)(turns)
    outputs = {
        "digit": _digit_head(features, 192, num_classes),
        "rotation": keras.layers.Rescaling(MAX_ANGLE, name="rotation")(turns),
    }
    return keras.Model(images, outputs, name=name)


def _convolutions(first: int, second: int) -> tuple[Any, Any]:
    images = keras.Input(IMAGE_SHAPE, name="images")
    x = keras.layers.Conv2D(first, 5, 2, padding="same", activation="relu")(images)
    x = keras.layers.Conv2D(second, 3, 2, padding="same", activation="relu")(x)
    return images, keras.layers.Flatten()(x)


def _digit_head(features: Any, units: int, num_classes: int) -> Any:
    x = keras.layers.Dense(units, activation="relu")(features)
    return keras.layers.Dense(num_classes, name="digit")(x)


def compile_oracle(oracle: keras.Model, optimizer: Any = "adam") -> None:
    """Compile an oracle: cross-entropy of the digit, absolute error of the rotation.

    The absolute error, in units of 90 degrees, is minimal at the median, so the few digits without
    a clear rotation have little influence.
    """
    losses = {"digit": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}
    metrics = {"digit": "accuracy"}
    weights = {"digit": 1.0}
    if "rotation" in oracle.output:
        losses["rotation"] = keras.losses.MeanAbsoluteError()
        weights["rotation"] = 1.0 / MAX_ANGLE
    oracle.compile(optimizer, loss=losses, loss_weights=weights, metrics=metrics)


def training_images(pixels: tf.Tensor) -> tf.Tensor:
    """Convert a training batch to floats, blurred in equal steps from 0 to fully.

    Uses no random numbers, so that a resumed training gets the same images as an uninterrupted one.

    Args:
        pixels: uint8 [n, 28, 28], in random order.

    Returns:
        float32 [n, 28, 28, 1]; the first image is not blurred, the last one fully.
    """
    images = tf.cast(pixels[..., tf.newaxis], tf.float32) / 255.0
    offsets = np.arange(-3, 4)
    kernel = np.exp(-0.5 * np.square(offsets / BLUR_SIGMA))
    kernel = np.outer(kernel, kernel) / np.square(kernel.sum())
    blurred = tf.nn.conv2d(images, tf.constant(kernel[..., None, None], tf.float32), 1, "SAME")
    amount = tf.linspace(0.0, 1.0, tf.shape(images)[0])[:, tf.newaxis, tf.newaxis, tf.newaxis]
    return images + amount * (blurred - images)


def predict_digit(oracle: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the predicted digits, int64 [n].

    Args:
        oracle: a digit oracle or a rotation oracle.
        images: float [n, 28, 28, 1] in [0, 1], or uint8 [n, 28, 28], which may be a memory map.
    """
    return _predict(oracle, images, "digit").argmax(axis=1)


def digit_features(oracle: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the inputs of the oracle's last layer for digits, [n, features].

    Args:
        oracle: a digit oracle or a rotation oracle.
        images: as for `predict_digit`.
    """
    features = keras.Model(oracle.input, {"features": oracle.get_layer("digit").input})
    return _predict(features, images, "features")


def predict_rotation(oracle: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the predicted rotations in degrees, counter-clockwise positive, float64 [n].

    Args:
        oracle: a rotation oracle.
        images: as for `predict_digit`.
    """
    if "rotation" not in oracle.output:
        raise ValueError(
            f"{oracle.name} has no output for rotations; expected a model of "
            "build_rotation_oracle()"
        )
    return _predict(oracle, images, "rotation")[:, 0].astype(np.float64)


def digit_report(oracle: keras.Model, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Return an oracle's accuracy on real digits, in all and for each digit, and its confusions.

    `confusions` [10][10] counts (label, prediction). `accuracy_but_6_and_9` excludes these digits,
    because a rotated 6 can be the same image as a 9.
    """
    labels = np.asarray(labels)
    predicted = predict_digit(oracle, images)
    correct = predicted == labels
    counts = np.zeros([10, 10], int)
    np.add.at(counts, (labels, predicted), 1)
    ambiguous = np.isin(labels, [6, 9])
    return {
        "accuracy": float(correct.mean()),
        "accuracy_per_digit": (np.diag(counts) / np.maximum(counts.sum(axis=1), 1)).tolist(),
        "accuracy_but_6_and_9": float(correct[~ambiguous].mean()),
        "confusions": counts.tolist(),
    }


def rotation_report(
    oracle: keras.Model, images: np.ndarray, angles: np.ndarray, labels: np.ndarray
) -> dict[str, Any]:
    """Return a rotation oracle's absolute errors on real digits, in degrees."""
    errors = np.abs(predict_rotation(oracle, images) - np.asarray(angles, np.float64))
    return {
        "median_error": float(np.median(errors)),
        "mean_error": float(errors.mean()),
        "error_90th_percentile": float(np.percentile(errors, 90)),
        "median_error_per_digit": [
            float(np.median(errors[labels == digit])) for digit in range(10)
        ],
    }


def _predict(oracle: keras.Model, images: np.ndarray, output: str) -> np.ndarray:
    shape, kind = tuple(np.shape(images)), np.dtype(getattr(images, "dtype", type(None)))
    is_pixels = kind == np.uint8 and shape[1:] == IMAGE_SHAPE[:2]
    is_floats = np.issubdtype(kind, np.floating) and shape[1:] == IMAGE_SHAPE
    if not (is_pixels or is_floats):
        raise ValueError(
            f"images are {kind} of shape {shape}; expected uint8 [n, 28, 28], or floats "
            "[n, 28, 28, 1] in [0, 1]"
        )
    if not shape[0]:  # TensorFlow's convolutions refuse empty batches
        return np.zeros([0, *oracle.output[output].shape[1:]], np.float32)
    prepare = to_float if is_pixels else np.float32
    return in_batches(oracle, images, prepare=prepare, batch_size=PREDICT_BATCH)[output]

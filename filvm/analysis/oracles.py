"""Oracles: what a person would read off an image, read by networks that never saw a latent.

    digit_oracle:     image -> digit
    rotation_oracle:  image -> digit, rotation in degrees

They judge what a lens generates, so they are trained on images alone, apart from every other
model. What a VAE generates is smoother than what people write; an oracle trained on sharp images
alone would judge the blur rather than the digit. So in training an image x is shown as

    x + amount * (gaussian(x) - x),    amount in [0, 1], a Gaussian of sigma 1 pixel

from not blurred at all to fully, in equal steps over each (shuffled) batch. Nothing about the
generated images themselves is used. Test errors are those on real, unblurred images.

A digit's rotation is that of its image from how it was written. People write at a slant, so it
cannot be read exactly; 0 is nearly symmetric, and 6 and 9 are one shape half a turn apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from filvm.data import to_float

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
    counter-clockwise positive. The two share their convolutions: in the same training time, one
    network with both heads became better at either task than a network for each.
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
    """Make an oracle ready for `fit`: cross-entropy of the digit, absolute error of the rotation.

    The absolute error, in units of 90 degrees, is what the median minimises: the few digits that
    cannot be read do not pull the rest.
    """
    losses = {"digit": keras.losses.SparseCategoricalCrossentropy(from_logits=True)}
    metrics = {"digit": "accuracy"}
    weights = {"digit": 1.0}
    if "rotation" in oracle.output:
        losses["rotation"] = keras.losses.MeanAbsoluteError()
        weights["rotation"] = 1.0 / MAX_ANGLE
    oracle.compile(optimizer, loss=losses, loss_weights=weights, metrics=metrics)


def training_images(pixels: tf.Tensor) -> tf.Tensor:
    """Return a batch as an oracle sees it in training: floats, blurred from not at all to fully.

    pixels: uint8 [n, 28, 28], in random order. Returns float32 [n, 28, 28, 1]; the first is as it
    was, the last fully blurred. Without random numbers, so that a continued training sees what an
    uninterrupted one would.
    """
    images = tf.cast(pixels[..., tf.newaxis], tf.float32) / 255.0
    offsets = np.arange(-3, 4)
    kernel = np.exp(-0.5 * np.square(offsets / BLUR_SIGMA))
    kernel = np.outer(kernel, kernel) / np.square(kernel.sum())
    blurred = tf.nn.conv2d(images, tf.constant(kernel[..., None, None], tf.float32), 1, "SAME")
    amount = tf.linspace(0.0, 1.0, tf.shape(images)[0])[:, tf.newaxis, tf.newaxis, tf.newaxis]
    return images + amount * (blurred - images)


def predict_digit(oracle: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the digits an oracle reads, int64 [n].

    images: float [n, 28, 28, 1] in [0, 1], or uint8 [n, 28, 28], maybe a memory map.
    """
    return _predict(oracle, images, "digit").argmax(axis=1)


def predict_rotation(oracle: keras.Model, images: np.ndarray) -> np.ndarray:
    """Return the rotations a rotation oracle reads, float64 [n], degrees, counter-clockwise.

    images: as for `predict_digit`.
    """
    if "rotation" not in oracle.output:
        raise ValueError(
            f"{oracle.name} does not read rotations: use one from build_rotation_oracle()"
        )
    return _predict(oracle, images, "rotation")[:, 0].astype(np.float64)


def digit_report(oracle: keras.Model, images: np.ndarray, labels: np.ndarray) -> dict[str, Any]:
    """Return an oracle's accuracy on real digits, in all and for each digit, and its confusions.

    `confusions` [10][10] counts (written, read). `accuracy_but_6_and_9` is that on the other
    digits: rotated, a 6 and a 9 can be the same image.
    """
    labels = np.asarray(labels)
    read = predict_digit(oracle, images)
    right = read == labels
    counts = np.zeros([10, 10], int)
    np.add.at(counts, (labels, read), 1)
    ambiguous = np.isin(labels, [6, 9])
    return {
        "accuracy": float(right.mean()),
        "accuracy_per_digit": (np.diag(counts) / np.maximum(counts.sum(axis=1), 1)).tolist(),
        "accuracy_but_6_and_9": float(right[~ambiguous].mean()),
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
    parts = [oracle.predict_on_batch(batch)[output] for batch in _batches(images)]
    return np.concatenate(parts) if parts else np.zeros([0, *oracle.output[output].shape[1:]])


def _batches(images: np.ndarray) -> Iterator[np.ndarray]:
    """Yield float batches; a memory map is never held as floats in full."""
    shape, kind = tuple(np.shape(images)), np.dtype(getattr(images, "dtype", type(None)))
    is_pixels = kind == np.uint8 and shape[1:] == IMAGE_SHAPE[:2]
    is_floats = np.issubdtype(kind, np.floating) and shape[1:] == IMAGE_SHAPE
    if not (is_pixels or is_floats):
        raise ValueError(
            f"images are {kind} of shape {shape}; expected uint8 [n, 28, 28], or floats "
            "[n, 28, 28, 1] in [0, 1]"
        )
    for start in range(0, shape[0], PREDICT_BATCH):
        batch = np.asarray(images[start : start + PREDICT_BATCH])
        yield to_float(batch) if is_pixels else batch.astype(np.float32)

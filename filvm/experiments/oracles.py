"""Oracles: networks that judge generated digits, trained on images alone."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from filvm.analysis.oracles import (
    build_digit_oracle,
    build_rotation_oracle,
    compile_oracle,
    digit_report,
    rotation_report,
    training_images,
)
from filvm.experiments.measures import Metrics
from filvm.experiments.settings import OracleSettings
from filvm.experiments.vaes import copies_of, digit_images, distortion
from filvm.runs.batches import distorted
from filvm.runs.run import Run
from filvm.runs.training import cosine_adam, fit_samples


def train(task_name: str, settings: OracleSettings, run: Run) -> None:
    """Train an oracle, and save it."""
    digits = digit_images(task_name, run)
    rotated = task_name == "mnist-r"
    targets = {"digit": digits.train_labels}
    if rotated:
        targets["rotation"] = digits.train_angles
    rows, held_out = digits.training_split(settings.validation, settings.train_limit)

    def samples(part: slice) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        return digits.train_images[part], {name: v[part] for name, v in targets.items()}

    keras.utils.set_random_seed(settings.seed)
    oracle = build_rotation_oracle() if rotated else build_digit_oracle()
    compile_oracle(oracle, cosine_adam(settings.learning_rate, settings.steps))

    # Turning a digit would change the rotation that the oracle learns to read.
    few = distortion((rows.stop - rows.start) // copies_of(digits))
    turn = 0.0 if rotated else 12.0

    def distort(batch: Any, seed: tf.Tensor) -> Any:
        images, values = batch
        return distorted(images, seed, turn=turn, **few), values

    # Sharp and blurred real digits, half and half: an oracle has to read generated ones.
    validation = tf.data.Dataset.from_tensor_slices(samples(held_out)).batch(1000)
    validation = validation.map(lambda pixels, values: (training_images(pixels), values))
    fit_samples(
        oracle,
        samples(rows),
        settings,
        run=run,
        validation=validation,
        transform=lambda batch: (training_images(batch[0]), batch[1]),
        distort=distort if few else None,
    )
    run.save_model(oracle)


def measure(task_name: str, settings: OracleSettings, run: Run) -> Metrics:
    """Errors of the saved oracle on test digits."""
    digits, oracle = digit_images(task_name, run), run.saved_model()
    part = slice(0, settings.test_limit or None)
    images, labels = digits.test_images[part], digits.test_labels[part]
    test = digit_report(oracle, images, labels)
    if task_name == "mnist-r":
        test |= rotation_report(oracle, images, digits.test_angles[part], labels)
    return Metrics(test, run.training_seconds())

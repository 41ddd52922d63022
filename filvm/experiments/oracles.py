"""oracles-mnist, oracles-mnist-r: what judges generated images, trained apart from all else."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from filvm.data import training_split
from filvm.experiments.vae_mnist_r import rotated_digits
from filvm.runs.run import Experiment, Run

if TYPE_CHECKING:
    import tf_keras as keras


@dataclass(frozen=True)
class Settings:
    epochs: int = 8
    batch_size: int = 128
    learning_rate: float = 2e-3  # falls along a cosine to a hundredth
    validation: int = 10_000  # of the training digits, the last ones: they choose the weights
    train_limit: int = 0  # train on the first so many digits; 0: on all the others
    test_limit: int = 0  # judge on the first so many test images; 0: on all
    seed: int = 0


@dataclass(frozen=True)
class RotatedSettings(Settings):
    epochs: int = 3  # of 8 rotations each
    batch_size: int = 256
    learning_rate: float = 4e-3
    validation: int = 1_000  # of the training digits, the last ones, with all their rotations


PROFILES = {
    "full": Settings(),
    "quick": Settings(epochs=2, train_limit=30_000, validation=2_000),
    "smoke": Settings(epochs=2, train_limit=512, validation=128, test_limit=500),
}
ROTATED_PROFILES = {
    "full": RotatedSettings(),
    "quick": RotatedSettings(epochs=2, train_limit=8_000, test_limit=5_000),
    "smoke": RotatedSettings(epochs=2, train_limit=128, validation=32, test_limit=400),
}


def train_digits(settings: Settings, run: Run) -> dict[str, Any]:
    """Train the digit oracle on MNIST, save it, and give its test errors."""
    from filvm.analysis.oracles import build_digit_oracle, digit_report

    digits = run.mnist()
    chosen, held_out = training_split(
        len(digits.train_images), settings.validation, settings.train_limit
    )
    targets = {"digit": digits.train_labels}
    oracle, seconds = _train(
        settings, run, build_digit_oracle, digits.train_images, targets, chosen, held_out
    )
    tested = slice(0, settings.test_limit or None)
    return {
        "test": digit_report(oracle, digits.test_images[tested], digits.test_labels[tested]),
        "training_seconds": seconds,
    }


def train_rotated(settings: RotatedSettings, run: Run) -> dict[str, Any]:
    """Train the oracle for rotated digits on MNIST-R, save it, and give its test errors."""
    from filvm.analysis.oracles import build_rotation_oracle, digit_report, rotation_report

    rotated = rotated_digits(run)
    chosen, held_out = rotated.training_split(settings.validation, settings.train_limit)
    targets = {"digit": rotated.train_labels, "rotation": rotated.train_angles}
    oracle, seconds = _train(
        settings, run, build_rotation_oracle, rotated.train_images, targets, chosen, held_out
    )
    tested = slice(0, settings.test_limit or None)
    images, labels = rotated.test_images[tested], rotated.test_labels[tested]
    return {
        "test": {
            **digit_report(oracle, images, labels),
            **rotation_report(oracle, images, rotated.test_angles[tested], labels),
        },
        "training_seconds": seconds,
    }


def _train(
    settings: Settings,
    run: Run,
    build: Callable[[], keras.Model],
    images: np.ndarray,
    targets: dict[str, np.ndarray],
    chosen: slice,
    held_out: slice,
) -> tuple[keras.Model, float]:
    """Train a new oracle on the chosen rows and save it; also return how many seconds it took."""
    import tensorflow as tf
    import tf_keras as keras

    from filvm.analysis.oracles import compile_oracle, training_images
    from filvm.runs.training import cosine_adam, fit, shuffled_batches, steps_per_epoch

    def samples(rows: slice) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        return images[rows], {name: values[rows] for name, values in targets.items()}

    steps = steps_per_epoch(chosen.stop - chosen.start, settings.batch_size)
    keras.utils.set_random_seed(settings.seed)
    oracle = build()
    compile_oracle(oracle, cosine_adam(settings.learning_rate, settings.epochs * steps))

    def batches(first_epoch: int) -> tf.data.Dataset:
        return shuffled_batches(
            samples(chosen),
            settings.batch_size,
            seed=settings.seed,
            first_epoch=first_epoch,
            epochs=settings.epochs,
            transform=lambda batch: (training_images(batch[0]), batch[1]),
        )

    # Real digits as they are and blurred, half and half: what the oracle is for.
    validation = tf.data.Dataset.from_tensor_slices(samples(held_out)).batch(1000)
    validation = validation.map(lambda pixels, values: (training_images(pixels), values))
    history = fit(
        oracle,
        batches,
        run=run,
        epochs=settings.epochs,
        steps=steps,
        validation=validation,
    )
    run.save_model(oracle)
    return oracle, round(sum(row["seconds"] for row in history), 1)


EXPERIMENTS = (
    Experiment(
        "oracles-mnist",
        "digit classifier that judges generated digits",
        PROFILES,
        train_digits,
        data=("mnist",),
    ),
    Experiment(
        "oracles-mnist-r",
        "digit classifier and rotation regressor that judge generated rotated digits",
        ROTATED_PROFILES,
        train_rotated,
        data=("mnist-r",),
    ),
)

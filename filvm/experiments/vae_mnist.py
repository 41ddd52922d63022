"""vae-mnist: the convolutional VAE on MNIST (section 5.1.1, Figure 3)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from filvm.data import to_float
from filvm.experiments.runs import Experiment, Run

REPORT_MSE = 0.01904  # section 5.1.1


@dataclass(frozen=True)
class Settings:
    latent_dim: int = 8  # the report's
    beta: float = 0.5  # 1 is the ELBO; 0.5 keeps more of the digit, which the lens gains from
    epochs: int = 24
    batch_size: int = 128
    learning_rate: float = 1e-3  # falls along a cosine to a hundredth
    validation: int = 5_000  # of the training digits, the last ones: they choose the weights
    train_limit: int = 0  # train on the first so many digits; 0: on all the others
    seed: int = 0


PROFILES = {
    "full": Settings(),
    "quick": Settings(epochs=4, train_limit=20_000, validation=2_000),
    "smoke": Settings(epochs=2, train_limit=512, validation=128),
}


def split(n: int, validation: int, train_limit: int) -> tuple[slice, slice]:
    """Which of n training samples train and which validate: the last ones, at most a fifth."""
    validation = min(validation, n // 5)
    rest = n - validation
    return slice(0, min(train_limit or rest, rest)), slice(rest, n)


def train(settings: Settings, run: Run) -> dict[str, Any]:
    """Train, save, and measure on the test digits."""
    import tensorflow as tf
    import tf_keras as keras

    from filvm.analysis.reconstruction import pca_mse, reconstruction_report
    from filvm.experiments.training import (
        ReconstructionError,
        cosine_adam,
        fit,
        seconds_to_reach,
        shuffled_batches,
        steps_per_epoch,
    )
    from filvm.models import ConvVAE

    digits = run.mnist()
    chosen, held_out = split(len(digits.train_images), settings.validation, settings.train_limit)
    images = digits.train_images[chosen]
    steps = steps_per_epoch(len(images), settings.batch_size)

    keras.utils.set_random_seed(settings.seed)
    vae = ConvVAE(settings.latent_dim, beta=settings.beta, seed=settings.seed)
    vae.compile(cosine_adam(settings.learning_rate, settings.epochs * steps))

    def batches(first_epoch: int) -> tf.data.Dataset:
        return shuffled_batches(
            images[..., np.newaxis],
            settings.batch_size,
            seed=settings.seed,
            first_epoch=first_epoch,
            epochs=settings.epochs,
            transform=lambda pixels: tf.cast(pixels, tf.float32) / 255.0,
        )

    validation = to_float(digits.train_images[held_out])
    history = fit(
        vae,
        batches,
        run=run,
        epochs=settings.epochs,
        steps=steps,
        validation=tf.data.Dataset.from_tensor_slices(validation).batch(1000),
        callbacks=[ReconstructionError(validation)],
    )
    run.save_model(vae)
    test = to_float(digits.test_images)
    return {
        "test": reconstruction_report(vae, test),
        "pca_mse": pca_mse(to_float(images), test, settings.latent_dim),
        "training_seconds": round(sum(row["seconds"] for row in history), 1),
        "seconds_to_report_mse": seconds_to_reach(history, "val_mse", REPORT_MSE),
    }


def reconstruction_examples(run: Run, count: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """For Figure 3: test digits, one of each class, and what the trained VAE makes of them."""
    digits = run.mnist()
    first = [int(np.flatnonzero(digits.test_labels == label)[0]) for label in range(count)]
    images = to_float(digits.test_images[first])
    return images, run.model().reconstruct(images)


EXPERIMENT = Experiment("vae-mnist", "convolutional VAE on MNIST (Figure 3)", PROFILES, train)

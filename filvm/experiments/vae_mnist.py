"""vae-mnist: the convolutional VAE on MNIST (section 5.1.1, Figure 3)."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from filvm.data import to_float, training_split
from filvm.runs.run import Experiment, Run

if TYPE_CHECKING:
    from filvm.vae import ConvVAE

REPORT_MSE = 0.01904  # section 5.1.1


@dataclass(frozen=True)
class Settings:
    latent_dim: int = 8  # the report's
    beta: float = 0.5  # 1 is the ELBO; 0.5 keeps more of the digit, which the lens gains from
    epochs: int = 24
    batch_size: int = 128
    learning_rate: float = 1e-3  # falls along a cosine to a hundredth
    distorted: float = 0.0  # share of the digits of a batch that are distorted a little, at random
    validation: int = 5_000  # of the training digits, the last ones: they choose the weights
    train_limit: int = 0  # train on the first so many digits; 0: on all the others
    test_limit: int = 0  # measure on the first so many test images; 0: on all
    seed: int = 0


PROFILES = {
    "full": Settings(),
    "quick": Settings(epochs=3, train_limit=12_000, validation=2_000, test_limit=5_000),
    "smoke": Settings(epochs=2, train_limit=512, validation=128),
}


def train(settings: Settings, run: Run) -> dict[str, Any]:
    """Train, save, and measure on the test digits."""
    from filvm.analysis.reconstruction import pca_mse, reconstruction_report

    digits = run.mnist()
    chosen, held_out = training_split(
        len(digits.train_images), settings.validation, settings.train_limit
    )
    images = digits.train_images[chosen]
    vae, timing = train_vae(
        settings, run, images, digits.train_images[held_out], report_mse=REPORT_MSE
    )
    return {
        "test": reconstruction_report(vae, digits.test_images[: settings.test_limit or None]),
        "pca_mse": pca_mse(images, digits.test_images, settings.latent_dim),
        **timing,
    }


def train_vae(
    settings: Settings, run: Run, images: np.ndarray, validation: np.ndarray, *, report_mse: float
) -> tuple[ConvVAE, dict[str, Any]]:
    """Train a ConvVAE on uint8 images [n, height, width], maybe a memory map, and save it.

    Returns the model, and how long it trained and how long it took to pass the report's error.
    """
    import tensorflow as tf
    import tf_keras as keras

    from filvm.runs.training import (
        ReconstructionError,
        cosine_adam,
        distorted,
        fit,
        seconds_to_reach,
        shuffled_batches,
        steps_per_epoch,
    )
    from filvm.vae import ConvVAE

    steps = steps_per_epoch(len(images), settings.batch_size)
    keras.utils.set_random_seed(settings.seed)
    vae = ConvVAE(settings.latent_dim, beta=settings.beta, seed=settings.seed)
    vae.compile(cosine_adam(settings.learning_rate, settings.epochs * steps))

    def batches(first_epoch: int) -> tf.data.Dataset:
        return shuffled_batches(
            images,
            settings.batch_size,
            seed=settings.seed,
            first_epoch=first_epoch,
            epochs=settings.epochs,
            transform=lambda pixels: tf.cast(pixels[..., tf.newaxis], tf.float32) / 255.0,
            distort=partial(distorted, share=settings.distorted) if settings.distorted else None,
        )

    held_out = to_float(validation)
    history = fit(
        vae,
        batches,
        run=run,
        epochs=settings.epochs,
        steps=steps,
        validation=tf.data.Dataset.from_tensor_slices(held_out).batch(1000),
        callbacks=[ReconstructionError(vae, held_out)],
    )
    run.save_model(vae)
    return vae, {
        "training_seconds": round(sum(row["seconds"] for row in history), 1),
        "seconds_to_report_mse": seconds_to_reach(history, "val_mse", report_mse),
    }


def reconstruction_examples(run: Run, count: int = 10) -> tuple[np.ndarray, np.ndarray]:
    """For Figure 3: test digits, one of each class, and what the trained VAE makes of them."""
    digits = run.mnist()
    first = [int(np.flatnonzero(digits.test_labels == label)[0]) for label in range(count)]
    images = to_float(digits.test_images[first])
    return images, run.model().reconstruct(images)


EXPERIMENT = Experiment(
    "vae-mnist", "convolutional VAE on MNIST (Figure 3)", PROFILES, train, data=("mnist",)
)

"""vae-mnist-r: the convolutional VAE on rotated digits (section 5.1.1, Figure 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from filvm.data import RotatedMnist, load_rotated_mnist, to_float
from filvm.experiments.vae_mnist import Settings as VaeSettings
from filvm.experiments.vae_mnist import train_vae
from filvm.runs.run import Experiment, Run

REPORT_MSE = 0.01879  # section 5.1.1


@dataclass(frozen=True)
class Settings(VaeSettings):
    latent_dim: int = 12  # the report's
    epochs: int = 6  # of 8 rotations each
    validation: int = 1_000  # of the training digits, the last ones, with all their rotations
    train_limit: int = 0  # train on the rotations of the first so many digits; 0: of all others


PROFILES = {
    "full": Settings(),
    "quick": Settings(epochs=2, train_limit=2_000, validation=250, test_limit=5_000),
    "smoke": Settings(epochs=2, train_limit=64, validation=16, test_limit=800),
}


def rotated_digits(run: Run) -> RotatedMnist:
    """MNIST-R for a run, made if it is not there."""
    return load_rotated_mnist(run.mnist(), run.workspace.data)


def train(settings: Settings, run: Run) -> dict[str, Any]:
    """Train, save, and measure on the rotated test digits."""
    from filvm.analysis.reconstruction import pca_mse, reconstruction_report

    rotated = rotated_digits(run)
    chosen, held_out = rotated.training_split(settings.validation, settings.train_limit)
    images = rotated.train_images[chosen]
    vae, timing = train_vae(
        settings, run, images, rotated.train_images[held_out], report_mse=REPORT_MSE
    )
    each = rotated.num_rotations
    return {
        "test": reconstruction_report(vae, rotated.test_images[: settings.test_limit or None]),
        # One rotation of each digit: PCA wants all its images as floats at once.
        "pca_mse": pca_mse(images[::each], rotated.test_images[::each], settings.latent_dim),
        **timing,
    }


def reconstruction_examples(run: Run) -> tuple[np.ndarray, np.ndarray]:
    """For Figure 4: rotated test digits, one of each class, and what the VAE makes of them."""
    rotated = rotated_digits(run)
    first = [int(np.flatnonzero(rotated.test_labels == label)[0]) for label in range(10)]
    images = to_float(rotated.test_images[first])
    return images, run.model().reconstruct(images)


EXPERIMENT = Experiment(
    "vae-mnist-r",
    "convolutional VAE on rotated digits (Figure 4)",
    PROFILES,
    train,
    data=("mnist-r",),
)

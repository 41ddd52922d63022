"""invertible-mnist, invertible-mnist-r, invertible-sequences: lenses that can be undone.

Section 6 of the report says why ILVM and FILVM cannot take an edited z* back to z. These can, on
the same latents and with the same side information; beside their own measures stand those of the
FILVM's way back.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from filvm.data import to_float
from filvm.experiments import lens_mnist, lens_mnist_r, lens_sequences
from filvm.experiments.lens import InvertibleSettings, encode_images, profiles
from filvm.experiments.runs import Experiment, Run
from filvm.experiments.vae_mnist_r import rotated_digits

COUNT = 1_000  # samples to change and to change back


@dataclass(frozen=True)
class MnistSettings(InvertibleSettings):
    digit_weight: float = 20.0
    thickness_weight: float = 20.0
    known: int = 0  # as in `lens_mnist`
    validation: int = 10_000


@dataclass(frozen=True)
class RotatedSettings(InvertibleSettings):
    digit_weight: float = 20.0
    rotation_weight: float = 20.0
    epochs: int = 5  # of 8 rotations each
    batch_size: int = 512
    validation: int = 1_000


@dataclass(frozen=True)
class SequenceSettings(InvertibleSettings):
    attributes: tuple[str, ...] = ("start", "step", "length")
    attribute_weight: float = 20.0
    latent_noise: float = 0.01
    train_limit: int = 60_000


def train_mnist(settings: MnistSettings, run: Run) -> dict[str, Any]:
    """As `filvm-mnist`, and what a change and its undoing leave of test digits."""
    model, seconds = lens_mnist.trained_pipeline(settings, run)
    run.save_model(model)
    return {
        **lens_mnist.measures(settings, run, model),
        "undone": undone(model, *mnist_change(run, model)),
        "training_seconds": seconds,
    }


def train_mnist_r(settings: RotatedSettings, run: Run) -> dict[str, Any]:
    """As `filvm-mnist-r`, and what a change and its undoing leave of rotated test digits."""
    model, seconds = lens_mnist_r.trained_pipeline(settings, run)
    run.save_model(model)
    return {
        **lens_mnist_r.measures(settings, run, model),
        "undone": undone(model, *mnist_r_change(run, model)),
        "training_seconds": seconds,
    }


def train_sequences(settings: SequenceSettings, run: Run) -> dict[str, Any]:
    """As `filvm-sequences`, and what a change and its undoing leave of test sequences."""
    model, seconds = lens_sequences.trained_pipeline(settings, run)
    run.save_model(model)
    return {
        "test": lens_sequences.judge(
            model, lens_sequences.test_sequences(run, settings.test_limit)
        ),
        "undone": undone(model, *sequence_change(run, model)),
        "training_seconds": seconds,
    }


def mnist_change(run: Run, model: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Latents of test digits, and for each another digit to make of it."""
    digits, _ = lens_mnist.test_digits(run)
    z = model.latents(to_float(digits.test_images[:COUNT]))
    return z, {"digit": (digits.test_labels[:COUNT].astype(np.int64) + 3) % 10}


def mnist_r_change(run: Run, model: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Latents of rotated test digits, and for each an angle to turn it to."""
    rotated = rotated_digits(run)
    rows = lens_mnist_r.test_rows(rotated, COUNT)
    z = encode_images(model.vae, rotated.test_images[rows])
    return z, {"rotation": -rotated.test_angles[rows].astype(np.float32)}


def sequence_change(run: Run, model: Any) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Latents of test sequences, and for each another one's start."""
    test = lens_sequences.test_sequences(run, COUNT)
    return model.latents(test), {"start": np.roll(test.start, 1).astype(np.float32)}


CHANGES = {  # of which lenses, and what is changed
    "mnist": mnist_change,
    "mnist-r": mnist_r_change,
    "sequences": sequence_change,
}


def changed_and_back(
    lens: Any, z: np.ndarray, changes: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """z with attributes changed, and that with them put back where they were: both [n, d].

    Each step goes all the way: z -> z*, set, z* -> z.
    """
    z_star = lens.infer(z)
    changed = lens.generate(lens.set_attributes(z_star, **changes))
    back = lens.infer(changed)
    for name in changes:
        back[:, lens.dimension(name)] = z_star[:, lens.dimension(name)]
    return changed, lens.generate(back)


def undone(model: Any, z: np.ndarray, changes: dict[str, np.ndarray]) -> dict[str, float]:
    """What z -> z* -> z, and a change and its undoing, leave different: in z, and in what is seen.

    Of z the largest difference, in its standard deviations; of what is seen the largest one of any
    sample, and the mean of each sample's largest one: pixels in [0, 1], or numbers of a sequence.
    """
    lens = model.lens
    scale = lens.latent_scale.numpy()
    _, back = changed_and_back(lens, z, changes)
    around = lens.generate(lens.infer(z))
    seen, seen_again = (_seen(model, latents) for latents in (z, back))
    apart = np.abs(seen_again - seen).reshape(len(z), -1).max(axis=1)
    return {
        "round_trip": float(np.abs((around - z) / scale).max()),
        "latents": float(np.abs((back - z) / scale).max()),
        "largest": float(apart.max()),
        "mean": float(apart.mean()),
    }


def _seen(model: Any, z: np.ndarray) -> np.ndarray:
    """Images, or the numbers of sequences, of latents."""
    decoded = model.vae.decode(z)
    return np.asarray(decoded[0] if isinstance(decoded, tuple) else decoded)


EXPERIMENTS = (
    Experiment(
        "invertible-mnist",
        "a lens with an exact inverse on MNIST: digit and thickness",
        profiles(
            MnistSettings(),
            quick={"epochs": 8, "train_limit": 20_000, "validation": 2_000},
            smoke={"train_limit": 512, "validation": 128},
        ),
        train_mnist,
        needs=lens_mnist.NEEDS,
    ),
    Experiment(
        "invertible-mnist-r",
        "a lens with an exact inverse on rotated digits: digit and rotation",
        profiles(
            RotatedSettings(),
            quick={"epochs": 4, "train_limit": 5_000, "validation": 250},
            smoke={"train_limit": 64, "validation": 16},
        ),
        train_mnist_r,
        needs=lens_mnist_r.NEEDS,
    ),
    Experiment(
        "invertible-sequences",
        "a lens with an exact inverse on sequences: start, step and length",
        profiles(
            SequenceSettings(),
            quick={"epochs": 8, "train_limit": 20_000},
            smoke={"train_limit": 512},
        ),
        train_sequences,
        needs=("vae-sequences",),
    ),
)

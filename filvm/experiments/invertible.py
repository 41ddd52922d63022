"""invertible-mnist, invertible-mnist-r, invertible-sequences: lenses that can be undone.

Section 6 of the report says why ILVM and FILVM cannot take an edited z* back to z. These can, on
the same latents and with the same side information; beside their own measures stand those of the
FILVM's way back.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np

from filvm.data import to_float
from filvm.experiments import lens_mnist, lens_mnist_r, lens_sequences
from filvm.experiments.lens import InvertibleSettings, encode_images, profiles
from filvm.experiments.vae_mnist_r import rotated_digits
from filvm.runs.run import Experiment, Run
from filvm.runs.workspace import Workspace

NOTEBOOK = "10_a_lens_that_can_be_undone"  # of what `filvm beyond` trains


@dataclass(frozen=True)
class MnistSettings(InvertibleSettings):
    digit_weight: float = 20.0
    thickness_weight: float = 50.0
    known: int = 0  # as in `lens_mnist`
    validation: int = 10_000


@dataclass(frozen=True)
class RotatedSettings(InvertibleSettings):
    digit_weight: float = 30.0
    rotation_weight: float = 100.0
    hidden_units: tuple[int, ...] = (384, 384)
    latent_noise: float = 0.08
    epochs: int = 10  # of 8 rotations each
    batch_size: int = 512  # on two cores 1.4 times as many samples a second as 256
    clip_norm: float = 10.0
    validation: int = 1_000


@dataclass(frozen=True)
class SequenceSettings(InvertibleSettings):
    attributes: tuple[str, ...] = ("start", "step", "length")
    attribute_weight: float = 20.0
    latent_noise: float = 0.01
    epochs: int = 10
    learning_rate: float = 1e-3
    clip_norm: float = 10.0  # z* of swapped starts may lie where T^-1 is steep
    train_limit: int = 60_000


def train(
    of: ModuleType, trial: Callable[[Run, Any, int], Trial], settings: Any, run: Run
) -> dict[str, Any]:
    """As the FILVM of these data does; and what is left of test data changed and changed back.

    `of` is the module of the FILVM's experiment, `trial` one of `TRIALS`.
    """
    model, seconds = of.trained_pipeline(settings, run)
    run.save_model(model)
    return {
        **of.measures(settings, run, model),
        "way_back": way_back(model, *trial(run, model, settings.test_limit)),
        "training_seconds": seconds,
    }


# What is tried on test data: latents, their side information, and what one attribute becomes.

Trial = tuple[np.ndarray, dict[str, np.ndarray], dict[str, np.ndarray]]


def mnist(run: Run, model: Any, limit: int) -> Trial:
    """Every digit becomes another one."""
    digits, thickness = lens_mnist.test_digits(run)
    labels = digits.test_labels[:limit].astype(np.int64)
    z = model.latents(to_float(digits.test_images[:limit]))
    return z, {"digit": labels, "thickness": thickness[:limit]}, {"digit": (labels + 3) % 10}


def mnist_r(run: Run, model: Any, limit: int) -> Trial:
    """Every rotation becomes its opposite."""
    rotated = rotated_digits(run)
    rows = rotated.one_test_rotation_each(limit)
    angles = rotated.test_angles[rows].astype(np.float32)
    z = encode_images(model.vae, rotated.test_images[rows])
    return z, {"digit": rotated.test_labels[rows], "rotation": angles}, {"rotation": -angles}


def sequences(run: Run, model: Any, limit: int) -> Trial:
    """Every start becomes that of another sequence."""
    test = lens_sequences.test_sequences(run, limit)
    known = lens_sequences.known_attributes(test, tuple(model.lens.names))
    return model.latents(test), known, {"start": np.roll(known["start"], 1)}


TRIALS = {"mnist": mnist, "mnist-r": mnist_r, "sequences": sequences}


def changed_and_back(
    lens: Any, z: np.ndarray, change: dict[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """z with an attribute changed, and that with z*_j put back where it was: both [n, d].

    Each of the two goes all the way: z -> z*, set, z* -> z.
    """
    (name,) = change
    dimension = lens.dimension(name)
    changed = lens.manipulate(z, **change)
    return changed, lens.set_dimension(changed, dimension, lens.infer(z)[:, dimension])


def way_back(
    model: Any, z: np.ndarray, known: dict[str, np.ndarray], change: dict[str, np.ndarray]
) -> dict[str, Any]:
    """What the heads read, and what z* -> z and a change that is taken back leave different.

    `heads`: accuracy of labels, mean absolute error of numbers. `round_trip` and `latents`: the
    largest difference in z after z -> z* -> z, and after the change and back, in standard
    deviations. `observed`: the largest difference in each observation after the change and back,
    of all and on average: pixels in [0, 1], or numbers of a sequence.
    """
    lens = model.lens
    z_star = lens.infer(z)
    read = lens.read(z_star)
    _, back = changed_and_back(lens, z, change)
    scale = lens.latent_scale.numpy()
    apart = np.abs(_observed(model, back) - _observed(model, z)).reshape(len(z), -1).max(axis=1)
    return {
        "heads": {
            name: float(
                np.mean(read[name] == values)
                if read[name].dtype.kind == "i"
                else np.nanmean(np.abs(read[name] - values))
            )
            for name, values in known.items()
        },
        "round_trip": float(np.abs((lens.generate(z_star) - z) / scale).max()),
        "latents": float(np.abs((back - z) / scale).max()),
        "observed": {"largest": float(apart.max()), "mean": float(apart.mean())},
    }


def _observed(model: Any, z: np.ndarray) -> np.ndarray:
    """Images, or the numbers of sequences, of latents."""
    decoded = model.vae.decode(z)
    return np.asarray(decoded[0] if isinstance(decoded, tuple) else decoded)


def beside_filvm(workspace: Workspace) -> dict[str, dict[str, dict[str, Any]]]:
    """For the table: of each data set, the metrics of the FILVM and of the invertible lens."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for name, trial in TRIALS.items():
        filvm, invertible = workspace.run(f"filvm-{name}"), workspace.run(f"invertible-{name}")
        model = filvm.model()
        limit = invertible.config()["settings"]["test_limit"]
        found[name] = {
            "FILVM": {**filvm.metrics(), "way_back": way_back(model, *trial(filvm, model, limit))},
            "InvertibleLens": invertible.metrics(),
        }
    return found


def undone_examples(run: Run, digit: int = 3) -> dict[str, np.ndarray]:
    """For the figure: test digits, one of each class, made into another one and back."""
    digits, _ = lens_mnist.test_digits(run)
    first = [int(np.flatnonzero(digits.test_labels == label)[0]) for label in range(10)]
    models = {"FILVM": run.of("filvm-mnist").model(), "invertible": run.model()}
    z = run.model().latents(to_float(digits.test_images[first]))
    rows = {"x → z → x": _observed(run.model(), z)}
    for name, model in models.items():
        changed, back = (
            _observed(model, latents)
            for latents in changed_and_back(model.lens, z, {"digit": np.full(10, digit)})
        )
        rows[f"{name}: as a {digit}"] = changed
        rows[f"{name}: and back"] = back
        rows[f"{name}: lost"] = np.abs(back - rows["x → z → x"])
    return rows


EXPERIMENTS = (
    Experiment(
        "invertible-mnist",
        "a lens with an exact inverse on MNIST: digit and thickness",
        profiles(
            MnistSettings(),
            quick={"epochs": 8, "train_limit": 20_000, "validation": 2_000},
            smoke={"train_limit": 512, "validation": 128},
        ),
        partial(train, lens_mnist, mnist),
        needs=lens_mnist.NEEDS,
        data=("thickness",),
    ),
    Experiment(
        "invertible-mnist-r",
        "a lens with an exact inverse on rotated digits: digit and rotation",
        profiles(
            RotatedSettings(),
            quick={"epochs": 4, "train_limit": 5_000, "validation": 250},
            smoke={"train_limit": 64, "validation": 16},
        ),
        partial(train, lens_mnist_r, mnist_r),
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
        partial(train, lens_sequences, sequences),
        needs=("vae-sequences",),
    ),
)

"""filvm-mnist-r and filvm-mnist-r-report: lenses on the latents of vae-mnist-r (section 5.3).

Side information is the digit and the rotation in degrees; Figures 8, 11 and B2.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from filvm.data import Categorical, Continuous, RotatedMnist
from filvm.experiments.lens import (
    LensSettings,
    Samples,
    as_reported,
    encode_images,
    fit_lens,
    grid,
    judge_codes,
    make_lens,
    profiles,
)
from filvm.experiments.vae_mnist_r import rotated_digits
from filvm.runs.run import Experiment, Run

NEEDS = ("vae-mnist-r", "oracles-mnist-r")
ASKED_ANGLES = np.linspace(-80.0, 80.0, 9)  # degrees
ATTRIBUTES = (Categorical("digit", 10), Continuous("rotation"))


@dataclass(frozen=True)
class Settings(LensSettings):
    digit_weight: float = 20.0  # lambda of equation (8); 1 is the report's
    rotation_weight: float = 40.0
    # Finer detail of z than this would have to bring digit and rotation with it.
    latent_variance: float = 0.25
    swap_weight: float = 50.0
    independence_weight: float = 50.0
    epochs: int = 9  # of 8 rotations each
    batch_size: int = 512
    validation: int = 1_000  # of the training digits, the last ones, with all their rotations


REPORT = replace(as_reported(Settings(), digit_weight=1.0, rotation_weight=1.0), epochs=6)


def samples(rotated: RotatedMnist, vae: Any, rows: slice) -> Samples:
    """Latents of rows of the training arrays, with the digit and the rotation of each."""
    z = encode_images(vae, rotated.train_images[rows])
    return z, {"digit": rotated.train_labels[rows], "rotation": rotated.train_angles[rows]}


def train(settings: Settings, run: Run) -> dict[str, Any]:
    """Train on the latents, save VAE and lens as one model, and measure on rotated test digits."""
    model, seconds = trained_pipeline(settings, run)
    run.save_model(model)
    return {**measures(settings, run, model), "training_seconds": seconds}


def trained_pipeline(settings: Settings, run: Run) -> tuple[Any, float]:
    """VAE and lens as one model, and the seconds that training the lens took."""
    import tf_keras as keras

    from filvm.lens import LensPipeline

    rotated = rotated_digits(run)
    vae = run.of("vae-mnist-r").model()
    chosen, held_out = rotated.training_split(settings.validation, settings.train_limit)
    weights = {"digit": settings.digit_weight, "rotation": settings.rotation_weight}
    keras.utils.set_random_seed(settings.seed)
    lens = make_lens(settings, vae.latent_dim, ATTRIBUTES, weights)
    seconds = fit_lens(
        settings, run, lens, samples(rotated, vae, chosen), samples(rotated, vae, held_out)
    )
    return LensPipeline(vae, lens), seconds


def measures(settings: Settings, run: Run, model: Any) -> dict[str, Any]:
    """All measures on the rotated test digits."""
    return {
        "test": judge(model, rotated_digits(run), settings.test_limit),
        "manipulation": judge_manipulation(model, run.of("oracles-mnist-r").model()),
    }


def judge(model: Any, rotated: RotatedMnist, limit: int) -> dict[str, Any]:
    """All measures of z* on rotated test digits, their side information withheld."""
    rows = rotated.one_test_rotation_each(limit)
    factors = {"digit": rotated.test_labels[rows], "rotation": rotated.test_angles[rows]}
    z = encode_images(model.vae, rotated.test_images[rows])
    read = model.lens.predict_side_information(z)
    return {
        **judge_codes(model.lens, z, factors, {"digit": 0, "rotation": 1}),
        "secondary_network": {
            "digit_accuracy": float(np.mean(read["digit"] == factors["digit"])),
            "rotation_median_error": float(
                np.median(np.abs(read["rotation"] - factors["rotation"]))
            ),
        },
    }


def judge_manipulation(model: Any, oracle: Any) -> dict[str, Any]:
    """Ask for every digit under every rotation, the rest drawn at random; the oracle reads both."""
    from filvm.analysis.manipulation import digit_and_value_on_request
    from filvm.analysis.oracles import predict_digit, predict_rotation

    asked = digit_and_value_on_request(
        model.decode,
        partial(predict_rotation, oracle),
        partial(predict_digit, oracle),
        model.lens.coordinate("digit", np.arange(10)),
        model.lens.coordinate("rotation", ASKED_ANGLES),
        ASKED_ANGLES,
        model.lens.latent_dim,
    )
    return {"on_request": asked.summary()}


def rotation_grid(run: Run) -> dict[str, np.ndarray]:
    """For Figure 11: every digit at angles from -80 to 80 degrees; see `lens.grid`."""
    from filvm.analysis.oracles import predict_digit, predict_rotation

    model, oracle = run.model(), run.of("oracles-mnist-r").model()
    return grid(
        model,
        np.sort(model.lens.coordinate("rotation", ASKED_ANGLES)),
        partial(predict_rotation, oracle),
        partial(predict_digit, oracle),
    )


EXPERIMENTS = tuple(
    Experiment(
        name,
        summary,
        profiles(
            full,
            quick={"epochs": 4, "train_limit": 2_000, "validation": 250},
            smoke={"train_limit": 64, "validation": 16},
        ),
        train,
        needs=NEEDS,
    )
    for name, full, summary in (
        (
            "filvm-mnist-r",
            Settings(),
            "FILVM on rotated digits: digit and rotation (Figures 8 and 11)",
        ),
        (
            "filvm-mnist-r-report",
            REPORT,
            "FILVM on rotated digits, the report's own recipe (Figures 8 and 11)",
        ),
    )
)

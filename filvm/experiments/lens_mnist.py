"""ilvm-mnist, filvm-mnist and filvm-mnist-report: lenses on the latents of vae-mnist (section 5.3).

Side information is the digit and the stroke thickness, as in section 3.1; Figures 7, 10, B1 and B3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from filvm.data import (
    Categorical,
    Continuous,
    Mnist,
    load_thickness,
    stroke_thickness,
    to_float,
    training_split,
)
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
from filvm.runs.run import Experiment, Run

NEEDS = ("vae-mnist", "oracles-mnist")
SWEEP = np.linspace(-3.0, 3.0, 10)  # of z*_1: 99.7 % of the prior
ATTRIBUTES = (Categorical("digit", 10), Continuous("thickness"))


@dataclass(frozen=True)
class Settings(LensSettings):
    digit_weight: float = 30.0  # lambda of equation (8); 1 is the report's
    thickness_weight: float = 60.0
    latent_variance: float = 0.06
    known: int = 0  # how many training digits have their side information; 0: all
    validation: int = 10_000  # of the training digits, the last ones: they choose the weights


REPORT = as_reported(Settings(), digit_weight=1.0, thickness_weight=1.0)
ILVM = replace(REPORT, lens="ilvm")


def with_known(labels: np.ndarray, px: np.ndarray, count: int, seed: int) -> dict[str, np.ndarray]:
    """Side information of `count` digits drawn at random, missing for the others; 0: of all."""
    missing = np.random.default_rng(seed).permutation(len(labels))[count or len(labels) :]
    labels, px = labels.astype(np.int64), px.astype(np.float32)
    labels[missing], px[missing] = -1, np.nan
    return {"digit": labels, "thickness": px}


def train(settings: Settings, run: Run) -> dict[str, Any]:
    """Train on the latents, save VAE and lens as one model, and measure on the test digits."""
    model, seconds = trained_pipeline(settings, run)
    run.save_model(model)
    return {**measures(settings, run, model), "training_seconds": seconds}


def trained_pipeline(settings: Settings, run: Run) -> tuple[Any, float]:
    """VAE and lens as one model, and the seconds that training the lens took."""
    import tf_keras as keras

    from filvm.lens import LensPipeline

    digits = run.mnist()
    thickness = load_thickness(digits, run.workspace.data)
    vae = run.of("vae-mnist").model()

    def samples(part: slice, known: int = 0) -> Samples:
        labels, px = digits.train_labels[part], thickness.train[part]
        z = encode_images(vae, digits.train_images[part])
        return z, with_known(labels, px, known, settings.seed)

    chosen, held_out = training_split(
        len(digits.train_images), settings.validation, settings.train_limit
    )
    weights = {"digit": settings.digit_weight, "thickness": settings.thickness_weight}
    keras.utils.set_random_seed(settings.seed)
    lens = make_lens(settings, vae.latent_dim, ATTRIBUTES, weights)
    seconds = fit_lens(settings, run, lens, samples(chosen, settings.known), samples(held_out))
    return LensPipeline(vae, lens), seconds


def measures(settings: Settings, run: Run, model: Any) -> dict[str, Any]:
    """All measures on the test digits."""
    digits = run.mnist()
    part = slice(settings.test_limit)
    images = to_float(digits.test_images[part])
    labels, px = digits.test_labels[part], load_thickness(digits, run.workspace.data).test[part]
    oracle = run.of("oracles-mnist").model()
    return {
        "test": judge(model, images, labels, px),
        "manipulation": judge_manipulation(model, oracle, images, labels, px)
        if settings.lens != "ilvm"
        else {},  # no dimension of an ILVM belongs to an attribute
    }


def judge(
    model: Any, images: np.ndarray, labels: np.ndarray, thickness: np.ndarray
) -> dict[str, Any]:
    """All measures of z* on the given digits, their side information withheld."""
    owns = model.lens.heads[0].dimension is not None
    assigned = {"digit": 0, "thickness": 1} if owns else None
    z = model.latents(images)
    read = model.lens.predict_side_information(z)
    return {
        **judge_codes(model.lens, z, {"digit": labels, "thickness": thickness}, assigned),
        "secondary_network": {
            "digit_accuracy": float(np.mean(read["digit"] == labels)),
            "thickness_mae": float(np.nanmean(np.abs(read["thickness"] - thickness))),
        },
    }


def judge_manipulation(
    model: Any,
    oracle: Any,
    images: np.ndarray,
    labels: np.ndarray,
    thickness: np.ndarray,
) -> dict[str, Any]:
    """Is what is asked of z* there in the images, and did the rest stay? The oracles say.

    Digits on request; at every digit a sweep of z*_1, all other dimensions 0; real samples made
    into another digit.
    """
    from filvm.analysis.manipulation import change_digit, digits_on_request, sweep_every_digit
    from filvm.analysis.oracles import predict_digit

    lens, read_digit = model.lens, partial(predict_digit, oracle)
    places = lens.coordinate("digit", np.arange(10))
    rest = np.zeros((1, lens.latent_dim))
    z_star = model.encode(images)
    sweep = sweep_every_digit(model.decode, stroke_thickness, read_digit, places, SWEEP, rest)
    changed = change_digit(
        model.decode, stroke_thickness, read_digit, z_star, labels, thickness, places
    )
    return {
        "on_request": digits_on_request(
            model.decode,
            read_digit,
            places,
            lens.latent_dim,
            num_per_digit=max(len(images) // 10, 1),
        ).summary(),
        "thickness_sweep": sweep.summary(),
        "changed_digit": changed.summary(),
    }


def thickness_grid(run: Run) -> dict[str, np.ndarray]:
    """For Figure 10: every digit along the sweep of z*_1, the other dimensions 0; `lens.grid`."""
    from filvm.analysis.oracles import predict_digit

    model, oracle = run.model(), run.of("oracles-mnist").model()
    return grid(model, SWEEP, stroke_thickness, partial(predict_digit, oracle))


def latent_map(run: Run, size: int = 25) -> tuple[np.ndarray, np.ndarray]:
    """For Figure B3: images [size, size, 28, 28] over the first two dimensions, and the values."""
    from filvm.analysis.manipulation import plane

    model, values = run.model(), np.linspace(-3, 3, size)
    points = plane(model.lens.latent_dim, values, values)
    images = model.decode(points.reshape(size * size, -1))
    return images.reshape(size, size, *images.shape[1:3]), values


def test_digits(run: Run) -> tuple[Mnist, np.ndarray]:
    """MNIST, and the stroke thickness of its test digits in pixels."""
    digits = run.mnist()
    return digits, load_thickness(digits, run.workspace.data).test


EXPERIMENTS = tuple(
    Experiment(
        name,
        summary,
        profiles(
            full,
            quick={"epochs": 6, "train_limit": 12_000, "validation": 2_000},
            smoke={"train_limit": 512, "validation": 128},
        ),
        train,
        needs=NEEDS,
        data=("thickness",),
    )
    for name, full, summary in (
        ("ilvm-mnist", ILVM, "ILVM on MNIST (Figure 7)"),
        ("filvm-mnist", Settings(), "FILVM on MNIST: digit and thickness (Figures 7, 10, B3)"),
        ("filvm-mnist-report", REPORT, "FILVM on MNIST, the report's own recipe (Figure 7)"),
    )
)

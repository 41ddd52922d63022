"""ilvm-mnist, filvm-mnist and filvm-mnist-report: lenses on the latents of vae-mnist (section 5.3).

Side information is the digit and the stroke thickness, as in section 3.1; Figures 7, 10, B1 and B3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from filvm.data import Categorical, Continuous, Mnist, load_thickness, stroke_thickness, to_float
from filvm.experiments.lens import LensSettings, Samples, encode_images, fit_lens, grid, make_lens
from filvm.experiments.runs import Experiment, Run
from filvm.experiments.vae_mnist import split

NEEDS = ("vae-mnist", "oracles-mnist")
SWEEP_STEPS = 20
ATTRIBUTES = (Categorical("digit", 10), Continuous("thickness"))


@dataclass(frozen=True)
class Settings(LensSettings):
    digit_weight: float = 20.0  # lambda of equation (8); 1 is the report's
    thickness_weight: float = 40.0
    labels: int = 0  # how many training digits have their label; 0: all
    validation: int = 10_000  # of the training digits, the last ones: they choose the weights


# The report's objective: every term weighs the same, heads from random starts.
REPORT = Settings(
    digit_weight=1.0,
    thickness_weight=1.0,
    ordered_softmax=False,
    informed_generative=False,
    swap_weight=0.0,
    positive_slopes=False,
    independence_weight=0.0,
)
ILVM = replace(REPORT, lens="ilvm")


def profiles(full: Settings) -> dict[str, Settings]:
    """The three profiles of one recipe."""
    return {
        "full": full,
        "quick": replace(full, epochs=6, train_limit=20_000, validation=2_000),
        "smoke": replace(
            full,
            epochs=2,
            hidden_units=(32, 32),
            train_limit=512,
            validation=128,
            batch_size=64,
            test_limit=500,
        ),
    }


def with_labels(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The labels with all but `count` of them, drawn at random, missing; all of them for 0."""
    if not count:
        return labels
    known = np.random.default_rng(seed).permutation(len(labels))[:count]
    kept = np.full(len(labels), -1)
    kept[known] = labels[known]
    return kept


def train(settings: Settings, run: Run) -> dict[str, Any]:
    """Train on the latents, save VAE and lens as one model, and measure on the test digits."""
    import tf_keras as keras

    from filvm.models import LensPipeline

    digits = run.mnist()
    thickness = load_thickness(digits, run.data_dir)
    vae = run.of("vae-mnist").model()

    def samples(part: slice) -> Samples:
        labels = with_labels(digits.train_labels[part], settings.labels, settings.seed)
        z = encode_images(vae, digits.train_images[part])
        return z, {"digit": labels, "thickness": thickness.train[part].astype(np.float32)}

    chosen, held_out = split(len(digits.train_images), settings.validation, settings.train_limit)
    weights = {"digit": settings.digit_weight, "thickness": settings.thickness_weight}
    keras.utils.set_random_seed(settings.seed)
    lens = make_lens(settings, vae.latent_dim, ATTRIBUTES, weights)
    seconds = fit_lens(settings, run, lens, samples(chosen), samples(held_out))
    model = LensPipeline(vae, lens)
    run.save_model(model)
    part = slice(settings.test_limit)
    images = to_float(digits.test_images[part])
    labels, px = digits.test_labels[part], thickness.test[part]
    oracle = run.of("oracles-mnist").model()
    low, high = np.nanpercentile(thickness.train, [2, 98])
    return {
        "test": judge(model, images, labels, px),
        "manipulation": judge_manipulation(model, oracle, images, labels, px, low, high)
        if settings.lens == "filvm"
        else {},  # no dimension of an ILVM belongs to an attribute
        "training_seconds": seconds,
    }


def judge(
    model: Any, images: np.ndarray, labels: np.ndarray, thickness: np.ndarray
) -> dict[str, Any]:
    """All measures of z* on the given digits, their side information withheld."""
    from filvm.analysis.disentanglement import disentanglement_report
    from filvm.models import FILVM

    assigned = {"digit": 0, "thickness": 1} if isinstance(model.lens, FILVM) else None
    z = model.latents(images)
    read = model.lens.predict_side_information(z)
    return {
        "codes": disentanglement_report(
            model.lens.infer(z), {"digit": labels, "thickness": thickness}, assigned
        ),
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
    low: float,
    high: float,
) -> dict[str, Any]:
    """Is what is asked of z* there in the images, and did the rest stay? The oracles say.

    Digits on request; at every digit a sweep of thickness from `low` to `high` pixels (the 2nd and
    98th percentile of the training digits), all other dimensions 0; real samples made into another
    digit.
    """
    from filvm.analysis.manipulation import change_digit, digits_on_request, sweep_every_digit
    from filvm.analysis.oracles import predict_digit

    lens, read_digit = model.lens, partial(predict_digit, oracle)
    places = lens.coordinate("digit", np.arange(10))
    ends = np.sort(lens.coordinate("thickness", np.array([low, high])))
    rest = np.zeros((1, lens.latent_dim))
    z_star = model.encode(images)
    sweep = sweep_every_digit(
        model.decode, stroke_thickness, read_digit, places, np.linspace(*ends, SWEEP_STEPS), rest
    )
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
        "thickness_asked": [float(low), float(high)],
        "thickness_sweep": sweep.summary(),
        "changed_digit": changed.summary(),
    }


def thickness_grid(run: Run, rows: int = 9) -> dict[str, np.ndarray]:
    """For Figure 10: every digit at `rows` thicknesses, all other dimensions of z* 0.

    Returns `images` [rows, 10, 28, 28], `y_values` [rows], and what is read off the images:
    `measured` thickness and `digits`, [rows, 10].
    """
    from filvm.analysis.oracles import predict_digit

    digits = run.mnist()
    low, high = np.nanpercentile(load_thickness(digits, run.data_dir).train, [2, 98])
    model, oracle = run.model(), run.of("oracles-mnist").model()
    ends = np.sort(model.lens.coordinate("thickness", np.array([low, high])))
    return grid(model, np.linspace(*ends, rows), stroke_thickness, partial(predict_digit, oracle))


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
    return digits, load_thickness(digits, run.data_dir).test


EXPERIMENTS = (
    Experiment("ilvm-mnist", "ILVM on MNIST (Figure 7)", profiles(ILVM), train, needs=NEEDS),
    Experiment(
        "filvm-mnist",
        "FILVM on MNIST: digit and thickness (Figures 7, 10, B3)",
        profiles(Settings()),
        train,
        needs=NEEDS,
    ),
    Experiment(
        "filvm-mnist-report",
        "FILVM on MNIST, the report's own recipe (Figure 7)",
        profiles(REPORT),
        train,
        needs=NEEDS,
    ),
)

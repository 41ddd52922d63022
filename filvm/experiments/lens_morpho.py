"""vae-mnist-16 and filvm-mnist-morpho: six measures of a digit's shape, a dimension for each.

The setting of AR-VAE (Pati and Lerch 2020, arXiv 2004.05485), and judged as its paper does;
`benchmarks/ar_vae.py` trains AR-VAE itself on the same digits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from filvm.data import (
    MORPHOMETRICS,
    Continuous,
    load_morphometrics,
    measure_shapes,
    to_float,
    training_split,
)
from filvm.experiments import vae_mnist
from filvm.experiments.lens import (
    LensSettings,
    Samples,
    encode_images,
    fit_lens,
    make_lens,
    profiles,
)
from filvm.runs.run import Experiment, Run

NEEDS = ("vae-mnist-16",)
ATTRIBUTES = tuple(Continuous(name) for name in MORPHOMETRICS)
UNITS = dict(zip(MORPHOMETRICS, ("px", "px²", "px", "degrees", "px", "px"), strict=True))
# Of AR-VAE: interpretability, SCC, MIG, SAP and modularity, table 2 of its paper.
AR_VAE = {
    "interpretability": 0.850,
    "scc": 0.956,
    "mig": 0.135,
    "sap": 0.544,
    "modularity": 0.842,
}


# With little noise on z, for heights differ by half a pixel; and with distorted digits, which its
# encoder is to know as well as those it has trained on: it needs no attributes of them.
VAE_PROFILES = {
    name: replace(settings, latent_dim=16, beta=0.01, distorted=0.8)
    for name, settings in {
        **vae_mnist.PROFILES,
        "full": vae_mnist.Settings(epochs=40, train_limit=30_000, validation=10_000),
    }.items()
}


@dataclass(frozen=True)
class Settings(LensSettings):
    hidden_units: tuple[int, ...] = (640, 640, 640)
    attribute_weight: float = 3000.0  # lambda of equation (8), of each
    latent_variance: float = 0.25
    swap_weight: float = 10.0
    epochs: int = 32
    train_limit: int = 30_000  # those of the VAE, too
    validation: int = 10_000  # of the training digits, the last ones: they choose the weights


def train(settings: Settings, run: Run) -> dict[str, Any]:
    """Train on the latents, save VAE and lens as one model, and measure on the test digits."""
    import tf_keras as keras

    from filvm.lens import LensPipeline

    digits = run.mnist()
    known, _ = load_morphometrics(digits, run.workspace.data)
    vae = run.of("vae-mnist-16").model()

    def samples(part: slice) -> Samples:
        z = encode_images(vae, digits.train_images[part])
        return z, {name: values[part].astype(np.float32) for name, values in known.items()}

    chosen, held_out = training_split(
        len(digits.train_images), settings.validation, settings.train_limit
    )
    keras.utils.set_random_seed(settings.seed)
    weights = dict.fromkeys(MORPHOMETRICS, settings.attribute_weight)
    lens = make_lens(settings, vae.latent_dim, ATTRIBUTES, weights)
    seconds = fit_lens(settings, run, lens, samples(chosen), samples(held_out))
    model = LensPipeline(vae, lens)
    run.save_model(model)
    return {"test": measures(settings, run, model), "training_seconds": seconds}


def measures(settings: Settings, run: Run, model: Any) -> dict[str, Any]:
    """AR-VAE's five measures of z* on the test digits, side information withheld."""
    digits = run.mnist()
    _, known = load_morphometrics(digits, run.workspace.data)
    part = slice(settings.test_limit)
    z = encode_images(model.vae, digits.test_images[part])
    factors = {name: values[part] for name, values in known.items()}
    return {
        "codes": as_ar_vae_is_judged(model.lens.infer(z), factors),
        "sampled_codes": as_ar_vae_is_judged(model.lens.infer(z, sampled=True), factors),
    }


def as_ar_vae_is_judged(codes: np.ndarray, factors: dict[str, np.ndarray]) -> dict[str, float]:
    """The measures of `AR_VAE`, by nearest neighbours where they are of mutual information."""
    from filvm.analysis import disentanglement

    measured = {name: getattr(disentanglement, name) for name in AR_VAE}
    by_neighbours = {"interpretability", "mig", "modularity"}
    return {
        name: measure(
            codes, factors, **({"estimator": "knn"} if name in by_neighbours else {})
        ).mean
        for name, measure in measured.items()
    }


def traversals(run: Run, sample: int = 0, steps: int = 9) -> dict[str, Any]:
    """For the figure: one test digit with each attribute set from its 1st to its 99th percentile.

    The other five follow as far as they do among training digits (linear regression): a thicker
    stroke of the same length and the same area there is not.

    Returns by attribute: `asked` [steps], `images` [steps, height, width] and, measured on these,
    `measured` [steps].
    """
    import pandas as pd

    digits = run.mnist()
    known, known_test = load_morphometrics(digits, run.workspace.data)
    of_digits = pd.DataFrame(known)
    slopes = of_digits.cov() / of_digits.var()  # slopes.loc[other, name]: of other upon name
    own = pd.Series({name: values[sample] for name, values in known_test.items()})
    model = run.model()
    image = to_float(digits.test_images[[sample] * steps])
    found = {}
    for name, values in known.items():
        asked = np.linspace(*np.nanpercentile(values, [1, 99]), steps)
        all_asked = own.to_numpy() + np.outer(asked - own[name], slopes[name])
        images = model.manipulate(image, **dict(zip(known, all_asked.T, strict=True)))
        found[name] = {
            "asked": asked,
            "images": images[..., 0],
            "measured": measure_shapes(images, (name,), num_workers=1)[name],
        }
    return found


EXPERIMENTS = (
    Experiment(
        "vae-mnist-16",
        "convolutional VAE on MNIST with 16 latents",
        VAE_PROFILES,
        vae_mnist.train,
        data=("mnist",),
    ),
    Experiment(
        "filvm-mnist-morpho",
        "FILVM on MNIST: thickness, area, length, slant, width and height",
        profiles(
            Settings(),
            quick={"epochs": 6, "train_limit": 12_000, "validation": 2_000},
            smoke={"train_limit": 512, "validation": 128},
        ),
        train,
        needs=NEEDS,
        data=("morphometrics",),
    ),
)

"""ilvm-mnist, filvm-mnist and filvm-mnist-report: lenses on the latents of vae-mnist (section 5.3).

Side information is the digit and the stroke thickness, as in section 3.1; Figures 7, 10, B1 and B3.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from filvm.data import Categorical, Continuous, load_thickness, to_float
from filvm.experiments.runs import Experiment, Run
from filvm.experiments.vae_mnist import split

if TYPE_CHECKING:
    from filvm.models import Lens

ATTRIBUTES = (Categorical("digit", 10), Continuous("thickness"))


@dataclass(frozen=True)
class Settings:
    lens: str = "filvm"  # ilvm or filvm
    num_flows: int = 5  # the report's
    hidden_units: tuple[int, ...] = (384, 384, 384)  # of each of the three networks
    beta: float = 1.0  # of equation (8)
    digit_weight: float = 20.0  # lambda of equation (8); 1 is the report's
    thickness_weight: float = 40.0
    latent_variance: float = 0.05  # of p(z|z*), in standardised units
    latent_noise: float = 0.0  # what the secondary network trains with; it counts for few labels
    ordered_softmax: bool = True  # the four amendments, for an FILVM
    informed_generative: bool = True
    swap_weight: float = 5.0
    positive_slopes: bool = True
    labels: int = 0  # how many training digits have their label; 0: all
    epochs: int = 30
    batch_size: int = 256
    learning_rate: float = 1e-3  # falls along a cosine to a hundredth
    validation: int = 10_000  # of the training digits, the last ones: they choose the weights
    train_limit: int = 0  # train on the first so many digits; 0: on all the others
    seed: int = 0


# The report's objective: every term weighs the same, heads from random starts.
REPORT = Settings(
    digit_weight=1.0,
    thickness_weight=1.0,
    ordered_softmax=False,
    informed_generative=False,
    swap_weight=0.0,
    positive_slopes=False,
)
ILVM = replace(REPORT, lens="ilvm")


def profiles(full: Settings) -> dict[str, Settings]:
    """The three profiles of one recipe."""
    return {
        "full": full,
        "quick": replace(full, epochs=6, train_limit=20_000, validation=2_000),
        "smoke": replace(
            full, epochs=2, hidden_units=(32, 32), train_limit=512, validation=128, batch_size=64
        ),
    }


def make_lens(settings: Settings, latent_dim: int) -> Lens:
    """The untrained lens of these settings."""
    from filvm import models

    common = {
        "num_flows": settings.num_flows,
        "hidden_units": settings.hidden_units,
        "beta": settings.beta,
        "attribute_weights": {
            "digit": settings.digit_weight,
            "thickness": settings.thickness_weight,
        },
        "latent_variance": settings.latent_variance,
        "latent_noise": settings.latent_noise,
        "seed": settings.seed,
    }
    if settings.lens == "ilvm":
        return models.ILVM(latent_dim, ATTRIBUTES, **common)
    if settings.lens != "filvm":
        raise ValueError(f"lens is {settings.lens!r}; expected ilvm or filvm")
    return models.FILVM(
        latent_dim,
        ATTRIBUTES,
        ordered_softmax=settings.ordered_softmax,
        informed_generative=settings.informed_generative,
        swap_weight=settings.swap_weight,
        positive_slopes=settings.positive_slopes,
        **common,
    )


def with_labels(labels: np.ndarray, count: int, seed: int) -> np.ndarray:
    """The labels with all but `count` of them, drawn at random, missing; all of them for 0."""
    if not count:
        return labels
    known = np.random.default_rng(seed).permutation(len(labels))[:count]
    kept = np.full_like(labels, -1)
    kept[known] = labels[known]
    return kept


def train(settings: Settings, run: Run) -> dict[str, Any]:
    """Train on the latents, save VAE and lens as one model, and measure on the test digits."""
    import tensorflow as tf
    import tf_keras as keras

    from filvm.experiments.training import cosine_adam, fit, shuffled_batches, steps_per_epoch
    from filvm.models import LensPipeline

    digits = run.mnist()
    thickness = load_thickness(digits, run.data_dir)
    vae = run.of("vae-mnist").model()
    chosen, held_out = split(len(digits.train_images), settings.validation, settings.train_limit)

    def samples(part: slice) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        labels = with_labels(digits.train_labels[part], settings.labels, settings.seed)
        z, _ = vae.encode(to_float(digits.train_images[part]))
        return z, {"digit": labels, "thickness": thickness.train[part].astype(np.float32)}

    known = samples(chosen)
    steps = steps_per_epoch(len(known[0]), settings.batch_size)

    keras.utils.set_random_seed(settings.seed)
    lens = make_lens(settings, vae.latent_dim)
    lens.adapt(*known)
    lens.compile(
        cosine_adam(settings.learning_rate, settings.epochs * steps),
        steps_per_execution=min(steps, 32),
    )

    def batches(first_epoch: int) -> tf.data.Dataset:
        return shuffled_batches(
            known,
            settings.batch_size,
            seed=settings.seed,
            first_epoch=first_epoch,
            epochs=settings.epochs,
        )

    history = fit(
        lens,
        batches,
        run=run,
        epochs=settings.epochs,
        steps=steps,
        validation=tf.data.Dataset.from_tensor_slices(samples(held_out)).batch(1000),
    )
    model = LensPipeline(vae, lens)
    run.save_model(model)
    return {
        "test": judge(model, to_float(digits.test_images), digits.test_labels, thickness.test),
        "training_seconds": sum(row["seconds"] for row in history),
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


EXPERIMENTS = (
    Experiment(
        "ilvm-mnist", "ILVM on MNIST (Figure 7)", profiles(ILVM), train, needs=("vae-mnist",)
    ),
    Experiment(
        "filvm-mnist",
        "FILVM on MNIST: digit and thickness (Figures 7, 10, B3)",
        profiles(Settings()),
        train,
        needs=("vae-mnist",),
    ),
    Experiment(
        "filvm-mnist-report",
        "FILVM on MNIST, the report's own recipe (Figure 7)",
        profiles(REPORT),
        train,
        needs=("vae-mnist",),
    ),
)

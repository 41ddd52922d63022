"""What every lens experiment shares: its settings, the lens they make, and its training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from filvm.data import to_float
from filvm.runs.run import Run

if TYPE_CHECKING:
    from filvm.analysis.manipulation import Judge
    from filvm.data.side_information import Attribute
    from filvm.lens import Lens
    from filvm.vae import VAE

Samples = tuple[np.ndarray, dict[str, np.ndarray]]  # latents, and attributes by name


@dataclass(frozen=True)
class LensSettings:
    """Settings of any lens; the experiments add the weights of their own attributes."""

    clip_norm: ClassVar[float] = 0.0  # gradients are left as they are
    lens: str = "filvm"  # ilvm or filvm
    num_flows: int = 5  # the report's
    hidden_units: tuple[int, ...] = (384, 384, 384)  # of each of the three networks
    beta: float = 1.0  # of equation (8)
    latent_variance: float = 0.05  # of p(z|z*), in standardised units
    latent_noise: float = 0.0  # what the secondary network trains with; it counts for few labels
    ordered_softmax: bool = True  # the five amendments, for an FILVM
    informed_generative: bool = True
    swap_weight: float = 25.0
    positive_slopes: bool = True
    independence_weight: float = 150.0
    epochs: int = 16
    batch_size: int = 256
    learning_rate: float = 1e-3  # falls along a cosine to a hundredth
    train_limit: int = 0  # train on the first so many digits; 0: on all but those that validate
    test_limit: int = 10_000  # measure on the first so many test digits
    seed: int = 0


@dataclass(frozen=True)
class InvertibleSettings:
    """Settings of an `InvertibleLens`; the experiments add the weights of their own attributes."""

    lens: str = "invertible"
    num_mixing: int = 4
    num_couplings: int = 6
    coupling_units: tuple[int, ...] = (256, 256)  # of the network of each
    attribute_units: tuple[int, ...] = (384, 384)
    hidden_units: tuple[int, ...] = (256, 256)  # of the secondary network
    latent_noise: float = 0.04  # of all of training, in standardised units
    swap_weight: float = 3.0
    epochs: int = 20
    batch_size: int = 256
    learning_rate: float = 2e-3  # falls along a cosine to a hundredth
    clip_norm: float = 0.0  # of the gradient of all weights together; 0: none
    train_limit: int = 0  # as in `LensSettings`
    test_limit: int = 10_000
    seed: int = 0


def as_reported(settings: Any, **weights: float) -> Any:
    """The report's recipe of an FILVM: none of the amendments, and the weights given."""
    return replace(
        settings,
        ordered_softmax=False,
        informed_generative=False,
        swap_weight=0.0,
        positive_slopes=False,
        independence_weight=0.0,
        **weights,
    )


def profiles(full: Any, *, quick: dict[str, Any], smoke: dict[str, Any]) -> dict[str, Any]:
    """The three profiles of one recipe: what `quick` and `smoke` change of the full one."""
    small = {"epochs": 2, "hidden_units": (32, 32), "batch_size": 64, "test_limit": 500}
    if isinstance(full, InvertibleSettings):
        small |= {
            "coupling_units": (16,),
            "attribute_units": (16,),
            "num_mixing": 1,
            "num_couplings": 1,
            "test_limit": 200,
        }
    return {
        "full": full,
        "quick": replace(full, test_limit=1_000, **quick),
        "smoke": replace(full, **small, **smoke),
    }


def make_lens(
    settings: LensSettings | InvertibleSettings,
    latent_dim: int,
    attributes: Sequence[Attribute],
    weights: dict[str, float],
) -> Lens:
    """The untrained lens of these settings."""
    from filvm import models

    if isinstance(settings, InvertibleSettings):
        return models.InvertibleLens(
            latent_dim,
            attributes,
            num_mixing=settings.num_mixing,
            num_couplings=settings.num_couplings,
            coupling_units=settings.coupling_units,
            attribute_units=settings.attribute_units,
            hidden_units=settings.hidden_units,
            attribute_weights=weights,
            swap_weight=settings.swap_weight,
            latent_noise=settings.latent_noise,
            seed=settings.seed,
        )
    common = {
        "num_flows": settings.num_flows,
        "hidden_units": settings.hidden_units,
        "beta": settings.beta,
        "attribute_weights": weights,
        "latent_variance": settings.latent_variance,
        "latent_noise": settings.latent_noise,
        "seed": settings.seed,
    }
    if settings.lens == "ilvm":
        return models.ILVM(latent_dim, attributes, **common)
    if settings.lens != "filvm":
        raise ValueError(f"lens is {settings.lens!r}; expected ilvm or filvm")
    return models.FILVM(
        latent_dim,
        attributes,
        ordered_softmax=settings.ordered_softmax,
        informed_generative=settings.informed_generative,
        swap_weight=settings.swap_weight,
        positive_slopes=settings.positive_slopes,
        independence_weight=settings.independence_weight,
        **common,
    )


def encode_images(vae: VAE, images: np.ndarray, at_once: int = 10_000) -> np.ndarray:
    """z_mean of uint8 images [n, height, width], maybe a memory map: float32 [n, latent_dim]."""
    starts = range(0, len(images), at_once)
    return np.concatenate([vae.encode(to_float(images[i : i + at_once]))[0] for i in starts])


def fit_lens(
    settings: LensSettings | InvertibleSettings,
    run: Run,
    lens: Lens,
    known: Samples,
    held_out: Samples,
) -> float:
    """Train a lens on latents and their side information, or go on; return the seconds it took."""
    import tensorflow as tf

    from filvm.runs.training import cosine_adam, fit, shuffled_batches, steps_per_epoch

    steps = steps_per_epoch(len(known[0]), settings.batch_size)
    lens.adapt(*known)
    lens.compile(
        cosine_adam(
            settings.learning_rate,
            settings.epochs * steps,
            clip_norm=settings.clip_norm,
        ),
        # Many at once are faster, and take twice as long to begin with.
        steps_per_execution=min(steps, 32) if settings.epochs * steps > 2_000 else 1,
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
        validation=tf.data.Dataset.from_tensor_slices(in_any_order(held_out)).batch(1000),
    )
    return round(sum(row["seconds"] for row in history), 1)


def in_any_order(held_out: Samples) -> Samples:
    """Samples in an order drawn once: to validate, a batch must be like one of training.

    Eight rotations of one digit side by side are not independent of each other, and seem to be
    dependent on their attributes.
    """
    z, attributes = held_out
    order = np.random.default_rng(0).permutation(len(z))
    return z[order], {name: values[order] for name, values in attributes.items()}


def judge_codes(
    lens: Lens, z: np.ndarray, factors: dict[str, np.ndarray], assigned: dict[str, int] | None
) -> dict[str, Any]:
    """All measures of z*, side information withheld: of `infer`'s centres, and of draws.

    `codes` are the centres, which people read and change; `sampled_codes` are drawn from
    q(z*|z, s), as the objective knows z*: what a centre hides in less than the posterior's noise
    is not in them.
    """
    import joblib

    from filvm.analysis.disentanglement import disentanglement_report

    codes = {"codes": lens.infer(z), "sampled_codes": lens.infer(z, sampled=True)}
    judge = joblib.delayed(disentanglement_report)
    # The readers let go of Python's lock while they learn, so threads run side by side.
    reports = joblib.Parallel(n_jobs=len(codes), prefer="threads")(
        judge(values, factors, assigned) for values in codes.values()
    )
    return dict(zip(codes, reports, strict=True))


def grid(model: Any, y_values: np.ndarray, measure: Judge, read_digit: Judge) -> dict[str, Any]:
    """Every digit at every value of the second dimension of z*, all other dimensions 0.

    Returns `images` [rows, 10, height, width], `y_values` [rows], and what the oracles read off
    the images: `measured` and `digits`, [rows, 10].
    """
    places = model.lens.coordinate("digit", np.arange(10))
    points = np.zeros((len(y_values), len(places), model.lens.latent_dim), np.float32)
    points[:, :, 0] = places
    points[:, :, 1] = y_values[:, np.newaxis]
    images = model.decode(points.reshape(-1, points.shape[-1]))
    shape = points.shape[:2]
    return {
        "images": images.reshape(*shape, *images.shape[1:3]),
        "y_values": y_values,
        "measured": np.asarray(measure(images)).reshape(shape),
        "digits": np.asarray(read_digit(images)).reshape(shape),
    }

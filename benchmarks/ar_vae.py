"""AR-VAE and an FILVM on the same digits, the same network and six measures of their shape.

    python benchmarks/ar_vae.py [--seeds 0 1 2] [--distorted] [--data data] [--runs runs/ar_vae]
    python benchmarks/ar_vae.py --tune [--betas 1] [--gammas 10 30 100] [--deltas 1 3 10]

AR-VAE (Pati and Lerch 2020, arXiv 2004.05485) regularises dimension j of a VAE's own z:

    gamma * sum_j mean over pairs of a batch of |tanh(delta (z_j - z'_j)) - sign(a_j - a'_j)|

added to the ELBO. Its paper has gamma = 10, delta = 1 and beta = 1; `--tune` judges others by
validation digits, with a quarter of the steps, and `Settings` has what was chosen. Network,
likelihood, digits and batches are those of `vae-mnist-16`, on whose latents `filvm-mnist-morpho` is
trained, for each seed anew. That VAE needs no attributes, so a share of its digits is distorted at
random; for AR-VAE they would have to be measured anew. With `--distorted`, one is trained that sees
such digits, too, and their attributes not. All are judged on the test digits as AR-VAE's paper
judges: on draws of the code, as the paper does, and on its means.
Needs MNIST, and 15 minutes a seed on two cores. What is trained is kept in `--runs`: the same
command goes on after it was stopped, and seeds may be trained side by side.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pandas as pd
import tensorflow as tf
import tf_keras as keras

from filvm.analysis.reconstruction import squared_errors
from filvm.data import to_float, training_split
from filvm.experiments import EXPERIMENTS, Experiment, Run, Workspace, run_experiment
from filvm.experiments.digits import AR_VAE, ar_vae_measures
from filvm.runs.batches import distorted
from filvm.runs.training import (
    cosine_adam,
    fit_samples,
)
from filvm.vae import ConvVAE
from filvm.vae.elbo import gaussian_kl, sample_gaussian


@dataclass(frozen=True)
class Settings:
    beta: float = 0.1
    steps: int = 9_360
    epochs: int = 40  # equal parts of the steps
    batch_size: int = 128
    learning_rate: float = 1e-3  # falls along a cosine to a hundredth
    gamma: float = 100.0
    delta: float = 10.0
    distorted: float = 0.0  # share of the digits of a batch; their loss is the ELBO alone
    seed: int = 0


NAMES = {"sampled_codes": "draws", "codes": "means"}
TUNED_BY = 4  # a training of `--tune` has so many times fewer steps


def attribute_distance_loss(z: tf.Tensor, attributes: tf.Tensor, delta: float) -> tf.Tensor:
    """Mean |tanh(delta D_z) - sign(D_a)| over all pairs, summed over attributes; z_j is a_j's.

    An attribute that is not known is NaN, and pairs with it do not count.
    """
    own = z[:, : attributes.shape[1]]
    of_z, of_a = (values[:, tf.newaxis] - values[tf.newaxis] for values in (own, attributes))
    known = tf.cast(tf.math.is_finite(of_a), tf.float32)
    signs = tf.math.multiply_no_nan(tf.sign(of_a), known)
    distances = tf.reduce_sum(known * tf.abs(tf.tanh(delta * of_z) - signs), axis=[0, 1])
    return tf.reduce_sum(tf.math.divide_no_nan(distances, tf.reduce_sum(known, axis=[0, 1])))


@keras.utils.register_keras_serializable(package="ar_vae")
class ARVAE(ConvVAE):
    """A `ConvVAE` whose first dimensions are in the order of the attributes."""

    gamma, delta = 10.0, 1.0  # the paper's; `train` sets those of `Settings`

    def unpack_observations(self, data: Any) -> tuple[tf.Tensor, tf.Tensor]:
        images, attributes, _ = keras.utils.unpack_x_y_sample_weight(data)
        return images, attributes

    def batch_losses(self, x: tuple[tf.Tensor, tf.Tensor], seed: tf.Tensor) -> dict[str, tf.Tensor]:
        images, attributes = x
        z_mean, z_log_var = self.encoder(images, training=True)
        z = sample_gaussian(z_mean, z_log_var, seed)
        decoded = self.decoder(z, training=True)
        reconstruction = -tf.reduce_mean(self.log_likelihood(images, decoded))
        kl = tf.reduce_mean(tf.reduce_sum(gaussian_kl(z_mean, z_log_var), axis=-1))
        regularisation = self.gamma * attribute_distance_loss(z, attributes, self.delta)
        return {
            "loss": reconstruction + self.beta * kl + regularisation,
            "reconstruction_loss": reconstruction,
            "kl_loss": kl,
        }


def train(settings: Settings, run: Run) -> None:
    """Train AR-VAE on the digits of vae-mnist-16."""
    digits = run.mnist()
    known, _ = run.workspace.morphometrics()
    attributes = np.stack(list(known.values()), axis=1).astype(np.float32)
    of_vae = EXPERIMENTS["vae-mnist-16"].profiles[run.workspace.profile]
    chosen, held_out = training_split(
        len(digits.train_images), of_vae.validation, of_vae.train_limit
    )
    images = digits.train_images[chosen]

    keras.utils.set_random_seed(settings.seed)
    model = ARVAE(of_vae.latent_dim, beta=settings.beta, seed=settings.seed)
    model.gamma, model.delta = settings.gamma, settings.delta
    model.compile(cosine_adam(settings.learning_rate, settings.steps))
    validation = (to_float(digits.train_images[held_out]), attributes[held_out])

    def distort(batch: tuple[tf.Tensor, tf.Tensor], seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        pixels, known = batch
        moved = distorted(pixels, seed, settings.distorted)
        as_it_was = tf.reduce_all(moved == pixels, axis=[1, 2, 3])[:, tf.newaxis]
        return moved, tf.where(as_it_was, known, float("nan"))

    fit_samples(
        model,
        (images, attributes[chosen]),
        settings,
        run=run,
        validation=tf.data.Dataset.from_tensor_slices(validation).batch(settings.batch_size),
        transform=lambda batch: (
            tf.cast(batch[0][..., tf.newaxis], tf.float32) / 255.0,
            batch[1],
        ),
        distort=distort if settings.distorted else None,
    )
    run.save_model(model)


def judged(
    model: ARVAE, images: np.ndarray, known: dict[str, np.ndarray], seed: int
) -> dict[str, Any]:
    """AR-VAE's measures of its latents, of their means and of draws; `mse` is per pixel."""
    x = to_float(images)
    z_mean, z_log_var = model.encode(x)
    noise = np.random.default_rng(seed).standard_normal(z_mean.shape)
    draws = z_mean + np.exp(0.5 * z_log_var) * noise
    return {
        "codes": ar_vae_measures(z_mean, known),
        "sampled_codes": ar_vae_measures(draws, known),
        "mse": float(squared_errors(x, model.decode(z_mean)).mean()),
    }


def measure(settings: Settings, run: Run) -> dict[str, Any]:
    """The measures on the test digits."""
    _, known = run.workspace.morphometrics()
    test = judged(run.saved_model(), run.mnist().test_images, known, settings.seed)
    return {"test": test, "training_seconds": run.training_seconds()}


def measure_held_out(settings: Settings, run: Run) -> dict[str, Any]:
    """The measures on the validation digits."""
    digits, (known, _) = run.mnist(), run.workspace.morphometrics()
    of_vae = EXPERIMENTS["vae-mnist-16"].profiles[run.workspace.profile]
    _, held_out = training_split(len(digits.train_images), of_vae.validation, of_vae.train_limit)
    known = {name: values[held_out] for name, values in known.items()}
    return judged(run.saved_model(), digits.train_images[held_out], known, settings.seed)


AR_VAE_RUN = Experiment("ar-vae", "AR-VAE on MNIST", {"full": Settings()}, train, measure)
DISTORTED = Experiment(
    "ar-vae-distorted",
    "AR-VAE on MNIST, some of it distorted",
    {"full": Settings(distorted=0.5)},
    train,
    measure,
)


def tune(grid: list[dict[str, float]], workspace: Workspace) -> None:
    """Print the measures of every setting of the grid on validation digits, and their means."""
    usual = AR_VAE_RUN.profiles["full"]
    rows = []
    for chosen in grid:
        name = "ar-vae-" + "-".join(f"{value:g}" for value in chosen.values())
        settings = replace(usual, **chosen, steps=usual.steps // TUNED_BY, epochs=4)
        experiment = Experiment(name, name, {"full": settings}, train, measure_held_out)
        measured = run_experiment(experiment, workspace.run(name))
        for codes, title in NAMES.items():
            mean = float(np.mean(list(measured[codes].values())))
            row = {"codes": title, **measured[codes], "mean": mean, "mse": measured["mse"]}
            rows.append({**chosen, **row})
    print(pd.DataFrame(rows).round(3).to_markdown(index=False))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--distorted", action="store_true", help="AR-VAE sees such digits, too")
    parser.add_argument("--data", type=Path, default=Path("data"))
    parser.add_argument("--runs", type=Path, default=Path("runs/ar_vae"))
    parser.add_argument("--tune", action="store_true", help="choose beta, gamma and delta")
    parser.add_argument("--betas", type=float, nargs="+", default=[1.0])
    parser.add_argument("--gammas", type=float, nargs="+", default=[10.0, 30.0, 100.0])
    parser.add_argument("--deltas", type=float, nargs="+", default=[1.0, 3.0, 10.0])
    arguments = parser.parse_args()
    if arguments.tune:
        grid = [
            {"beta": beta, "gamma": gamma, "delta": delta}
            for beta, gamma, delta in product(arguments.betas, arguments.gammas, arguments.deltas)
        ]
        tune(grid, Workspace("full", arguments.runs / "tune", arguments.data, True))
        return

    vae, filvm = EXPERIMENTS["vae-mnist-16"], EXPERIMENTS["filvm-mnist-morpho"]
    rows = [{"model": "AR-VAE as published", "codes": "draws", **AR_VAE}]
    for seed in arguments.seeds:
        root = Workspace("full", arguments.runs / f"seed-{seed}", arguments.data, True)
        for experiment in (vae, filvm, AR_VAE_RUN, *([DISTORTED] if arguments.distorted else [])):
            settings = replace(experiment.profiles["full"], seed=seed)
            seeded = replace(experiment, profiles={"full": settings})
            measured = run_experiment(seeded, root.run(experiment.name)).get("test", {})
            for codes, name in NAMES.items():
                if codes in measured:
                    row = {"model": experiment.name, "codes": name, **measured[codes]}
                    rows.append({**row, "mse": measured.get("mse", np.nan)})
    table = pd.DataFrame(rows).groupby(["model", "codes"])[[*AR_VAE, "mse"]]
    print(table.agg(["mean", "std"]).round(3).to_string())


if __name__ == "__main__":
    main()

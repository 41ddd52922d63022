"""flow-density: planar flows fitted to energies and to samples (sections 4.2 and 5.2, Figure 6).

All attempts are kept: `restarts.csv` has a row for each (target, length, seed, loss, KL or held-out
log-likelihood, finite or not), `history.csv` the losses during training, `model/` the parameters of
all attempts of each fit, `densities.npz` the arrays of the figures.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
from scipy.special import logsumexp
from scipy.stats import multivariate_normal
from sklearn.datasets import make_moons

from filvm.experiments.settings import FlowSettings
from filvm.files import read_npz, replacing
from filvm.flows import (
    ENERGIES,
    FlowFits,
    fit_forward_kl,
    fit_reverse_kl,
    kl_to_target,
    log_normaliser,
)
from filvm.flows.density import Parameters
from filvm.flows.energies import log_density, square_grid
from filvm.runs.run import Run

# Half the side of the square on which a target is drawn, where it is not 4.
HALF_WIDTH = {"two-modes-as-printed": 7.0, "forked-wave": 5.0, "moons": 2.75}
MOONS_MEAN = np.array([0.5, 0.25])
MOONS_SCALE = np.array([0.87, 0.5])  # about one standard deviation


@dataclass(frozen=True)
class FlowMetrics:
    """What `metrics.json` holds of the fits.

    Attributes:
        target: the energy of Figure 6.
        figure_6: measures of its fits, by number of flows.
        energies: the same for the other energies.
        moons: log-likelihoods of held-out samples of two moons.
    """

    target: str
    figure_6: dict[str, Any]
    energies: dict[str, Any]
    moons: dict[str, Any]


def plan(settings: FlowSettings) -> list[tuple[str, int, int, int]]:
    """(energy, number of flows, attempts, annealing steps) of every fit."""
    fits = [
        (settings.target, length, settings.restarts, settings.annealing_steps)
        for length in settings.lengths
    ]
    for name in ENERGIES:
        if name != settings.target:
            other = (settings.other_length, settings.other_restarts)
            fits.append((name, *other, settings.other_annealing_steps))
    return fits


def train(_: str, settings: FlowSettings, run: Run) -> None:
    """Fit every length to the target, one length to the other energies, and flows to two moons."""
    common = {
        "batch_size": settings.batch_size,
        "learning_rate": settings.learning_rate,
        "seed": settings.seed,
    }
    fits = {
        (target, length): partial(
            fit_reverse_kl,
            target,
            length,
            restarts=restarts,
            steps=settings.steps,
            annealing_steps=annealing_steps,
            **common,
        )
        for target, length, restarts, annealing_steps in plan(settings)
    }
    samples, _ = two_moons(settings)
    budget = {"restarts": settings.moons_restarts, "steps": settings.moons_steps}
    for length in settings.moons_lengths:
        fits["moons", length] = partial(fit_forward_kl, samples, length, **budget, **common)
    looks = []
    for (target, length), fit in fits.items():
        made, seconds = fitted_once(run.model_folder / f"{target}_{length}.npz", fit)
        looks.append(history_rows(made, target, length))
        print(
            f"{run.name}: {target}, {length} flows: {len(made.seeds)} attempts, "
            f"{int(made.finite.sum())} finite, {seconds:.1f} s",
            flush=True,
        )
    with replacing(run.folder / "history.csv") as temporary:
        pd.concat(looks).to_csv(temporary, index=False)


def measure(_: str, settings: FlowSettings, run: Run) -> FlowMetrics:
    """Measure all fits; write restarts.csv and densities.npz beside the metrics."""
    log_z = {name: log_normaliser(name) for name in ENERGIES}
    tables, drawn = [], {}
    metrics = {
        name: {"log_z": log_z[name], "half_width": half_width(name), "lengths": {}}
        for name in dict.fromkeys([settings.target, *ENERGIES])
    }
    for target, length, *_ in plan(settings):
        fits, seconds = load_fits(run.model_folder / f"{target}_{length}.npz")
        table, result = energy_measures(fits, target, log_z[target])
        tables.append(table)
        drawn[f"{target} {length}"] = density(fits, half_width(target), settings.pixels)
        drawn[target] = energy_density(target, log_z[target], settings.pixels)
        metrics[target]["lengths"][str(length)] = {**result, "seconds": seconds}

    _, held_out = two_moons(settings)
    moons = {**moons_references(settings), "lengths": {}, "half_width": half_width("moons")}
    drawn["moons samples"] = held_out.astype(np.float32)
    for length in settings.moons_lengths:
        fits, seconds = load_fits(run.model_folder / f"moons_{length}.npz")
        table, result = sample_measures(fits, held_out)
        tables.append(table)
        drawn[f"moons {length}"] = density(fits, half_width("moons"), settings.pixels)
        moons["lengths"][str(length)] = {**result, "seconds": seconds}

    with replacing(run.folder / "restarts.csv") as temporary:
        pd.concat(tables).to_csv(temporary, index=False)
    with replacing(run.folder / "densities.npz") as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **drawn)
    return FlowMetrics(settings.target, metrics.pop(settings.target), metrics, moons)


def fitted_once(path: Path, fit: Callable[[], FlowFits]) -> tuple[FlowFits, float]:
    """The fits in `path`; if it is missing, fit and write it: an interrupted run continues so."""
    if path.is_file():
        return load_fits(path)
    began = time.perf_counter()
    fits = fit()
    seconds = round(time.perf_counter() - began, 1)
    with replacing(path) as temporary, open(temporary, "wb") as file:
        np.savez_compressed(
            file,
            seeds=fits.seeds,
            steps=fits.steps,
            history=fits.history,
            seconds=seconds,
            **fits.parameters._asdict(),
        )
    return fits, seconds


def load_fits(path: Path) -> tuple[FlowFits, float]:
    """Every attempt of a saved fit, and its seconds."""
    kept = read_npz(path)
    try:
        parameters = Parameters(*(kept[name] for name in Parameters._fields))
        fits = FlowFits(parameters, kept["seeds"], kept["steps"], kept["history"])
        return fits, float(kept["seconds"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no fit ({error}); delete it to fit again") from None


def energy_measures(
    fits: FlowFits, target: str, log_z: float
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A row for every attempt with its KL in nats, and the measures of all attempts."""
    kl = kl_to_target(fits, target, log_z)
    table, counts = attempts(fits, target, kl=kl)
    kl = np.where(fits.finite, kl, np.nan)
    return table, {
        **counts,
        "best_kl": float(kl[fits.best]),
        "median_kl": float(np.nanmedian(kl)),
        "both_modes": int(np.sum(kl < 0.3)),  # one mode of two costs ln 2 = 0.69
        "kl": [None if np.isnan(value) else float(value) for value in kl],
    }


def sample_measures(fits: FlowFits, held_out: np.ndarray) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A row for every attempt with its held-out log-likelihood; the best by training loss."""
    log_likelihood = fits.log_prob(held_out).mean(axis=1)
    table, counts = attempts(fits, "moons", log_likelihood=log_likelihood)
    return table, {**counts, "best_log_likelihood": float(log_likelihood[fits.best])}


def attempts(
    fits: FlowFits, target: str, **measured: np.ndarray
) -> tuple[pd.DataFrame, dict[str, int]]:
    """A row for every attempt with what was measured, and how many attempts ended finite."""
    table = fits.table(**measured)
    table.insert(0, "length", fits.parameters.w.shape[1])
    table.insert(0, "target", target)
    return table, {"finite": int(fits.finite.sum()), "attempts": len(table)}


def history_rows(fits: FlowFits, target: str, length: int) -> pd.DataFrame:
    """Target, length, step, seed and mean loss since the look before."""
    looks, restarts = fits.history.shape
    return pd.DataFrame(
        {
            "target": target,
            "length": length,
            "step": np.repeat(fits.steps, restarts),
            "seed": np.tile(fits.seeds, looks),
            "loss": fits.history.ravel(),
        }
    )


def half_width(target: str) -> float:
    """Half the side of the square, around 0, on which a target is drawn."""
    return HALF_WIDTH.get(target, 4.0)


def density(fits: FlowFits, half_width: float, pixels: int) -> np.ndarray:
    """Density of the attempt with the best loss on a square, `[pixels, pixels]`."""
    grid, _ = square_grid(half_width, pixels)
    log_prob = fits.log_prob(grid, fits.best)
    return np.exp(log_prob).reshape(pixels, pixels).astype(np.float32)


def energy_density(target: str, log_z: float, pixels: int) -> np.ndarray:
    """Density of a target on the square the figures show, `[pixels, pixels]`."""
    grid, _ = square_grid(half_width(target), pixels)
    values = log_density(target)(tf.constant(grid)).numpy() - log_z
    return np.exp(values).reshape(pixels, pixels).astype(np.float32)


def two_moons(settings: FlowSettings) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's two moons with noise, standardised; one half to fit, one held out."""
    points, _ = make_moons(
        settings.moons_samples, noise=settings.moons_noise, random_state=settings.seed
    )
    points = (points - MOONS_MEAN) / MOONS_SCALE
    half = settings.moons_samples // 2
    return points[:half], points[half:]


def moons_references(settings: FlowSettings) -> dict[str, float]:
    """Mean log-likelihood of the held-out samples under one Gaussian, and under the truth."""
    train_set, held_out = two_moons(settings)
    gaussian = multivariate_normal(train_set.mean(axis=0), np.cov(train_set.T))
    angle = (np.arange(500) + 0.5) * np.pi / 500
    upper = np.stack([np.cos(angle), np.sin(angle)], axis=-1)
    moons = (np.concatenate([upper, [1, 0.5] - upper]) - MOONS_MEAN) / MOONS_SCALE
    scale = settings.moons_noise / MOONS_SCALE
    distance = (held_out[:, np.newaxis] - moons) / scale
    log_kernel = -0.5 * np.sum(distance**2, axis=-1) - np.log(2 * np.pi * scale.prod())
    truth = logsumexp(log_kernel, axis=1) - np.log(len(moons))
    return {"gaussian": float(gaussian.logpdf(held_out).mean()), "truth": float(truth.mean())}

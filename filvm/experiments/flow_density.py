"""flow-density: planar flows fitted to energies and to samples (sections 4.2 and 5.2, Figure 6).

Everything an attempt left behind is kept: `restarts.csv` has a row for each (target, length, seed,
loss, KL or held-out log-likelihood, finite or not), `history.csv` the losses on the way, `model/`
the parameters of all attempts of each fit, `densities.npz` what the figures draw.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from filvm.files import read_npz, replacing
from filvm.runs.run import Experiment, Run, RunError

if TYPE_CHECKING:
    import pandas as pd

    from filvm.flows import FlowFits

# How many of the report's 20 attempts ended finite (section 5.2); it counts them for 32 flows only.
REPORT_FINITE = {32: 1}
# Half the side of the square on which a target is drawn, where it is not 4.
HALF_WIDTH = {"two-modes-as-printed": 7.0, "forked-wave": 5.0, "moons": 2.75}
MOONS_MEAN = np.array([0.5, 0.25])
MOONS_SCALE = np.array([0.87, 0.5])  # about one standard deviation


@dataclass(frozen=True)
class Settings:
    target: str = "two-modes"  # of Figure 6: a name of filvm.flows.ENERGIES
    lengths: tuple[int, ...] = (2, 8, 16, 32)  # the report's
    restarts: int = 20  # the report's
    steps: int = 8_000  # of Adam, for every attempt
    batch_size: int = 256
    learning_rate: float = 0.02  # falls along a cosine to 0
    annealing_steps: int = 2_000  # beta rises from 0.01 to 1
    seed: int = 0  # of the first attempt; the others follow
    other_length: int = 16  # flows for each of the other energies
    other_restarts: int = 8
    other_annealing_steps: int = 4_000  # the printed energy's modes lie 10 apart
    moons_lengths: tuple[int, ...] = (2, 8, 16)  # maximum likelihood on two moons
    moons_restarts: int = 5
    moons_steps: int = 4_000
    moons_samples: int = 10_000  # half of them held out
    moons_noise: float = 0.1  # standard deviation, where a moon's radius is 1
    pixels: int = 240  # per side, of the densities drawn


PROFILES = {
    "full": Settings(),
    "quick": Settings(
        lengths=(2, 8, 32),
        restarts=8,
        steps=1_000,
        annealing_steps=500,
        other_length=4,
        other_restarts=4,
        other_annealing_steps=500,
        moons_lengths=(2, 8),
        moons_restarts=3,
        moons_steps=750,
        pixels=120,
    ),
    "smoke": Settings(
        lengths=(2, 4),
        restarts=2,
        steps=20,
        other_length=2,
        other_restarts=1,
        moons_lengths=(2,),
        moons_restarts=1,
        moons_steps=20,
        moons_samples=200,
        pixels=20,
    ),
}


def train(settings: Settings, run: Run) -> dict[str, Any]:
    """Fit every length to the target, one length to the other energies, and flows to two moons."""
    import pandas as pd

    from filvm.flows import ENERGIES, log_normaliser

    if settings.target not in ENERGIES:
        raise RunError(f"target={settings.target}: expected one of {', '.join(ENERGIES)}")
    others = [name for name in ENERGIES if name != settings.target]
    plan = [
        (settings.target, length, settings.restarts, settings.annealing_steps)
        for length in settings.lengths
    ]
    plan += [
        (name, settings.other_length, settings.other_restarts, settings.other_annealing_steps)
        for name in others
    ]
    log_z = {name: log_normaliser(name) for name in ENERGIES}
    tables, looks, drawn = [], [], {}
    metrics = {
        name: {"log_z": log_z[name], "half_width": half_width(name), "lengths": {}}
        for name in [settings.target, *others]
    }
    for target, length, restarts, annealing_steps in plan:
        fits, seconds = reverse_kl_fits(settings, run, target, length, restarts, annealing_steps)
        table, result = judge_against_energy(fits, target, log_z[target])
        tables.append(table)
        looks.append(history_rows(fits, target, length))
        drawn[f"{target} {length}"] = density(fits, half_width(target), settings.pixels)
        drawn[target] = energy_density(target, log_z[target], settings.pixels)
        metrics[target]["lengths"][str(length)] = {**result, "seconds": seconds}
        print(
            f"{run.name}: {target}, {length} flows: best KL {result['best_kl']:.4f} of {restarts} "
            f"attempts, {result['finite']} finite, {seconds:.1f} s",
            flush=True,
        )

    train_set, held_out = two_moons(settings)
    moons = {**moons_references(settings), "lengths": {}}
    drawn["moons samples"] = held_out.astype(np.float32)
    for length in settings.moons_lengths:
        fits, seconds = moons_fits(settings, run, train_set, length)
        table, result = judge_on_samples(fits, held_out)
        tables.append(table)
        looks.append(history_rows(fits, "moons", length))
        drawn[f"moons {length}"] = density(fits, half_width("moons"), settings.pixels)
        moons["lengths"][str(length)] = {**result, "seconds": seconds}
        print(
            f"{run.name}: moons, {length} flows: held-out log-likelihood "
            f"{result['best_log_likelihood']:.4f}, {seconds:.1f} s",
            flush=True,
        )

    with replacing(run.folder / "restarts.csv") as temporary:
        pd.concat(tables).to_csv(temporary, index=False)
    with replacing(run.folder / "history.csv") as temporary:
        pd.concat(looks).to_csv(temporary, index=False)
    with replacing(run.folder / "densities.npz") as temporary, open(temporary, "wb") as file:
        np.savez_compressed(file, **drawn)
    return {
        "target": settings.target,
        "figure_6": metrics.pop(settings.target),
        "energies": metrics,
        "moons": {**moons, "half_width": half_width("moons")},
    }


def reverse_kl_fits(
    settings: Settings, run: Run, target: str, length: int, restarts: int, annealing_steps: int
) -> tuple[FlowFits, float]:
    """All attempts of one length at one energy, and how many seconds they took."""
    from filvm.flows import fit_reverse_kl

    def fit() -> FlowFits:
        return fit_reverse_kl(
            target,
            length,
            restarts=restarts,
            steps=settings.steps,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            annealing_steps=annealing_steps,
            seed=settings.seed,
        )

    return fitted_once(run.model_folder / f"{target}_{length}.npz", fit)


def moons_fits(
    settings: Settings, run: Run, samples: np.ndarray, length: int
) -> tuple[FlowFits, float]:
    """All attempts of one length at maximum likelihood, and how many seconds they took."""
    from filvm.flows import fit_forward_kl

    def fit() -> FlowFits:
        return fit_forward_kl(
            samples,
            length,
            restarts=settings.moons_restarts,
            steps=settings.moons_steps,
            batch_size=settings.batch_size,
            learning_rate=settings.learning_rate,
            seed=settings.seed,
        )

    return fitted_once(run.model_folder / f"moons_{length}.npz", fit)


def fitted_once(path: Path, fit: Callable[[], FlowFits]) -> tuple[FlowFits, float]:
    """What `path` holds, or what `fit` gives, kept there: an interrupted run goes on from it."""
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
    """Every attempt of a fit that a run has kept, and how many seconds they took."""
    from filvm.flows import FlowFits
    from filvm.flows.density import Parameters

    kept = read_npz(path)
    try:
        parameters = Parameters(*(kept[name] for name in Parameters._fields))
        fits = FlowFits(parameters, kept["seeds"], kept["steps"], kept["history"])
        return fits, float(kept["seconds"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{path} holds no fit ({error}); delete it to make it anew") from None


def judge_against_energy(
    fits: FlowFits, target: str, log_z: float
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A row for every attempt with its KL in nats, and what the figures and the levels need."""
    from filvm.flows import kl_to_target

    kl = kl_to_target(fits, target, log_z)
    table = fits.table(kl=kl)
    table.insert(0, "length", fits.parameters.w.shape[1])
    table.insert(0, "target", target)
    kl = np.where(fits.finite, kl, np.nan)
    return table, {
        "finite": int(fits.finite.sum()),
        "attempts": len(kl),
        "best_kl": float(kl[fits.best]),
        "median_kl": float(np.nanmedian(kl)),
        "both_modes": int(np.sum(kl < 0.3)),  # one mode of two costs ln 2 = 0.69
        "kl": [None if np.isnan(value) else float(value) for value in kl],
    }


def judge_on_samples(fits: FlowFits, held_out: np.ndarray) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A row for every attempt with its held-out log-likelihood; the best by training loss."""
    log_likelihood = fits.log_prob(held_out).mean(axis=1)
    table = fits.table(log_likelihood=log_likelihood)
    table.insert(0, "length", fits.parameters.w.shape[1])
    table.insert(0, "target", "moons")
    return table, {
        "finite": int(fits.finite.sum()),
        "attempts": len(log_likelihood),
        "best_log_likelihood": float(log_likelihood[fits.best]),
    }


def history_rows(fits: FlowFits, target: str, length: int) -> pd.DataFrame:
    """Target, length, step, seed and mean loss since the look before."""
    import pandas as pd

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
    from filvm.flows.energies import square_grid

    grid, _ = square_grid(half_width, pixels)
    log_prob = fits.log_prob(grid, fits.best)
    return np.exp(log_prob).reshape(pixels, pixels).astype(np.float32)


def energy_density(target: str, log_z: float, pixels: int) -> np.ndarray:
    """Density of a target on the square the figures show, `[pixels, pixels]`."""
    import tensorflow as tf

    from filvm.flows.energies import log_density, square_grid

    grid, _ = square_grid(half_width(target), pixels)
    values = log_density(target)(tf.constant(grid)).numpy() - log_z
    return np.exp(values).reshape(pixels, pixels).astype(np.float32)


def two_moons(settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """scikit-learn's two moons with noise, standardised; one half to fit, one held out."""
    from sklearn.datasets import make_moons

    points, _ = make_moons(
        settings.moons_samples, noise=settings.moons_noise, random_state=settings.seed
    )
    points = (points - MOONS_MEAN) / MOONS_SCALE
    half = settings.moons_samples // 2
    return points[:half], points[half:]


def moons_references(settings: Settings) -> dict[str, float]:
    """Mean log-likelihood of the held-out samples under one Gaussian, and under the truth."""
    from scipy.special import logsumexp
    from scipy.stats import multivariate_normal

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


def densities(run: Run) -> dict[str, np.ndarray]:
    """What the figures draw: densities by "target length", targets and samples by name."""
    return read_npz(run.folder / "densities.npz")


EXPERIMENT = Experiment(
    "flow-density",
    "planar flows fitted to energies and samples (Figure 6)",
    PROFILES,
    train,
    distributable=False,
)

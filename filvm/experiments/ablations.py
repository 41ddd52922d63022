"""What each part of the FILVM is worth: lenses on MNIST with one thing changed, several seeds each.

`filvm ablations` trains each in a folder of its own under runs/<profile>/ablations, several at
once, one to a core; what is done already is not done again. The VAE is the same for all: the
seeds are those of the lens, of the order of the samples and of the digits whose side information
is known.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import joblib
import pandas as pd
from tqdm import tqdm

from filvm.experiments import lens_mnist
from filvm.experiments.lens import profiles
from filvm.experiments.lens_mnist import ILVM, NEEDS, REPORT, Settings
from filvm.processes import deaf_to_ctrl_c
from filvm.runs.run import Experiment, Run, run_experiment
from filvm.runs.workspace import Workspace

SEEDS = (0, 1, 2)
FULL = Settings()
VARIANTS = {
    "ILVM": ILVM,
    "FILVM, the report's recipe": REPORT,
    "FILVM, ours": FULL,
    "without ordered softmax": replace(FULL, ordered_softmax=False),
    "without informed generative": replace(FULL, informed_generative=False),
    "without swap consistency": replace(FULL, swap_weight=0.0),
    "without positive slopes": replace(FULL, positive_slopes=False),
    "without independence": replace(FULL, independence_weight=0.0),
    # The noise keeps the secondary network from learning so few digits by heart.
    "side information of 10 %": replace(FULL, known=5_000),
    "side information of 600 digits": replace(FULL, known=600, latent_noise=0.35),
    "side information of 100 digits": replace(FULL, known=100, latent_noise=0.35),
}
# Column: the way to it through the metrics.
MEASURES = {
    "digit from z*[0]": ("test", "codes", "alignment", "digit", "accuracy"),
    "digit from the others": ("test", "sampled_codes", "leakage", "digit", "accuracy"),
    "digit MIG": ("test", "codes", "mig", "per_factor", "digit"),
    "thickness Spearman": ("test", "codes", "alignment", "thickness", "spearman"),
    "thickness aligned MIG": ("test", "codes", "aligned_mig", "per_factor", "thickness"),
    "digit on request": ("manipulation", "on_request", "agreement"),
    "sweep increasing": ("manipulation", "thickness_sweep", "strictly_increasing"),
    "digit changed": ("manipulation", "changed_digit", "agreement"),
    "thickness kept": ("manipulation", "changed_digit", "correlation"),
}


def folder_name(variant: str, seed: int) -> str:
    """Where a variant's run is: ablations/without-swap-consistency/seed-0."""
    letters = "".join(c if c.isalnum() else " " for c in variant.lower())
    return f"ablations/{'-'.join(letters.split())}/seed-{seed}"


def experiment(variant: str, seed: int) -> Experiment:
    """One variant with one seed, as an experiment."""
    # A smoke run has 384 digits: what 10 % and 600 of 50,000 are there is decided by size alone.
    known = min(VARIANTS[variant].known, 128)
    return Experiment(
        folder_name(variant, seed),
        f"{variant}, seed {seed}",
        profiles(
            replace(VARIANTS[variant], seed=seed),
            quick={"epochs": 6, "train_limit": 20_000, "validation": 2_000},
            smoke={"train_limit": 384, "validation": 96, "known": known},
        ),
        train,
        needs=NEEDS,
        data=("thickness",),
    )


def train(settings: Settings, run: Run) -> dict[str, Any]:
    """Train and measure on the test digits; the model is not kept."""
    model, seconds = lens_mnist.trained_pipeline(settings, run)
    return {**lens_mnist.measures(settings, run, model), "training_seconds": seconds}


def run_all(workspace: Workspace, jobs: int = 0) -> pd.DataFrame:
    """Train every variant with every seed, `jobs` at once (0: one to a core); return the table.

    The first failure stops the rest.
    """
    for name in NEEDS:
        workspace.run(name).check_done()
    workspace.thickness()  # made, if need be, once
    wanted = [experiment(variant, seed) for seed in SEEDS for variant in VARIANTS]
    jobs = min(jobs or joblib.cpu_count(), len(wanted))
    parallel = joblib.Parallel(n_jobs=jobs, return_as="generator_unordered")
    tasks = (joblib.delayed(run_one)(chosen, workspace, alone=jobs == 1) for chosen in wanted)
    with deaf_to_ctrl_c():
        names = parallel(tasks)
    with tqdm(total=len(wanted), desc="ablations", unit="run") as bar:
        for name in names:
            bar.set_postfix_str(name)
            bar.update()
    return table(workspace)


def run_one(chosen: Experiment, workspace: Workspace, alone: bool) -> str:
    """Train one of them, or go on with it, or find it done; return its name.

    Unless it is `alone`, it keeps to one core.
    """
    if not alone:
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        tf.config.threading.set_inter_op_parallelism_threads(1)
    with contextlib.redirect_stdout(io.StringIO()):  # of several at once: history.csv has it
        run_experiment(chosen, workspace.run(chosen.name))
    return chosen.name


def table(workspace: Workspace) -> pd.DataFrame:
    """One row for every variant and seed, a column for each of `MEASURES`; nan where none is."""
    rows = []
    for variant in VARIANTS:
        for seed in SEEDS:
            metrics = workspace.run(folder_name(variant, seed)).metrics()
            values = {column: _at(metrics, way) for column, way in MEASURES.items()}
            rows.append({"variant": variant, "seed": seed, **values})
    return pd.DataFrame(rows)


def _at(metrics: Any, way: Sequence[str]) -> float:
    for step in way:
        if step not in metrics:
            return float("nan")
        metrics = metrics[step]
    return metrics

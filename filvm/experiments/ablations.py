"""The effect of each part of the FILVM: lenses on MNIST with one change, several seeds each.

Each variant and seed is an experiment of its own, `ablations/<variant>/seed-<n>`, which `make
ablations` trains; `filvm ablations` writes the table. All have the same VAE: a seed is that of the
lens, of the order of the samples, and of the choice of digits whose side information is known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from filvm.experiments import lens_mnist
from filvm.experiments.lens import profiles
from filvm.experiments.lens_mnist import ILVM, NEEDS, REPORT, Settings
from filvm.runs.run import Experiment, Run
from filvm.runs.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

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


ABLATIONS = {
    chosen.name: chosen
    for chosen in (experiment(variant, seed) for variant in VARIANTS for seed in SEEDS)
}


def table(workspace: Workspace) -> pd.DataFrame:
    """One row for every variant and seed, a column for each of `MEASURES`; nan where none is."""
    import pandas as pd  # `filvm list` must answer without it

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

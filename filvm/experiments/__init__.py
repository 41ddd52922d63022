"""What the report did, and some beyond: one small file per experiment.

TensorFlow is imported once one trains.
"""

from collections.abc import Sequence
from typing import Any

from filvm.experiments import (
    flow_density,
    invertible,
    lens_mnist,
    lens_mnist_r,
    lens_morpho,
    lens_sequences,
    oracles,
    vae_mnist,
    vae_mnist_r,
    vae_sequences,
)
from filvm.experiments.ablations import ABLATIONS
from filvm.runs.distributed import WorkerLost
from filvm.runs.run import Experiment, Run, RunError, run_experiment
from filvm.runs.workspace import PROFILES, Workspace

EXPERIMENTS = {  # in an order in which each finds what it needs
    experiment.name: experiment
    for experiment in (
        vae_mnist.EXPERIMENT,
        vae_mnist_r.EXPERIMENT,
        vae_sequences.EXPERIMENT,
        *oracles.EXPERIMENTS,
        *lens_mnist.EXPERIMENTS,
        *lens_mnist_r.EXPERIMENTS,
        *lens_sequences.EXPERIMENTS,
        flow_density.EXPERIMENT,
        *invertible.EXPERIMENTS,
        *lens_morpho.EXPERIMENTS,
    )
}
BEYOND = tuple(  # not the report's
    experiment.name for experiment in (*invertible.EXPERIMENTS, *lens_morpho.EXPERIMENTS)
)


def find_experiment(name: str) -> Experiment:
    """The experiment or ablation of this name.

    Raises:
        RunError: no experiment has this name.
    """
    if name in ABLATIONS:
        return ABLATIONS[name]
    if name not in EXPERIMENTS:
        raise RunError(f"experiment is {name!r}; expected one of {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


def train_with_needs(
    name: str,
    workspace: Workspace,
    *,
    overrides: Sequence[str] = (),
    restart: bool = False,
    deterministic: bool = False,
) -> dict[str, Any]:
    """Train one experiment, after the experiments that it needs and that are not done.

    Under a strategy nothing else is trained: the workers would not agree on what is missing.

    Args:
        name: of the experiment.
        workspace: where the runs are.
        overrides: `name=value` strings that change settings of this experiment.
        restart: whether to delete its run first.
        deterministic: whether TensorFlow was told to be deterministic.

    Returns:
        The metrics.
    """
    experiment = find_experiment(name)
    for need in experiment.needs if workspace.strategy is None else ():
        if workspace.run(need).digest() is None:
            train_with_needs(need, workspace, deterministic=deterministic)
    return run_experiment(
        experiment,
        workspace.run(name),
        overrides=overrides,
        restart=restart,
        deterministic=deterministic,
    )


__all__ = [
    "ABLATIONS",
    "BEYOND",
    "EXPERIMENTS",
    "PROFILES",
    "Experiment",
    "Run",
    "RunError",
    "WorkerLost",
    "Workspace",
    "find_experiment",
    "run_experiment",
    "train_with_needs",
]

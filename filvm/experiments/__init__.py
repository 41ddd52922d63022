"""What the report did, and some beyond: one small file per experiment.

TensorFlow is imported once one trains.
"""

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

__all__ = [
    "BEYOND",
    "EXPERIMENTS",
    "PROFILES",
    "Experiment",
    "Run",
    "RunError",
    "WorkerLost",
    "Workspace",
    "run_experiment",
]

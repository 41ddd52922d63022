"""What the report did: one small file per experiment. TensorFlow is imported once one trains."""

from filvm.experiments import (
    flow_density,
    lens_mnist,
    lens_mnist_r,
    oracles,
    vae_mnist,
    vae_mnist_r,
)
from filvm.experiments.runs import PROFILES, Experiment, Run, RunError, run_experiment

EXPERIMENTS = {  # in an order in which each finds what it needs
    experiment.name: experiment
    for experiment in (
        vae_mnist.EXPERIMENT,
        vae_mnist_r.EXPERIMENT,
        *oracles.EXPERIMENTS,
        *lens_mnist.EXPERIMENTS,
        *lens_mnist_r.EXPERIMENTS,
        flow_density.EXPERIMENT,
    )
}

__all__ = ["EXPERIMENTS", "PROFILES", "Experiment", "Run", "RunError", "run_experiment"]

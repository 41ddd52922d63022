"""What the report did: one small file per experiment. TensorFlow is imported once one trains."""

from filvm.experiments import lens_mnist, lens_sequences, vae_mnist, vae_mnist_r, vae_sequences
from filvm.experiments.runs import PROFILES, Experiment, Run, RunError, run_experiment

EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        vae_mnist.EXPERIMENT,
        vae_mnist_r.EXPERIMENT,
        vae_sequences.EXPERIMENT,
        *lens_mnist.EXPERIMENTS,
        *lens_sequences.EXPERIMENTS,
    )
}

__all__ = ["EXPERIMENTS", "PROFILES", "Experiment", "Run", "RunError", "run_experiment"]

"""What the report did: one small file per experiment. TensorFlow is imported once one trains."""

from filvm.experiments import vae_mnist
from filvm.experiments.runs import PROFILES, Experiment, Run, RunError, run_experiment

EXPERIMENTS = {module.EXPERIMENT.name: module.EXPERIMENT for module in (vae_mnist,)}

__all__ = ["EXPERIMENTS", "PROFILES", "Experiment", "Run", "RunError", "run_experiment"]

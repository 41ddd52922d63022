"""The report's experiments, and some beyond it. TensorFlow is imported once one trains."""

from filvm.experiments.catalogue import (
    ABLATIONS,
    BEYOND,
    EXPERIMENTS,
    SEEDED,
    find_experiment,
    train_with_needs,
)
from filvm.runs.distributed import WorkerLost
from filvm.runs.experiment import (
    Experiment,
    TrainOptions,
    evaluate,
    run_experiment,
)
from filvm.runs.run import Run, RunError
from filvm.runs.workspace import PROFILES, Workspace

__all__ = [
    "ABLATIONS",
    "BEYOND",
    "EXPERIMENTS",
    "PROFILES",
    "SEEDED",
    "Experiment",
    "Run",
    "RunError",
    "TrainOptions",
    "WorkerLost",
    "Workspace",
    "evaluate",
    "find_experiment",
    "run_experiment",
    "train_with_needs",
]

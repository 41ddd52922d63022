"""Tasks: a data set with its attributes, and the measures of a lens on it.

Every task has the same four parts:

    attributes                                   side information, in the order of z*'s dimensions
    vae, oracle                                  the experiments whose models it uses
    training_samples(run, vae, recipe)           latents and side information: train, validate
    measure(run, model, recipe) -> LensMetrics   everything `metrics.json` holds of a lens

All measures are taken on test data, with side information withheld.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

from filvm.data import MORPHOMETRICS
from filvm.data.side_information import Attribute
from filvm.experiments.digit_data import mnist, mnist_r, morpho
from filvm.experiments.digits import (
    MNIST_ATTRIBUTES,
    MORPHO_ATTRIBUTES,
    ROTATED_ATTRIBUTES,
    MnistTask,
    MorphoTask,
    RotatedTask,
)
from filvm.experiments.measures import LensMetrics, Samples
from filvm.experiments.sequences import SequenceTask
from filvm.experiments.settings import Recipe
from filvm.experiments.words import WordTask
from filvm.lens import LensPipeline
from filvm.runs.run import Run
from filvm.vae import VAE


class Task(Protocol):
    """The parts that every task has; see the module's docstring."""

    vae: str
    attributes: tuple[Attribute, ...]

    def training_samples(self, run: Run, vae: VAE, recipe: Recipe) -> tuple[Samples, Samples]: ...

    def measure(self, run: Run, model: LensPipeline, recipe: Recipe) -> LensMetrics: ...


MNIST = MnistTask("vae-mnist", "oracles-mnist", MNIST_ATTRIBUTES, mnist, ("thickness",))
ROTATED = RotatedTask("vae-mnist-r", "oracles-mnist-r", ROTATED_ATTRIBUTES, mnist_r, turn=0.0)
TASKS: dict[str, Task] = {
    "mnist": MNIST,
    "mnist-ablations": replace(MNIST, sweeps=False),
    "mnist-r": ROTATED,
    "mnist-r-ablations": replace(ROTATED, sweeps=False),
    "sequences": SequenceTask(("start", "step", "length")),
    "sequences-start-step": SequenceTask(("start", "step")),
    "morpho": MorphoTask("vae-mnist-16", "oracles-mnist", MORPHO_ATTRIBUTES, morpho, MORPHOMETRICS),
    "words": WordTask(),
}

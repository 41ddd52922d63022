"""How an experiment is put together: its module, its task, and its settings under each profile."""

from __future__ import annotations

import importlib
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from filvm.experiments.settings import Recipe
from filvm.runs.experiment import Experiment
from filvm.runs.run import Run

Profiles = dict[str, Any]  # settings by profile


def experiment(
    name: str, summary: str, settings: Profiles, steps: tuple[str, str], **options: Any
) -> Experiment:
    """An experiment whose `steps`, (module, task), train and measure it.

    `filvm.experiments.<module>` is imported when one of its functions is called.
    """
    module, task = steps

    def call(function: str, settings: Any, run: Run) -> Any:
        found = importlib.import_module(f"filvm.experiments.{module}")
        return getattr(found, function)(task, settings, run)

    train, measure = partial(call, "train"), partial(call, "measure")
    return Experiment(name, summary, settings, train, measure, **options)


@dataclass(frozen=True)
class LensPlan:
    """What the lens experiments of one data set share.

    Attributes:
        task: of `tasks`.
        needs, data: as of an `Experiment`.
        quick, smoke: changes of the settings under these profiles.
    """

    task: str
    needs: tuple[str, ...]
    data: tuple[str, ...]
    quick: dict[str, Any]
    smoke: dict[str, Any]

    def experiment(
        self, name: str, summary: str, recipe: Recipe, *, task: str = "", **quick: Any
    ) -> Experiment:
        """One lens; `task` may be another one, `quick` are further changes of that profile."""
        settings = {
            "full": recipe,
            "quick": replace(recipe, **{"test_limit": 1_000, **self.quick, **quick}),
            "smoke": replace(recipe, **{**recipe.smoke(), **self.smoke}),
        }
        steps, options = ("lenses", task or self.task), {"needs": self.needs, "data": self.data}
        return experiment(name, summary, settings, steps, **options)

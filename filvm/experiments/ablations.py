"""The ablations: what each part of an FILVM is worth.

`variants` makes the recipes to compare from two recipes of a data set, the report's and ours:

    the report's recipe     numbers not scaled      with <amendment> alone
    ours                                            without <amendment>

"Numbers not scaled" is left out where the report's recipe has a scaling of 1.
A VAE is the same for all variants of a data set. A seed sets the lens, the order of the samples,
and the choice of samples with side information.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from filvm.experiments.plans import LensPlan
from filvm.experiments.settings import AMENDMENTS, FilvmRecipe, Recipe, ReportRecipe, without
from filvm.runs.experiment import Experiment

SEEDS = (0, 1, 2)
EPOCHS = 4  # of every training
REPORTED, NOT_SCALED, OURS = "the report's recipe", "numbers not scaled", "ours"
FOR_LABELS = ("ordered softmax",)  # amendments without effect if all attributes are numbers


def alone(amendment: str) -> str:
    """The variant that adds one amendment to the report's recipe."""
    return f"with {amendment} alone"


def left_out(amendment: str) -> str:
    """The variant that takes one amendment out of ours."""
    return f"without {amendment}"


def variants(reported: ReportRecipe, ours: FilvmRecipe, *, labels: bool) -> dict[str, Recipe]:
    """The recipes to compare, by name.

    The weights of the amendments belong to the weights of the terms of equation (8). For one
    amendment added to the report's recipe, they are

        weight = ours / (our weight of the first attribute) * (the report's weight of it)

    The report's weight is 1 for a label and 2 scaling^2 for a number (`report_terms`), so on digits
    the weights are ours divided by our weight of the digit.

    Args:
        reported: the report's recipe, without amendments.
        ours: our recipe, with all amendments.
        labels: whether the first attribute is a label; if not, all are numbers.
    """
    names = [name for name in AMENDMENTS if labels or name not in FOR_LABELS]
    share = (1.0 if labels else 2.0 * reported.scaling**2) / ours.attribute_weights[0]
    added = {}
    for name in names:
        setting = AMENDMENTS[name]
        value = getattr(ours, setting)
        added[alone(name)] = replace(
            reported, **{setting: value if isinstance(value, bool) else share * value}
        )
    return {
        REPORTED: reported,
        **({NOT_SCALED: replace(reported, scaling=1.0)} if reported.scaling != 1.0 else {}),
        **added,
        OURS: ours,
        **{left_out(name): without(ours, name) for name in names},
    }


def ablation_name(data: str, variant: str, seed: int) -> str:
    """The run of a variant: ablations/mnist/without-swap-consistency/seed-0, for one."""
    letters = "".join(c if c.isalnum() else " " for c in variant.lower().replace("'", ""))
    return f"ablations/{data}/{'-'.join(letters.split())}/seed-{seed}"


@dataclass(frozen=True)
class AblationStudy:
    """The ablations of one data set.

    Attributes:
        title: of the data set, for people.
        plan: of its lens experiments.
        variants: name -> recipe at its full length.
        divisor: every variant trains for a `divisor`-th of the steps of its recipe.
        changes: further settings, the same for every variant.
        task: of `tasks`; that of the plan by default.
        samples: what the data set consists of, for people.
    """

    title: str
    plan: LensPlan
    variants: dict[str, Recipe]
    divisor: int
    changes: dict[str, Any] = field(default_factory=dict)
    task: str = ""
    samples: str = "digits"

    def recipe(self, variant: str, seed: int = 0) -> Recipe:
        """The shortened recipe of a variant."""
        recipe = self.variants[variant]
        steps = recipe.steps // self.divisor
        return replace(recipe, steps=steps, epochs=EPOCHS, seed=seed, **self.changes)

    def experiments(self, data: str) -> Iterable[Experiment]:
        """One experiment for each seed and variant: all variants of seed 0 come first."""
        for seed in SEEDS:
            for variant in self.variants:
                recipe = self.recipe(variant, seed)
                few = {**self.plan.smoke, "known": min(recipe.known, 128)}
                plan = replace(self.plan, smoke=few)
                summary = f"{self.title}: {variant}, seed {seed}"
                name = ablation_name(data, variant, seed)
                yield plan.experiment(name, summary, recipe, task=self.task)

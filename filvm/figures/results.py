"""RESULTS.md: what the report says, and what came out here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filvm.experiments import EXPERIMENTS, Run
from filvm.figures.report import sample_note
from filvm.files import replacing


@dataclass(frozen=True)
class Result:
    """One line of the table: where the report says it, what, its value, and ours.

    `ours` reads the value from the experiment's metrics; `better` says which way is better
    ("lower", "higher", or "" where there is no comparison); `form` formats it.
    """

    experiment: str
    where: str
    what: str
    report: float | str | None
    ours: Callable[[dict[str, Any]], Any]
    better: str = ""
    form: str = ".4f"

    def row(self, metrics: dict[str, Any]) -> list[str]:
        value = self.ours(metrics)
        return [
            self.where,
            self.what,
            _text(self.report, self.form),
            _text(value, self.form),
            self.verdict(value),
        ]

    def verdict(self, value: Any) -> str:
        """Surpassed or not reached, where the report gives a number to compare with."""
        if not self.better or not isinstance(self.report, float):
            return ""
        ahead = value < self.report if self.better == "lower" else value > self.report
        return "surpassed" if ahead else "not reached"


def _text(value: Any, form: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(_text(item, form) for item in value)
    return value if isinstance(value, str) else format(value, form)


RESULTS = (
    Result(
        "vae-mnist",
        "5.1.1, Figure 3",
        "MNIST, 8 dimensions: test MSE per pixel, z = mean",
        0.01904,
        lambda metrics: metrics["test"]["mse"],
        better="lower",
        form=".5f",
    ),
    Result(
        "vae-mnist",
        "5.1.1",
        "the same, z sampled",
        0.01904,
        lambda metrics: metrics["test"]["mse_sampled"],
        better="lower",
        form=".5f",
    ),
    Result(
        "vae-mnist",
        "5.1.1",
        "another thesis's MSE, which the report cites",
        0.02033,
        lambda metrics: metrics["test"]["mse"],
        better="lower",
        form=".5f",
    ),
    Result(
        "vae-mnist",
        "",
        "PCA with as many components, the same split",
        None,
        lambda metrics: metrics["pca_mse"],
        form=".5f",
    ),
    Result(
        "vae-mnist", "", "KL term, nats", None, lambda metrics: metrics["test"]["kl"], form=".2f"
    ),
    Result(
        "vae-mnist",
        "",
        "KL of each dimension, nats",
        None,
        lambda metrics: metrics["test"]["kl_per_dimension"],
        form=".2f",
    ),
    Result(
        "flow-density",
        "5.2",
        "attempts that ended finite, for each number of flows",
        "1 of 20 with 32",
        lambda metrics: _by_length(metrics, "{finite} of {attempts}"),
    ),
    Result(
        "flow-density",
        "5.2, Figure 6",
        "KL(q || p) of the best attempt, nats",
        None,
        lambda metrics: _by_length(metrics, "{best_kl:.4f}"),
    ),
    Result(
        "flow-density",
        "5.2",
        "attempts with KL below 0.3, which found both modes",
        None,
        lambda metrics: _by_length(metrics, "{both_modes} of {attempts}"),
    ),
)


def _by_length(metrics: dict[str, Any], form: str) -> str:
    """One measure of the flows of Figure 6, for each number of flows."""
    lengths = metrics["figure_6"]["lengths"]
    return "; ".join(f"{length}: {form.format(**result)}" for length, result in lengths.items())


def write_results(run: Run, path: Path) -> None:
    """Write the table for the profile of `run`, from the runs that are complete."""
    lines = [
        f"# Results, profile `{run.profile}`",
        "",
        "What the report (Nickerson, *Interpretable dimensionality reduction for high-dimensional",
        "and unstructured data*) gives, and what this package measured on held-out data.",
        "",
    ]
    for name in EXPERIMENTS:
        of = run.of(name)
        rows = [result for result in RESULTS if result.experiment == name]
        if of.digest() is None or not rows:
            continue
        lines += [f"## {name}", ""]
        if note := sample_note(run, [name]):
            lines += [f"**{note}**", ""]
        lines += ["| report's section | what | report | ours | |", "|---|---|---|---|---|"]
        lines += [f"| {' | '.join(result.row(of.metrics()))} |" for result in rows]
        lines.append("")
    with replacing(path) as temporary:
        temporary.write_text("\n".join(lines), "utf-8")

"""RESULTS.md: what the report says, and what came out here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filvm.experiments import EXPERIMENTS, Workspace
from filvm.files import replacing
from filvm.report.claims import claims_table
from filvm.report.figures import sample_note


@dataclass(frozen=True)
class Result:
    """One line of the table: where the report says it, what, its value, and ours.

    `ours` is the way to our value through the metrics, as in "test.mse", or a function of them;
    `better` says which way is better ("lower", "higher", or "" where there is no comparison);
    `form` formats both.
    """

    where: str
    what: str
    report: float | str | None
    ours: str | Callable[[dict[str, Any]], Any]
    better: str = ""
    form: str = ".3f"

    def row(self, metrics: dict[str, Any]) -> list[str]:
        value = self.ours(metrics) if callable(self.ours) else at(metrics, self.ours)
        texts = [_text(self.report, self.form), _text(value, self.form)]
        return [self.where, self.what, *texts, self.verdict(value)]

    def verdict(self, value: Any) -> str:
        """Surpassed or not reached, where the report gives a number to compare with."""
        if not self.better or not isinstance(self.report, float):
            return ""
        ahead = value < self.report if self.better == "lower" else value > self.report
        return "surpassed" if ahead else "not reached"


def at(metrics: dict[str, Any], way: str) -> Any:
    """metrics["a"]["b"] for "a.b"; None where the way ends early."""
    found: Any = metrics
    for step in way.split("."):
        found = found.get(step) if isinstance(found, dict) else None
    return found


def _text(value: Any, form: str) -> str:
    if value is None:
        return "-"
    if isinstance(value, list):
        return ", ".join(_text(item, form) for item in value)
    return value if isinstance(value, str) else format(value, form)


def _by_length(metrics: dict[str, Any], form: str) -> str:
    """One measure of the flows of Figure 6, for each number of flows."""
    lengths = metrics["figure_6"]["lengths"]
    return "; ".join(f"{length}: {form.format(**result)}" for length, result in lengths.items())


def vae_results(report_mse: float, dimensions: int, name: str) -> list[Result]:
    """Lines on an image VAE."""
    what = f"{name}, {dimensions} dimensions: test MSE per pixel"
    seconds = "seconds of training until the report's MSE was passed, on validation digits"
    return [
        Result("5.1.1", f"{what}, z = mean", report_mse, "test.mse", "lower", ".5f"),
        Result("5.1.1", f"{what}, z sampled", report_mse, "test.mse_sampled", "lower", ".5f"),
        Result("", "PCA with as many components, the same split", None, "pca_mse", form=".5f"),
        Result("", seconds, None, "seconds_to_report_mse", form=".0f"),
        Result("", "KL term, nats", None, "test.kl", form=".2f"),
        Result("", "KL of each dimension, nats", None, "test.kl_per_dimension", form=".2f"),
    ]


def lens_results(attribute: str) -> list[Result]:
    """Lines on a lens of digits and another attribute; side information is withheld."""
    codes = "test.codes"
    return [
        Result(
            "5.3.1", "digit read from its own dimension", None, f"{codes}.alignment.digit.accuracy"
        ),
        Result(
            "5.3.1",
            "digit read from all others, z* drawn from q(z*|z), by trees or a kernel machine",
            None,
            "test.sampled_codes.leakage.digit.accuracy",
        ),
        Result("", "the same, centres of q(z*|z)", None, f"{codes}.leakage.digit.accuracy"),
        Result(
            "",
            "the same, centres, by logistic regression",
            None,
            f"{codes}.leakage_linear.digit.accuracy",
        ),
        Result(
            "5.3.1",
            f"Spearman of the second dimension with {attribute}",
            None,
            lambda metrics: _own(at(metrics, f"{codes}.spearman.{attribute}"), metrics, attribute),
        ),
        Result("", "MIG, digit", None, f"{codes}.mig.per_factor.digit"),
        Result("", f"MIG, {attribute}", None, f"{codes}.mig.per_factor.{attribute}"),
        Result(
            "", f"aligned MIG, {attribute}", None, f"{codes}.aligned_mig.per_factor.{attribute}"
        ),
        Result(
            "5.3.2",
            "digit asked for, the rest random: the oracle agrees",
            None,
            "manipulation.on_request.agreement",
        ),
    ]


def _own(values: list[float], metrics: dict[str, Any], attribute: str) -> float:
    """The entry of the dimension that is the attribute's, or tells most about it."""
    return values[metrics["test"]["codes"]["assigned"][attribute]]


MNIST_LENS = [
    *lens_results("thickness"),
    Result(
        "5.3.2",
        "thickness grows at every step of a sweep, share of digits",
        None,
        "manipulation.thickness_sweep.strictly_increasing",
    ),
    Result("5.3.2", "digit kept in the sweep", None, "manipulation.thickness_sweep.digit_kept"),
    Result(
        "5.3.2",
        "thickness that every digit reaches, px",
        "no extremely thin digits",
        "manipulation.thickness_sweep.reached_by_all",
        form=".2f",
    ),
    Result(
        "5.3.2",
        "digit of a real sample changed: the oracle agrees",
        None,
        "manipulation.changed_digit.agreement",
    ),
    Result(
        "5.3.2",
        "the same: correlation of thickness before and after",
        None,
        "manipulation.changed_digit.correlation",
    ),
]
ROTATED_LENS = [
    *lens_results("rotation"),
    Result(
        "5.3.2",
        "the same, 6 and 9 read as each other apart",
        None,
        "manipulation.on_request.agreement_apart",
    ),
    Result(
        "5.3.2",
        "median error of the rotation that the oracle reads, degrees",
        None,
        "manipulation.on_request.median_absolute_error",
        form=".1f",
    ),
]
DIMENSIONS = "`z*[0]`, `z*[1]`, `z*[2]`, `z*[3]`"
# Half the sequences have 16 numbers at most, so at 0 the least push makes 16 of them 17.
ONE_MORE = {"length": " (one number more is 3.7%)"}


def sequence_lens_results(
    aligned: dict[str, str], moved: dict[str, str], attributes: tuple[str, ...]
) -> list[Result]:
    """Lines on a lens of sequences; side information is withheld, the report's words in quotes.

    Args: what the report says of each attribute in its Figure 9 (`aligned`) and in its Figure 12
    (`moved`), and the attributes that are side information.
    """
    return [
        *(
            Result(
                "5.3.1, Figure 9",
                f"Spearman of {name} with {DIMENSIONS}",
                aligned.get(name),
                f"test.spearman.{name}",
                form="+.3f",
            )
            for name in ("start", "step", "length", "final")
        ),
        *(
            Result(
                "5.3.2, Figure 12",
                f"share of the range of {name} that each moves it over, from -2 to 2, others 0"
                + ONE_MORE.get(name, ""),
                moved.get(name),
                f"test.moved.{name}",
                form=".1%",
            )
            for name in ("start", "step", "length", "final")
        ),
        *(
            Result(
                "",
                f"the same, {name}, mean over sweeps that start from test sequences",
                None,
                f"test.moved_elsewhere.{name}",
                form=".1%",
            )
            for name in attributes
        ),
        *(
            Result("", f"aligned MIG, {name}", None, f"test.codes.aligned_mig.per_factor.{name}")
            for name in attributes
        ),
        Result(
            "6",
            "mean absolute error per number after z to z* and back",
            "an approximation of z",
            "test.after_the_lens.mean_absolute_error",
            form=".2f",
        ),
        Result("", "length exact, the same way", None, "test.after_the_lens.length_exact"),
    ]


REPORT_FIGURE_9 = {
    "start": "aligned with `z*[0]`",
    "step": "aligned with `z*[1]`",
    "length": "significant in `z*[0]` and `z*[1]`",
    "final": "significant in `z*[0]` and `z*[1]`",
}
REPORT_FIGURE_12 = {
    "start": "more by `z*[1]` than by `z*[0]`",
    "step": "more by `z*[1]` than by `z*[0]`",
    "length": "by `z*[0]` and by `z*[1]`, little by the rest",
    "final": "by `z*[0]` and by `z*[1]`, little by the rest",
}

RESULTS = {
    "vae-mnist": [
        *vae_results(0.01904, 8, "MNIST"),
        Result(
            "5.1.1", "MSE of a thesis that the report cites", 0.02033, "test.mse", "lower", ".5f"
        ),
    ],
    "vae-mnist-r": vae_results(0.01879, 12, "MNIST-R"),
    "vae-sequences": [
        Result(
            "5.1.2, Figure 5",
            "mean absolute error per number (report: its 4 examples)",
            11.45,
            "test.mean_absolute_error",
            "lower",
        ),
        Result(
            "5.1.2, Figure 5", "length exact (same 4)", 0.5, "test.length_exact", "higher", ".4f"
        ),
        Result(
            "5.1.2, Figure 5",
            "median step exact, rounded (same 4)",
            0.75,
            "test.median_step_exact",
            "higher",
            ".4f",
        ),
        Result(
            "5.1.2, Figure 5",
            "mean absolute error at the 1st, 5th, 10th, 20th and 30th number",
            "falls along the sequence",
            lambda metrics: [
                metrics["test"]["absolute_error_by_place"][place] for place in (0, 4, 9, 19, 29)
            ],
        ),
        Result("6", "whole sequence exact, rounded", '"unlikely"', "test.whole_exact"),
        Result("", "KL of each dimension, nats", None, "test.kl_per_dimension", form=".2f"),
        Result("", "seconds of training", None, "training_seconds", form=".0f"),
    ],
    "oracles-mnist": [Result("", "digits, test accuracy", None, "test.accuracy", form=".4f")],
    "oracles-mnist-r": [
        Result("", "rotated digits, test accuracy", None, "test.accuracy", form=".4f"),
        Result(
            "",
            "median error of the rotation, degrees",
            None,
            "test.median_error",
            form=".1f",
        ),
    ],
    "ilvm-mnist": MNIST_LENS[:6],
    "filvm-mnist-report": MNIST_LENS,
    "filvm-mnist": MNIST_LENS,
    "filvm-mnist-r-report": ROTATED_LENS,
    "filvm-mnist-r": ROTATED_LENS,
    "filvm-sequences-report": sequence_lens_results(
        REPORT_FIGURE_9, REPORT_FIGURE_12, ("start", "step")
    ),
    "filvm-sequences-start-step": sequence_lens_results(
        REPORT_FIGURE_9, REPORT_FIGURE_12, ("start", "step")
    ),
    "filvm-sequences": sequence_lens_results(
        {"length": "proposed as side information in section 6, not tried"},
        {},
        ("start", "step", "length"),
    ),
    "flow-density": [
        Result(
            "5.2",
            "attempts that ended finite, for each number of flows",
            "1 of 20 with 32",
            lambda metrics: _by_length(metrics, "{finite} of {attempts}"),
        ),
        Result(
            "5.2, Figure 6",
            "KL(q || p) of the best attempt, nats",
            None,
            lambda metrics: _by_length(metrics, "{best_kl:.4f}"),
        ),
        Result(
            "5.2",
            "attempts with KL below 0.3, which found both modes",
            None,
            lambda metrics: _by_length(metrics, "{both_modes} of {attempts}"),
        ),
    ],
}


def write_results(workspace: Workspace, path: Path) -> None:
    """Write `results_markdown` to a file."""
    with replacing(path) as temporary:
        temporary.write_text(results_markdown(workspace), "utf-8")


def results_markdown(workspace: Workspace) -> str:
    """The tables for the profile of `workspace`, from the runs that are complete."""
    lines = [
        f"# Results, profile `{workspace.profile}`",
        "",
        "What the report (Nickerson, *Interpretable dimensionality reduction for high-dimensional",
        "and unstructured data*) gives, and what this package measured on held-out data.",
        "",
    ]
    for name in EXPERIMENTS:
        run = workspace.run(name)
        rows = RESULTS.get(name, [])
        if run.digest() is None or not rows:
            continue
        lines += [f"## {name}", ""]
        if note := sample_note(workspace, [name]):
            lines += [f"**{note}**", ""]
        lines += ["| report's section | what | report | ours | |", "|---|---|---|---|---|"]
        cells = [
            [cell.replace("|", "\\|") for cell in result.row(run.metrics())] for result in rows
        ]
        lines += [f"| {' | '.join(row)} |" for row in cells]
        lines.append("")
    lines += claims_table(workspace)
    return "\n".join(lines)

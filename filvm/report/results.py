"""RESULTS.md: each value that the report gives beside the value measured here.

The rows are in `results.csv`, with the columns `experiment`, `section` (of the report), `what`,
`report` (its value: a number, words, or nothing), `path` (through the metrics; see
`filvm.report.tables`), `better` (lower, higher, or nothing where values are not compared) and
`format`.
"""

from __future__ import annotations

from pathlib import Path
from statistics import fmean

import pandas as pd

from filvm.experiments import EXPERIMENTS
from filvm.experiments.seeds import every_seed
from filvm.files import write_text
from filvm.report.claims import VERDICTS, claims_table
from filvm.report.registry import sample_note
from filvm.report.tables import markdown_table, over_seeds, text_of, value_at
from filvm.runs.run import RunError
from filvm.runs.workspace import QUICK_DIGITS, Workspace

INTRODUCTION = """# Results, profile `{profile}`

The values that the report (Nickerson, *Interpretable dimensionality reduction for high-dimensional
and unstructured data*) gives, and those that this package measured on held-out data. `surpassed`:
ours is better than the report's; `not reached`: it is not. The sign of an axis is a convention, so
Spearman's correlations are along the direction in which a number rises on its own dimension.
`ours` is of seed 0, as the figures are. `make seeds` trains every VAE and lens with two more seeds,
each lens on the VAE of its seed. Where they are complete, a column has the mean ± the standard
deviation, and the mean is compared with the report.
"""

QUICK = """The quick profile uses the first {:,} training and the first {:,} test digits of MNIST.
"""


def results_rows() -> pd.DataFrame:
    """The rows of `results.csv`, all as text."""
    return pd.read_csv(Path(__file__).with_name("results.csv"), dtype=str, keep_default_na=False)


def results_table(workspace: Workspace, name: str) -> pd.DataFrame:
    """The table of one finished experiment: report's value, our value, and their comparison.

    Where other seeds of it are complete, a column has the mean and the deviation over all, and the
    mean is compared.

    Raises:
        RunError: the run is not complete, or its metrics lack a path of `results.csv`.
    """
    rows = results_rows().query("experiment == @name")
    metrics = [run.metrics() for run in every_seed(workspace, name)]
    profile = workspace.profile  # a shorter training is no evidence that a level is out of reach
    behind = "not reached" if profile == "full" else f"{profile} profile: not comparable"
    table = []
    for row in rows.itertuples():
        values = [value_at(m, row.path, name) for m in metrics]
        numbers = values if all(isinstance(value, int | float) for value in values) else []
        report, verdict = row.report or "-", ""
        level = pd.to_numeric(row.report, errors="coerce")
        if not pd.isna(level):
            report = text_of(float(level), row.format)
            if row.better:
                mean = fmean(numbers)
                ahead = mean < level if row.better == "lower" else mean > level
                verdict = "surpassed" if ahead else behind
        spread = over_seeds(numbers, row.format) if numbers else ""
        table.append(
            [row.section, row.what, report, text_of(values[0], row.format), spread, verdict]
        )
    seeds = f"{len(metrics)} seeds"
    columns = ["report's section", "what", "report", "ours", seeds, ""]
    made = pd.DataFrame(table, columns=columns)
    return made if len(metrics) > 1 else made.drop(columns=seeds)


def results_markdown(workspace: Workspace) -> str:
    """The tables of all experiments that are complete, and the claims, as a Markdown page.

    Raises:
        RunError: no experiment is complete.
    """
    parts = [INTRODUCTION.format(profile=workspace.profile)]
    if workspace.profile == "quick":
        parts.append(QUICK.format(*QUICK_DIGITS))
    with_rows = set(results_rows()["experiment"])
    complete = [name for name in EXPERIMENTS if workspace.run(name).digest() is not None]
    if not with_rows.intersection(complete):
        raise RunError(
            f"{workspace.folder} holds no complete run: `make reproduce-figures` makes all of them"
        )
    for name in complete:
        if name in with_rows:
            note = sample_note(workspace, [name])
            table = markdown_table(results_table(workspace, name))
            parts += [f"## {name}\n", *([f"**{note}**\n"] if note else []), f"{table}\n"]
    claims = claims_table(workspace)
    if len(claims):
        parts += ["## Statements of the report\n", f"{VERDICTS}\n", f"{markdown_table(claims)}\n"]
    return "\n".join(parts)


def write_results(workspace: Workspace, path: Path) -> None:
    """Write `results_markdown` to a file."""
    write_text(path, results_markdown(workspace))

"""The ablations as a table, a figure and a page: the worth of each part of the FILVM."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from filvm.experiments import ABLATIONS
from filvm.figures.ablations import ablations_figure
from filvm.files import replacing
from filvm.report.figures import save
from filvm.report.tables import markdown_table, value_at
from filvm.runs.workspace import Workspace

BASELINE = "FILVM, ours"
MEASURES = {  # column: path through the metrics
    "digit from z*[0]": "test.codes.alignment.digit.accuracy",
    "digit from the others": "test.sampled_codes.leakage.digit.accuracy",
    "digit MIG": "test.codes.mig.per_factor.digit",
    "thickness Spearman": "test.codes.alignment.thickness.spearman",
    "thickness aligned MIG": "test.codes.aligned_mig.per_factor.thickness",
    "digit on request": "manipulation.on_request.agreement",
    "sweep increasing": "manipulation.thickness_sweep.strictly_increasing",
    "digit changed": "manipulation.changed_digit.agreement",
    "thickness kept": "manipulation.changed_digit.correlation",
}
INTRODUCTION = """# Ablations

What each part of the FILVM on MNIST is worth: mean ± standard deviation over {seeds} seeds of the
lens, on the same VAE. Test digits, side information withheld. "Digit from the others": accuracy of
gradient boosted trees or a kernel machine on all dimensions but z*[0] of a z* drawn from q(z*|z)
(chance 0.11). "Sweep increasing": the share of digits whose stroke gets thicker at every one of ten
steps of z*[1] from -3 to 3. The other measures are those of `RESULTS.md`. Without positive slopes,
thickness may grow or fall along z*[1], and the sign of its Spearman correlation varies. An ILVM has
no dimension of its own for an attribute, so manipulations are not measured.

"""


def ablations_table(workspace: Workspace, names: Iterable[str] = tuple(ABLATIONS)) -> pd.DataFrame:
    """One row for every variant and seed: `variant`, `seed`, and a column for each of `MEASURES`.

    Manipulations of an ILVM are nan.

    Raises:
        RunError: a run is missing, or its metrics lack a measure.
    """
    rows = []
    for name in names:
        variant, seed = ABLATIONS[name].summary.rsplit(", seed ", 1)
        metrics = workspace.run(name).metrics()
        values = {
            column: float("nan")
            if path.startswith("manipulation.") and metrics["manipulation"] == {}
            else value_at(metrics, path, name)
            for column, path in MEASURES.items()
        }
        rows.append({"variant": variant, "seed": int(seed), **values})
    return pd.DataFrame(rows)


def ablations_markdown(table: pd.DataFrame) -> str:
    """Mean and standard deviation over the seeds, as a Markdown page; "-" for what is nan."""
    groups = table.drop(columns="seed").groupby("variant", sort=False)
    mean, spread = (part.map("{:.3f}".format) for part in (groups.mean(), groups.std()))
    cells = (mean + " ± " + spread).where(groups.mean().notna(), "-").rename_axis(None)
    return INTRODUCTION.format(seeds=table["seed"].nunique()) + markdown_table(cells, index=True)


def draw_ablations(table: pd.DataFrame, folder: Path) -> None:
    """Write the table of `ablations_table` as ablations.png, .csv and .md."""
    save(ablations_figure(table, baseline=BASELINE), folder / "ablations.png")
    texts = {".csv": table.to_csv(index=False), ".md": ablations_markdown(table) + "\n"}
    for suffix, text in texts.items():
        with replacing(folder / f"ablations{suffix}") as temporary:
            temporary.write_text(text, "utf-8")

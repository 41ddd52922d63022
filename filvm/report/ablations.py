"""The ablations as tables, figures and a page: the worth of each part of the FILVM."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd
from matplotlib.figure import Figure

from filvm.experiments.ablations import (
    NOT_SCALED,
    OURS,
    REPORTED,
    SEEDS,
    AblationStudy,
    ablation_name,
    alone,
    left_out,
)
from filvm.experiments.catalogue import ABLATION_STUDIES, ABLATIONS
from filvm.experiments.settings import AMENDMENTS
from filvm.figures.ablations import ablations_figure
from filvm.files import write_text
from filvm.report.effects import (
    Measure,
    changes_table,
    changes_text,
    effects,
    verdicts_table,
    verdicts_text,
)
from filvm.report.registry import sample_note, save
from filvm.report.tables import markdown_table, over_seeds, value_at
from filvm.runs.run import RunError
from filvm.runs.workspace import Workspace

LOWER = -1  # lower values are better


def _digits(number: str) -> tuple[Measure, ...]:
    """Measures of a lens whose attributes are digit and `number`."""
    codes, draws = "test.codes", "test.sampled_codes"
    return (
        Measure("digit from z*[0]", f"{codes}.alignment.digit.accuracy"),
        Measure(f"{number} Spearman", f"{codes}.alignment.{number}.spearman"),
        Measure("digit from the rest, draws", f"{draws}.leakage.digit.accuracy", LOWER),
        Measure("digit from the rest, centres", f"{codes}.leakage.digit.accuracy", LOWER),
        Measure(f"{number} from the rest, centres", f"{codes}.leakage.{number}.r2", LOWER),
        Measure("digit on request", "manipulation.on_request.agreement"),
        Measure("digit changed", "manipulation.changed_digit.agreement"),
        Measure(f"{number} kept", "manipulation.changed_digit.correlation"),
        Measure("image error", "test.after_the_lens.mse", LOWER, ".4f", 0.0005),
    )


def _numbers(names: tuple[str, ...]) -> tuple[Measure, ...]:
    """Measures of a lens on sequences."""
    after = "test.after_the_lens"
    return (
        *(Measure(f"{n} Spearman", f"test.codes.alignment.{n}.spearman") for n in names),
        *(
            Measure(f"{n} from the rest, {of}", f"test.{codes}.leakage.{n}.r2", LOWER)
            for of, codes in (("draws", "sampled_codes"), ("centres", "codes"))
            for n in names
        ),
        Measure("error per number", f"{after}.mean_absolute_error", LOWER, ".2f", 0.1),
        Measure("length exact", f"{after}.length_exact"),
    )


MEASURES = {
    "mnist": _digits("thickness"),
    "mnist-r": (
        *_digits("rotation"),
        Measure(
            "rotation error on request",
            "manipulation.on_request.median_absolute_error",
            LOWER,
            ".1f",
            0.5,
        ),
    ),
    "sequences": _numbers(("start", "step")),
}
INTRODUCTION = """# Ablations

What is each part of the FILVM worth? Every row of a table is one recipe, trained with several seeds
on the latents of one VAE. A cell is the mean ± standard deviation over the seeds. All measures are
taken on test data, with side information withheld.

- *The report's recipe* has the terms of the report's section 2.3, with the beta and the scaling of
  numbers that were tuned for the data set. *Numbers not scaled* has a scaling of 1, which is the
  tuned one on MNIST.
- *With ... alone* adds one amendment to the report's recipe. The weights of swap consistency and of
  independence are those of ours, scaled to the report's terms.
- *Ours* has all amendments and weights of its own. *Without ...* takes out one amendment.

Trainings are shorter than those of `RESULTS.md`, with the same factor for all rows of a table, so
values are worse than there. Rows of one table can be compared with each other.

The measures:

- *digit from z\\*[0]*: accuracy of nearest neighbours that read the digit from its own dimension.
- *Spearman*: correlation of an attribute with its own dimension, without its sign, because the
  direction of an axis is a convention.
- *from the rest*: accuracy (digit, chance 0.11) or R2 (number, chance 0) of gradient boosted trees
  or a kernel machine, the better one, that read the attribute from all dimensions but its own.
  *Draws* are drawn from q(z\\*|z); *centres* are the z\\* that `encode` returns.
- *digit on request*: z\\*[0] is set to a digit, the other dimensions are drawn from N(0, 1). Share
  of images in which a classifier finds that digit. On MNIST-R, *rotation error on request* is the
  median error of an angle that is set, too, in degrees.
- *digit changed*: z\\*[0] of test digits is set to another digit. Share of images in which a
  classifier finds it. *Thickness kept*, *rotation kept*: correlation of this attribute before and
  after the change.
- *image error*: mean squared error per pixel after x to z to z\\* to z to x. For sequences, *error
  per number* is the absolute error, and *length exact* the share of lengths without an error.

An ILVM has no dimension of its own for an attribute. The dimension with the most mutual information
takes its place, and nothing is changed or requested.
"""
VERDICTS = """
## Which parts pay

A change counts, and is bold in the tables below, if it exceeds twice the larger standard deviation
of the two rows that are compared, and the smallest change that matters: {matters}.
A part *pays* if it improves at least one measure and worsens none, *pays at a price* if it improves
some and worsens others, *costs* if it only worsens some, and has *no effect* if no change counts.

"""


def complete_seeds(workspace: Workspace, data: str) -> list[int]:
    """The seeds with which all variants of a data set have been trained."""
    study = ABLATION_STUDIES[data]
    return [seed for seed in SEEDS if all(_done(workspace, data, v, seed) for v in study.variants)]


def _done(workspace: Workspace, data: str, variant: str, seed: int) -> bool:
    return workspace.run(ablation_name(data, variant, seed)).digest() is not None


def ablations_table(workspace: Workspace, data: str) -> pd.DataFrame:
    """One row for every variant and complete seed of a data set.

    Returns:
        Columns `variant`, `seed` and the names of `MEASURES`. Manipulations of an ILVM are nan.

    Raises:
        RunError: a run is out of date, or its metrics lack a measure.
    """
    rows = []
    seeds = complete_seeds(workspace, data)
    for variant in ABLATION_STUDIES[data].variants:
        for seed in seeds:
            name = ablation_name(data, variant, seed)
            metrics = workspace.run(name).metrics()
            values = {
                measure.name: float("nan")
                if measure.path.startswith("manipulation.") and metrics.get("manipulation") == {}
                else value_at(metrics, measure.path, name)
                for measure in MEASURES[data]
            }
            rows.append({"variant": variant, "seed": seed, **values})
    return pd.DataFrame(rows)


def ablations_tables(workspace: Workspace) -> dict[str, pd.DataFrame]:
    """The table of every data set that has a complete seed.

    Raises:
        RunError: there is no such data set.
    """
    found = {data: ablations_table(workspace, data) for data in ABLATION_STUDIES}
    found = {data: table for data, table in found.items() if len(table)}
    if not found:
        raise RunError(
            f"{workspace.folder / 'ablations'} is not a complete run of the ablations of any data "
            "set; expected all variants of one seed: "
            f"`make ablations PROFILE={workspace.profile}` trains them"
        )
    return found


def without_signs(table: pd.DataFrame) -> pd.DataFrame:
    """The table with the size of each Spearman correlation: an axis may run either way."""
    return table.assign(**{name: table[name].abs() for name in table if "Spearman" in name})


def table_markdown(table: pd.DataFrame, measures: tuple[Measure, ...]) -> str:
    """Mean ± standard deviation over the seeds; "-" for what is nan."""

    def cell(values: pd.Series, form: str) -> str:
        known = values.dropna().tolist()
        return over_seeds(known, form) if known else "-"

    groups = table.groupby("variant", sort=False)
    cells = {one.name: groups[one.name].agg(cell, form=one.form) for one in measures}
    return markdown_table(pd.DataFrame(cells).rename_axis(None), index=True)


def directions_text(table: pd.DataFrame, study: AblationStudy) -> str:
    """How often an axis falls while its attribute grows, with and without positive slopes."""
    falls = (table.filter(like="Spearman") < 0).any(axis=1)
    positive = table["variant"].map(lambda v: getattr(study.variants[v], "positive_slopes", None))
    plain = table["variant"].map(lambda v: getattr(study.variants[v], "lens", "") == "filvm")
    counts = [falls[plain & (positive == value)] for value in (False, True)]
    free, slopes = (f"{int(count.sum())} of {len(count)} trainings" for count in counts)
    return (
        f"Without positive slopes, an axis falls while its attribute grows in {free}; with them, "
        f"in {slopes}."
    )


def study_markdown(data: str, table: pd.DataFrame, profile: str) -> str:
    """The section of one data set: table, figure, and the changes by each part."""
    study, measures = ABLATION_STUDIES[data], MEASURES[data]
    seeds = table["seed"].nunique()
    ours = ABLATIONS[ablation_name(data, OURS, 0)].profiles[profile]
    full = study.variants[OURS]
    limited = ours.train_limit and ours.train_limit != full.train_limit
    only = f" All use the first {ours.train_limit:,} {study.samples}." if limited else ""
    found = effects(without_signs(table), measures)
    parts = [
        f"## {study.title}",
        f"{seeds} seed{'s' * (seeds > 1)} of {len(study.variants)} recipes. Ours has "
        f"{ours.steps:,} steps of {ours.batch_size} samples; its full training has {full.steps:,} "
        f"of {full.batch_size}.{only} Measured on {ours.test_limit:,} test {study.samples}.",
        table_markdown(without_signs(table), measures),
        f"![Every recipe and seed on {study.title}]({figure_name(data)})",
    ]
    if seeds > 1:
        parts += [f"What each part changes on {study.title}:", changes_table(found)]
        parts += [changes_text(found)]
    else:
        parts += ["With one seed the spread is unknown, so no change is judged."]
    return "\n\n".join([*parts, directions_text(table, study)]) + "\n"


def figure_name(data: str) -> str:
    """The file of a data set's figure."""
    return f"ablations_{data}.png"


def ablations_markdown(workspace: Workspace, tables: Mapping[str, pd.DataFrame]) -> str:
    """The whole page."""
    parts = [INTRODUCTION]
    for data, study in ABLATION_STUDIES.items():
        if data not in tables:
            done = sum(_done(workspace, data, v, s) for v in study.variants for s in SEEDS)
            parts.append(
                f"\n{study.title} is left out: {done} of {len(study.variants) * len(SEEDS)} "
                f"trainings are complete, and no seed has all {len(study.variants)} recipes.\n"
            )
    judged = {
        ABLATION_STUDIES[data].title: effects(without_signs(table), MEASURES[data])
        for data, table in tables.items()
        if table["seed"].nunique() > 1
    }
    if judged:
        verdicts = verdicts_table(judged)
        parts.append(VERDICTS.format(matters=_smallest(tables)))
        parts.append(f"{markdown_table(verdicts, index=True)}\n\n{verdicts_text(verdicts)}\n")
    parts += [f"\n{study_markdown(d, table, workspace.profile)}" for d, table in tables.items()]
    names = [ablation_name(d, OURS, int(table["seed"].iloc[0])) for d, table in tables.items()]
    if note := sample_note(workspace, names):
        parts.append(f"\n{note}\n")
    return "".join(parts)


def _smallest(tables: Mapping[str, pd.DataFrame]) -> str:
    """The smallest changes that count, in words."""
    names: dict[float, str] = {}
    for data in tables:
        for measure in MEASURES[data]:
            names.setdefault(measure.matters, measure.name)
    usual = Measure.matters
    others = (f"{size:g} ({name})" for size, name in names.items() if size != usual)
    return ", ".join([f"{usual:g}", *others])


def study_figure(data: str, table: pd.DataFrame) -> Figure:
    """The figure of one data set."""
    return ablations_figure(
        without_signs(table),
        {
            REPORTED: [NOT_SCALED, *(alone(name) for name in AMENDMENTS)],
            OURS: [left_out(name) for name in AMENDMENTS],
        },
        lower=[measure.name for measure in MEASURES[data] if measure.better == LOWER],
    )


def draw_ablations(workspace: Workspace, folder: Path) -> list[Path]:
    """Write ablations.md, ablations.csv and a figure for each data set; return their paths.

    Raises:
        RunError: no data set has a complete seed, a run is out of date, or metrics lack a measure.
    """
    tables = ablations_tables(workspace)
    written = []
    for data, table in tables.items():
        written.append(folder / figure_name(data))
        save(study_figure(data, table), written[-1])
    long = pd.concat(
        table.melt(["variant", "seed"], var_name="measure").assign(data=data)
        for data, table in tables.items()
    )
    texts = {
        "ablations.csv": long[["data", "variant", "seed", "measure", "value"]].to_csv(index=False),
        "ablations.md": ablations_markdown(workspace, tables),
    }
    for name, text in texts.items():
        written.append(folder / name)
        write_text(written[-1], text)
    return written

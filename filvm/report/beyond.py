"""Beyond the report: the invertible lens beside the FILVM, words, and six attributes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from filvm.experiments.catalogue import COMPARED
from filvm.experiments.digits import AR_VAE
from filvm.experiments.seeds import every_seed
from filvm.figures.manipulation import traversals_figure
from filvm.figures.reconstructions import image_rows_figure
from filvm.figures.trade_off import TradeOff, trade_off_figure
from filvm.files import write_text
from filvm.report import arrays
from filvm.report.registry import save
from filvm.report.tables import markdown_table, over_seeds, value_at
from filvm.report.words import WORDS_LIMITS, draw_words, words_introduction
from filvm.runs.workspace import Workspace

INTRODUCTION = """# Beyond the report

Section 6 of the report: neither ILVM nor FILVM can take an edited z* back to z, because the flow's
parameters depend on the sample. An `InvertibleLens` has one invertible flow for all samples. Both
lenses were trained on the same latents and are measured on test data, side information withheld.
"Changed and back": an attribute of every sample is changed (the digit; the rotation; the start), z*
is inferred from the changed z, and the attribute's dimension is set back to its first value.

![Digits of each class changed into a 3 and back, by both lenses](undone.png)

An edit costs fidelity: what z* does not keep, the edited observation loses. The figure compares
this cost with the two gains; every seed is a mark.

![Image error of each lens against digits on request and leakage](trade_off.png)

Where a column names several seeds, a cell is the mean ± the standard deviation over trainings of
the VAE and the lens (`make seeds`).

"""
ENCODERS_INTRODUCTION = """## What the sequence encoder is given

The encoder of `vae-sequences` gets the differences of neighbouring numbers beside the numbers; the
report's gets the numbers alone. Both VAEs had the same training.

"""
MORPHO_INTRODUCTION = """## Six attributes: thickness, area, length, slant, width, height

An FILVM on the 16 latents of a VAE of MNIST. The measures are those of AR-VAE's paper (Pati and
Lerch 2020, table 2; mutual information by nearest neighbours), on draws of z* and on its means. The
published values are for re-binarised digits. An AR-VAE that was tuned on ours is above FILVM in SCC
and MIG, and below it in the others: [ar_vae.md](ar_vae.md).

In the figure, each attribute of one digit runs from its 1st to its 99th percentile. The other five
follow as they do among training digits, because no digit has a thicker stroke of the same length
and area.

![One digit along each attribute: asked above, measured below](traversals.png)

"""
ENCODERS = {  # the input of the encoder -> experiment
    "numbers": "vae-sequences-plain",
    "numbers and differences": "vae-sequences",
}
RECONSTRUCTED = {  # what a sequence VAE keeps, its path through the metrics -> format
    ("mean absolute error per number", "test.mean_absolute_error"): ".3f",
    ("length exact", "test.length_exact"): ".4f",
    ("median step exact, rounded", "test.median_step_exact"): ".4f",
    ("whole sequence exact, rounded", "test.whole_exact"): ".3f",
    ("KL term, nats", "test.kl"): ".1f",
}
VARIETY = {
    "requested digits: recall of real ones in the oracle's features": (
        "manipulation.diversity.requested_recall"
    ),
    "requested with z*[0] of real samples of the digit: the oracle agrees": (
        "manipulation.varied_requests.agreement"
    ),
    "the same: recall": "manipulation.diversity.varied_recall",
    "the same of reconstructions by the VAE": "manipulation.diversity.reconstructed_recall",
}
LINES = {  # by data set: a line of the table, and its path through the metrics
    "mnist": {
        "digit from z*[0] by its head": "way_back.heads.digit",
        "thickness, mean absolute error by its head, px": "way_back.heads.thickness",
        "Spearman of z*[1] with thickness": "test.along.thickness",
        "digit from the other dimensions, draws": "test.sampled_codes.leakage.digit.accuracy",
        "the same, centres": "test.codes.leakage.digit.accuracy",
        "digit on request, the rest random: the oracle agrees": "manipulation.on_request.agreement",
        **VARIETY,
        "thickness of real samples swept: it grows at every step": (
            "manipulation.thickness_sweep.strictly_increasing"
        ),
        "the same: digit kept": "manipulation.thickness_sweep.digit_kept",
        "digit of a real sample changed: the oracle agrees": "manipulation.changed_digit.agreement",
        "the same: correlation of thickness": "manipulation.changed_digit.correlation",
        "MSE per pixel after x to z to z* to z to x": "test.after_the_lens.mse",
        "the same: the VAE alone": "test.after_the_lens.mse_vae",
    },
    "mnist-r": {
        "digit from z*[0] by its head": "way_back.heads.digit",
        "rotation, mean absolute error by its head, degrees": "way_back.heads.rotation",
        "Spearman of z*[1] with rotation": "test.along.rotation",
        "digit from the other dimensions, draws": "test.sampled_codes.leakage.digit.accuracy",
        "the same, centres": "test.codes.leakage.digit.accuracy",
        "digit on request, the rest random: the oracle agrees": "manipulation.on_request.agreement",
        "the same, without 6 and 9 read as each other": "manipulation.on_request.agreement_apart",
        "the same: median error of the rotation, degrees": (
            "manipulation.on_request.median_absolute_error"
        ),
        **VARIETY,
        "rotation of real samples swept: it grows at every step": (
            "manipulation.rotation_sweep.strictly_increasing"
        ),
        "the same: digit kept": "manipulation.rotation_sweep.digit_kept",
        "digit of a real sample changed: the oracle agrees": "manipulation.changed_digit.agreement",
        "the same: correlation of the rotation": "manipulation.changed_digit.correlation",
        "MSE per pixel after x to z to z* to z to x": "test.after_the_lens.mse",
        "the same: the VAE alone": "test.after_the_lens.mse_vae",
    },
    "sequences": {
        "Spearman of z*[0] with start": "test.along.start",
        "Spearman of z*[1] with step": "test.along.step",
        "Spearman of z*[2] with length": "test.along.length",
        **{
            f"R2 of {name} from the other dimensions, {of}": f"test.{codes}.leakage.{name}.r2"
            for name in ("start", "step", "length")
            for of, codes in (("draws", "sampled_codes"), ("centres", "codes"))
        },
        "error per number after z to z* and back": "test.after_the_lens.mean_absolute_error",
        "length exact after z to z* and back": "test.after_the_lens.length_exact",
    },
    "words": {
        "the judge on real words: language": "test.judge_accuracy",
        "language from z*[0] by its head": "way_back.heads.language",
        "language read from z*[0] alone": "test.codes.alignment.language.accuracy",
        "language from the other dimensions": "test.sampled_codes.leakage.language.accuracy",
        "Spearman of z*[1] with length": "test.along.length",
        "words right after z to z* and back": "test.words_right.lens",
        "language on request, the rest random: the judge agrees": (
            "manipulation.on_request.language"
        ),
        "the same: length exact": "manipulation.on_request.length_exact",
        "the same: real words of any of the languages": "manipulation.on_request.real",
        "the same: words of the training list": "manipulation.on_request.in_training",
        "language of a real word changed: the judge agrees": (
            "manipulation.changed_language.language"
        ),
        "the same: length kept exactly": "manipulation.changed_language.length_exact",
        "the same, changed back: the first word again": "manipulation.changed_language.returned",
    },
}
ERRORS = {  # of every data set
    "largest error of z after z to z* and back, standard deviations": "way_back.round_trip",
    "largest error of z, changed and back, standard deviations": "way_back.latents",
    "largest error of an observation, changed and back": "way_back.observed.largest",
    "the same, mean over the samples": "way_back.observed.mean",
}


TRADE_OFF = {  # attribute of a `TradeOff` -> its path through the metrics
    "error": "test.after_the_lens.mse",
    "error_of_vae": "test.after_the_lens.mse_vae",
    "on_request": "manipulation.on_request.agreement",
    "leakage": "test.codes.leakage.digit.accuracy",
}


def metrics_of_seeds(workspace: Workspace, lenses: Mapping[str, str]) -> dict[str, list[Any]]:
    """The metrics of every seed that is complete, by the lens's title with the number of seeds.

    Args:
        workspace: has the runs.
        lenses: title -> experiment.
    """
    found = {}
    for title, name in lenses.items():
        runs = every_seed(workspace, name)
        seeds = f", {len(runs)} seeds" if len(runs) > 1 else ""
        found[f"{title}{seeds}"] = [run.metrics() for run in runs]
    return found


def comparison_table(task: str, metrics: Mapping[str, Sequence[Any]]) -> pd.DataFrame:
    """The lines of one data set, a column for each lens; see `columns_of`."""
    forms = {
        **{line: ".4f" if "mse" in line[1] else ".3f" for line in LINES[task].items()},
        **dict.fromkeys(ERRORS.items(), ".1e"),
        ("seconds of training", "training_seconds"): ".0f",
    }
    return columns_of(metrics, forms, f" on {task}")


def columns_of(
    metrics: Mapping[str, Sequence[Any]], forms: Mapping[tuple[str, str], str], where: str = ""
) -> pd.DataFrame:
    """Values of metrics as text: a row for each of `forms`, a column for each of `metrics`.

    Args:
        metrics: the column's title -> metrics of its run, or of several seeds.
        forms: (the row's title, path through the metrics) -> format.
        where: follows the column's title where a value is missing.
    """
    return pd.DataFrame(
        {
            title: {
                what: over_seeds([value_at(m, path, f"{title}{where}") for m in measured], form)
                for (what, path), form in forms.items()
            }
            for title, measured in metrics.items()
        }
    )


def morpho_table(test: Mapping[str, Mapping[str, float]]) -> pd.DataFrame:
    """AR-VAE's five measures: published, and of filvm-mnist-morpho on draws and on means."""
    rows = {
        "AR-VAE as published, draws": AR_VAE,
        "FILVM, draws": test["sampled_codes"],
        "FILVM, means": test["codes"],
    }
    return pd.DataFrame(rows).T[list(AR_VAE)].map("{:.3f}".format)


def beyond_markdown(workspace: Workspace) -> str:
    """All tables as a Markdown page.

    Raises:
        RunError: a run is not complete, or its metrics lack a value.
    """
    parts = [INTRODUCTION]
    for task, lenses in COMPARED.items():
        if task == "words":
            parts.append(words_introduction(workspace))
        metrics = metrics_of_seeds(workspace, lenses)
        title = "" if task == "words" else f"## {task}\n\n"
        table = markdown_table(comparison_table(task, metrics), index=True)
        parts.append(f"{title}{table}\n\n")
        if task == "words":
            parts.append(WORDS_LIMITS)
        if task == "sequences":
            measured = {given: [workspace.run(name).metrics()] for given, name in ENCODERS.items()}
            table = markdown_table(columns_of(measured, RECONSTRUCTED), index=True)
            parts.append(f"{ENCODERS_INTRODUCTION}{table}\n\n")
    test = workspace.run("filvm-mnist-morpho").metrics()["test"]
    parts += [MORPHO_INTRODUCTION, markdown_table(morpho_table(test), index=True), "\n"]
    return "".join(parts)


def trade_offs(workspace: Workspace) -> list[TradeOff]:
    """The lenses on MNIST and on rotated digits with every seed that is complete."""
    found = []
    for task, title in (("mnist", "MNIST"), ("mnist-r", "MNIST-R")):
        for lens, name in COMPARED[task].items():
            for run in every_seed(workspace, name):
                metrics = run.metrics()
                values = {key: value_at(metrics, path, name) for key, path in TRADE_OFF.items()}
                found.append(TradeOff(title, lens, **values))
    return found


def draw_beyond(workspace: Workspace, folder: Path) -> None:
    """Write beyond.md and its figures into `folder`, from finished runs."""
    save(image_rows_figure(arrays.undone_examples(workspace)), folder / "undone.png")
    save(trade_off_figure(trade_offs(workspace)), folder / "trade_off.png")
    save(traversals_figure(arrays.traversals(workspace), arrays.UNITS), folder / "traversals.png")
    draw_words(workspace, folder)
    write_text(folder / "beyond.md", beyond_markdown(workspace))

"""Beyond the report: the lens that can be undone beside the FILVM, and six attributes at once."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from filvm.experiments import Workspace, invertible, lens_morpho
from filvm.figures.reconstructions import image_rows_figure
from filvm.files import replacing
from filvm.report.results import at

INTRODUCTION = """# Beyond the report

Section 6 of the report: neither ILVM nor FILVM can take an edited z* back to z, for the flow's
parameters depend on the sample. An `InvertibleLens` has one invertible flow for all samples. Both
lenses were trained on the same latents and are measured on test data, side information withheld.
"Changed and back": an attribute of every sample is changed (the digit; the rotation; the start),
z* of what comes of it is inferred anew, and the dimension is put back.

![Digits of each class made into a 3 and back, by both lenses](undone.png)

"""
MORPHO_INTRODUCTION = """
## Six attributes: thickness, area, length, slant, width, height

An FILVM on the 16 latents of a VAE of MNIST, measured on test digits as AR-VAE is in its paper
(Pati and Lerch 2020, table 2; mutual information by nearest neighbours), on draws of z* and on its
means. Theirs are of re-binarised digits; `benchmarks/ar_vae.py` trains AR-VAE on these.

In the figure one digit has each attribute in turn from the 1st to the 99th percentile; the other
five follow as they do among digits, for a thicker stroke of the same length and area there is not.

![One digit along each attribute: asked above, measured below](traversals.png)

"""
LINES = {  # of each data set; what a line says: the way to it through the metrics
    "mnist": {
        "digit from z*[0] by its head": "way_back.heads.digit",
        "thickness, mean absolute error by its head, px": "way_back.heads.thickness",
        "Spearman of z*[1] with thickness": "test.codes.alignment.thickness.spearman",
        "digit from the other dimensions": "test.sampled_codes.leakage.digit.accuracy",
        "digit on request, the rest random: the oracle agrees": "manipulation.on_request.agreement",
        "digit of a real sample changed: the oracle agrees": "manipulation.changed_digit.agreement",
        "the same: correlation of thickness": "manipulation.changed_digit.correlation",
    },
    "mnist-r": {
        "digit from z*[0] by its head": "way_back.heads.digit",
        "rotation, mean absolute error by its head, degrees": "way_back.heads.rotation",
        "Spearman of z*[1] with rotation": "test.codes.alignment.rotation.spearman",
        "digit on request, the rest random: the oracle agrees": "manipulation.on_request.agreement",
        "the same, 6 and 9 apart": "manipulation.on_request.agreement_apart",
        "the same: median error of the rotation, degrees": (
            "manipulation.on_request.median_absolute_error"
        ),
    },
    "sequences": {
        "Spearman of z*[0] with start": "test.codes.alignment.start.spearman",
        "Spearman of z*[1] with step": "test.codes.alignment.step.spearman",
        "Spearman of z*[2] with length": "test.codes.alignment.length.spearman",
        "length exact after z to z* and back": "test.after_the_lens.length_exact",
    },
}
ERRORS = {
    "largest error of z after z to z* and back, standard deviations": "way_back.round_trip",
    "largest error of z, changed and back, standard deviations": "way_back.latents",
    "largest error of what is seen, changed and back": "way_back.observed.largest",
    "the same, mean over the samples": "way_back.observed.mean",
}


def beyond_markdown(found: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> str:
    """The metrics by data set and lens as a Markdown page."""
    lines = []
    for name, metrics in found.items():
        lines += [f"## {name}", "", f"| | {' | '.join(metrics)} |", "|---|" + "---|" * len(metrics)]
        for what, way in {**LINES[name], **ERRORS}.items():
            form = ".1e" if what in ERRORS else ".3f"
            values = [at(of_lens, way) for of_lens in metrics.values()]
            cells = ["-" if value is None else format(value, form) for value in values]
            lines.append(f"| {what} | {' | '.join(cells)} |")
        seconds = [of_lens["training_seconds"] for of_lens in metrics.values()]
        lines += [f"| seconds of training | {' | '.join(f'{s:.0f}' for s in seconds)} |", ""]
    return INTRODUCTION + "\n".join(lines)


def morpho_markdown(measured: Mapping[str, Mapping[str, float]]) -> str:
    """The five measures of filvm-mnist-morpho beside AR-VAE's published ones."""
    lines = [
        "| | " + " | ".join(lens_morpho.AR_VAE) + " |",
        "|---|" + "---|" * len(lens_morpho.AR_VAE),
    ]
    rows = {
        "AR-VAE as published, draws": lens_morpho.AR_VAE,
        "FILVM, draws": measured["sampled_codes"],
        "FILVM, means": measured["codes"],
    }
    for title, values in rows.items():
        cells = (f"{values[name]:.3f}" for name in lens_morpho.AR_VAE)
        lines.append(f"| {title} | {' | '.join(cells)} |")
    return MORPHO_INTRODUCTION + "\n".join(lines) + "\n"


def traversals_figure(found: Mapping[str, Mapping[str, Any]]) -> Figure:
    """One digit along six attributes: what was asked above each image, what came of it below."""
    steps = len(next(iter(found.values()))["asked"])
    figure = Figure(figsize=(0.75 * steps + 1.0, 1.02 * len(found)), layout="constrained")
    axes = figure.subplots(len(found), steps, squeeze=False)
    for line, (name, row) in zip(axes, found.items(), strict=True):
        title = f"{name}\n({lens_morpho.UNITS[name]})"
        line[0].set_ylabel(title, fontsize=8, rotation=0, ha="right", va="center")
        for axis, image, asked, measured in zip(
            line, row["images"], row["asked"], row["measured"], strict=True
        ):
            axis.imshow(image, cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
            axis.set_title(f"{asked:.1f}", fontsize=7, color="0.45", pad=2)
            axis.set_xlabel(f"{measured:.1f}", fontsize=7, labelpad=2)
    figure.suptitle(
        "one attribute asked above each digit, measured below; the others follow as among digits",
        fontsize=9,
    )
    return figure


def draw_beyond(workspace: Workspace, folder: Path) -> None:
    """undone.png, traversals.png and beyond.md in `folder`, from finished runs."""
    figures = {
        "undone": image_rows_figure(invertible.undone_examples(workspace.run("invertible-mnist"))),
        "traversals": traversals_figure(
            lens_morpho.traversals(workspace.run("filvm-mnist-morpho"))
        ),
    }
    for name, figure in figures.items():
        with replacing(folder / f"{name}.png") as temporary:
            figure.savefig(temporary, format="png", dpi=200)
    text = beyond_markdown(invertible.beside_filvm(workspace))
    text += morpho_markdown(workspace.run("filvm-mnist-morpho").metrics()["test"])
    with replacing(folder / "beyond.md") as temporary:
        temporary.write_text(text, "utf-8")

"""Beyond the report: the lens that can be undone beside the FILVM, as a figure and a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from filvm.experiments import Run, invertible
from filvm.figures.reconstructions import image_rows_figure
from filvm.figures.results import at
from filvm.files import replacing

INTRODUCTION = """# Beyond the report

Section 6 of the report: neither ILVM nor FILVM can take an edited z* back to z, for the flow's
parameters depend on the sample. An `InvertibleLens` has one invertible flow for all samples. Both
lenses were trained on the same latents and are measured on test data, side information withheld.
"Changed and back": an attribute of every sample is changed (the digit; the rotation; the start),
z* of what comes of it is inferred anew, and the dimension is put back.

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


def draw_beyond(run: Run, folder: Path) -> None:
    """undone.png and beyond.md in `folder`; `run` is that of invertible-mnist."""
    figure = image_rows_figure(invertible.undone_examples(run))
    with replacing(folder / "undone.png") as temporary:
        figure.savefig(temporary, format="png", dpi=200)
    with replacing(folder / "beyond.md") as temporary:
        temporary.write_text(beyond_markdown(invertible.beside_filvm(run)), "utf-8")

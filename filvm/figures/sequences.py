"""Figure 5, Tables 1 and B1: sequences, their reconstructions, and the ranges of Table 1."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from filvm.data.sequences import (
    TABLE_1,
    TABLE_B1,
    Sequences,
    mean_steps,
    median_steps,
    sequences_from_lists,
)

TRUE_COLOUR, PREDICTED_COLOUR = "#222222", "#0b5394"
SIX_LINES = 6  # under each example


def sequence_reconstruction_figure(
    true: Sequences,
    numbers: np.ndarray,
    lengths: np.ndarray,
    *,
    mean_absolute_error: float | None = None,
) -> Figure:
    """Figure 5: each true sequence beside the predicted one, and their steps and lengths.

    Args:
        true: n sequences.
        numbers: predicted, [n, max_length, 1]; shown rounded, up to the predicted length.
        lengths: predicted, [n].
        mean_absolute_error: per number, over held-out sequences, for the title.
    """
    n = len(true)
    predicted = np.round(np.asarray(numbers, np.float64)[:, :, 0])
    lengths = np.asarray(lengths)
    lines = max(int(true.length.max()), int(lengths.max())) + SIX_LINES + 2
    figure = Figure(figsize=(1.8 * n, 0.125 * lines + 0.4), layout="constrained")
    means, medians = (statistic(numbers, lengths) for statistic in (mean_steps, median_steps))
    for i, axis in enumerate(figure.subplots(1, n, squeeze=False)[0]):
        axis.set(xlim=(0, 1), ylim=(lines, 0))
        axis.set_axis_off()
        _pairs(axis, true.numbers[i, : true.length[i], 0], predicted[i, : lengths[i]])
        _remarks(
            axis,
            max(int(true.length[i]), int(lengths[i])) + 1.5,
            {
                "true step": f"{true.step[i]:.1f}",
                "mean predicted step": f"{means[i]:.2f}",
                "median predicted step": f"{medians[i]:.2f}",
                "true length": f"{true.length[i]}",
                "predicted length": f"{lengths[i]}",
            },
        )
    error = (
        ""
        if mean_absolute_error is None
        else f"; mean absolute error per number {mean_absolute_error:.3g} on held-out sequences"
    )
    figure.suptitle(f"sequence VAE: true \N{RIGHTWARDS ARROW} predicted{error}", fontsize=9)
    return figure


def _pairs(axis: Axes, true: np.ndarray, predicted: np.ndarray) -> None:
    for line in range(max(len(true), len(predicted))):
        place = {"y": line + 1, "fontsize": 7, "va": "center", "family": "monospace"}
        if line < len(true):
            axis.text(0.40, s=f"{true[line]:.0f}", color=TRUE_COLOUR, ha="right", **place)
        axis.text(0.5, s="\N{RIGHTWARDS ARROW}", color="#888888", ha="center", **place)
        if line < len(predicted):
            axis.text(0.83, s=f"{predicted[line]:.0f}", color=PREDICTED_COLOUR, ha="right", **place)


def _remarks(axis: Axes, top: float, remarks: dict[str, str]) -> None:
    for line, (name, value) in enumerate(remarks.items()):
        colour = TRUE_COLOUR if name.startswith("true") else PREDICTED_COLOUR
        place = {"y": top + line, "fontsize": 7, "va": "center", "color": colour}
        axis.text(0.02, s=name, ha="left", **place)
        axis.text(0.98, s=value, ha="right", **place)


def table_1() -> pd.DataFrame:
    """Table 1: the ranges of start, step and length.

    According to the report finals range from 3 to 2500; the largest is 1000 + 29 * 50 = 2450.
    """
    return pd.DataFrame(
        [(name.capitalize(), low, high) for name, (low, high) in TABLE_1.items()],
        columns=["", "Min", "Max"],
    )


TABLE_1_NOTE = (
    "With these ranges, final numbers run from 1 + 2 * 1 = 3 to 1000 + 29 * 50 = 2450 "
    "(the report says 2500)."
)
TABLE_B1_NOTE = (
    "The report's own examples. The third, with start 1209 and step 179, lies outside the ranges "
    "of Table 1."
)


def table_b1(sequences: Sequences | None = None) -> pd.DataFrame:
    """Table B1: sequences with their attributes; the three of the report by default."""
    sequences = sequences_from_lists(TABLE_B1) if sequences is None else sequences
    attributes = {
        name.capitalize(): [f"{value:g}" for value in getattr(sequences, name)]
        for name in ("start", "step", "length", "final")
    }
    rows = [", ".join(f"{x:g}" for x in row) for row in sequences.to_lists()]
    return pd.DataFrame({**attributes, "Sequence": rows})


def table_figure(table: pd.DataFrame, *, title: str, note: str = "", width: float = 7.2) -> Figure:
    """A table as a picture; columns fit their text, and long text is wrapped.

    Args:
        table: the content.
        title: above it.
        note: below it.
        width: of the figure, in inches.
    """
    header = [str(name) for name in table.columns]
    cells = [[_wrapped(value, 11 * width) for value in row] for row in table.to_numpy()]
    lines = [1.4, *(0.4 + max(text.count("\n") + 1 for text in row) for row in cells)]
    note = _wrapped(note, 16 * width)
    height = 0.16 * (sum(lines) + note.count("\n")) + 0.6
    figure = Figure(figsize=(width, height), layout="constrained")
    axis = figure.subplots()
    axis.set_axis_off()
    drawn = axis.table(
        cellText=cells,
        colLabels=header,
        colWidths=_column_widths(header, cells),
        cellLoc="left",
        colLoc="left",
        bbox=(0, 0, 1, 1),
    )
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(7.5)
    for (row, column), cell in drawn.get_celld().items():
        cell.PAD = 0.05 / (width * _column_widths(header, cells)[column])
        cell.set(height=lines[row] / sum(lines), linewidth=0.4, edgecolor="#999999")
        if row == 0:
            cell.set_facecolor("#eeeeee")
            cell.set_text_props(weight="bold")
    figure.suptitle(title, fontsize=9)
    if note:
        figure.supxlabel(note, fontsize=7)
    return figure


def _wrapped(text: object, characters: float) -> str:
    return "\n".join(textwrap.wrap(str(text), int(characters)))


def _column_widths(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[float]:
    """Each column's share of the width: the longest line in it, with a margin."""
    needed = [
        max(len(line) for text in column for line in text.split("\n")) + 3
        for column in zip(header, *rows, strict=True)
    ]
    return [width / sum(needed) for width in needed]

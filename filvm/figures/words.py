"""Figures of words: a map of z* by language and length, and tables of generated words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib import color_sequences
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

COLOURS = color_sequences["petroff10"]  # distinct for all readers: Petroff 2021, arXiv 2107.02270
LIMIT = 3.5  # 99.95 % of the prior N(0, 1) lies within
RIGHT, WRONG_LANGUAGE, WRONG_LENGTH = "#222222", "#c43c39", "#0b5394"


def word_map_figure(
    z_star: np.ndarray,
    languages: np.ndarray,
    lengths: np.ndarray,
    *,
    order: Sequence[str],
    notes: Sequence[str] = (),
    title: str = "",
) -> Figure:
    """Words in the two owned dimensions of z*: coloured by language, and by length.

    Args:
        z_star: [n, 2], the dimensions of language and length.
        languages: str [n].
        lengths: number of letters, int [n].
        order: the languages, in the order of the legend.
        notes: a line for the corner of each panel.
        title: above the panels.
    """
    figure = Figure(figsize=(7.2, 3.6), layout="constrained")
    left, right = figure.subplots(1, 2, sharex=True, sharey=True)
    shuffled = np.random.default_rng(0).permutation(len(z_star))  # no class hides another
    x, y = np.asarray(z_star)[shuffled].T
    style = {"s": 3, "linewidths": 0, "alpha": 0.75, "rasterized": True}
    places = np.array([list(order).index(language) for language in languages[shuffled]])
    left.scatter(x, y, c=np.array(COLOURS)[places], **style)
    points = right.scatter(x, y, c=np.asarray(lengths)[shuffled], cmap="viridis", **style)
    left.legend(
        handles=[
            Line2D([], [], color=COLOURS[place], marker="o", ls="", ms=4, label=language)
            for place, language in enumerate(order)
        ],
        loc="lower right",
        fontsize=7,
        handletextpad=0.0,
    )
    bar = figure.colorbar(points, ax=right, aspect=30, pad=0.02)
    bar.set_label("letters", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    for axis, name in zip((left, right), ("language", "length"), strict=True):
        axis.set_title(name, fontsize=9)
        axis.set_xlabel("z*[0]", fontsize=8)
        axis.set(xlim=(-LIMIT, LIMIT), ylim=(-LIMIT, LIMIT), aspect="equal")
        axis.tick_params(labelsize=7)
    left.set_ylabel("z*[1]", fontsize=8)
    for axis, note in zip((left, right), notes, strict=False):
        axis.text(0.03, 0.97, note, transform=axis.transAxes, fontsize=7, va="top")
    figure.suptitle(title, fontsize=9)
    return figure


def word_table_figure(
    words: np.ndarray,
    language_right: np.ndarray,
    length_right: np.ndarray,
    *,
    rows: Sequence[str],
    columns: Sequence[str],
    title: str = "",
) -> Figure:
    """Generated words in a table; a colour shows which request was not met.

    Args:
        words: str [rows, columns].
        language_right: whether the judge gives the language asked for, bool [rows, columns].
        length_right: whether the length is the one asked for, bool [rows, columns].
        rows, columns: their names.
        title: above the table.
    """
    height = 0.2 * (len(rows) + 1) + 0.7
    size = 8 if len(columns) <= 6 else 6  # 12 letters and brackets fit their column
    first = 0.2  # more width for the rows' names
    figure = Figure(figsize=(7.2, height), layout="constrained")
    axis = figure.subplots()
    axis.set(xlim=(-first, len(columns) + 1), ylim=(len(rows) + 0.5, -0.7))
    axis.set_axis_off()
    for place, name in enumerate(columns, start=1):
        axis.text(place, -0.2, name, fontsize=size, fontweight="bold", va="center")
    for row, name in enumerate(rows):
        axis.text(-first, row + 0.8, name, fontsize=size, fontweight="bold", va="center")
        for column, word in enumerate(words[row]):
            colour = RIGHT if language_right[row, column] else WRONG_LANGUAGE
            axis.text(
                column + 1,
                row + 0.8,
                word if length_right[row, column] else f"({word})",
                fontsize=size,
                color=colour,
                va="center",
                family="monospace",
            )
    key = "red: the judge gives another language    (in brackets): another length"
    figure.supxlabel(key, fontsize=7)
    figure.suptitle(title, fontsize=9)
    return figure

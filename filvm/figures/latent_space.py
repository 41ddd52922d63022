"""Figures 7, 8 and 9: test samples in two dimensions of z*, coloured by an attribute."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import color_sequences
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patheffects import withStroke

DIGIT_COLOURS = color_sequences[
    "petroff10"
]  # Petroff 2021, arXiv 2107.02270: distinct for all readers
LIMIT = 3.5  # 99.95 % of the prior N(0, 1) lies within; more where samples lie farther out


@dataclass(frozen=True)
class Cloud:
    """The test samples in the latent space of one model.

    Attributes:
        title: the model.
        x, y: float [n], two dimensions of z*.
        x_label, y_label: their names.
        notes: a short line for the corner of each panel of the model, in order; may be fewer.
    """

    title: str
    x: np.ndarray
    y: np.ndarray
    x_label: str = "z*[0]"
    y_label: str = "z*[1]"
    notes: Sequence[str] = ()


def digit_latent_space_figure(
    clouds: Sequence[Cloud],
    digits: np.ndarray,
    values: np.ndarray,
    *,
    value_label: str = "stroke thickness (px)",
) -> Figure:
    """Figures 7 and 8: a column for each model, digits in colour above, another attribute below.

    Args:
        clouds: the same n samples in each model.
        digits: int [n], 0 to 9.
        values: float [n], the other attribute; nan is left out.
        value_label: its name and unit.
    """
    figure = Figure(figsize=(0.7 + 2.2 * len(clouds), 4.75), layout="constrained")
    axes = figure.subplots(2, len(clouds), squeeze=False, sharex="col", sharey="col")
    order = np.random.default_rng(0).permutation(len(digits))  # no class hides another
    for (above, below), cloud in zip(axes.T, clouds, strict=True):
        _scatter(above, cloud, order, c=np.array(DIGIT_COLOURS)[np.asarray(digits)[order]])
        _name_digits(above, cloud, digits)
        above.set_title(cloud.title, fontsize=9)
        below.set_xlabel(cloud.x_label, fontsize=8)
        for axis, note in zip((above, below), cloud.notes, strict=False):
            _note(axis, note)
        for axis in (above, below):
            axis.set_ylabel(cloud.y_label, fontsize=8)
    norm = _robust_norm(values)
    for axis, cloud in zip(axes[1], clouds, strict=True):
        _scatter_values(axis, cloud, order, values, norm)
    figure.legend(
        handles=[
            Line2D([], [], color=colour, marker="o", ls="", ms=4, label=str(digit))
            for digit, colour in enumerate(DIGIT_COLOURS)
        ],
        ncols=10,
        loc="outside upper center",
        fontsize=8,
        frameon=False,
        handletextpad=0.0,
        columnspacing=0.9,
    )
    bar = figure.colorbar(
        ScalarMappable(norm, "viridis"), ax=axes[1], extend="both", aspect=30, pad=0.02
    )
    bar.set_label(value_label, fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure


def sequence_latent_space_figure(
    clouds: Sequence[Cloud], attributes: Mapping[str, np.ndarray]
) -> Figure:
    """Figure 9: a row for each model, a column for each attribute, samples coloured by it.

    Args:
        clouds: the same n sequences in each model.
        attributes: float [n] by name: start, step, length, final.
    """
    columns = len(attributes)
    figure = Figure(figsize=(7.2, 0.95 + 1.85 * len(clouds)), layout="constrained")
    axes = figure.subplots(len(clouds), columns, squeeze=False, sharex="row", sharey="row")
    order = np.random.default_rng(0).permutation(len(clouds[0].x))
    for row, cloud in zip(axes, clouds, strict=True):
        row[0].set_ylabel(f"{cloud.title}\n{cloud.y_label}", fontsize=8)
        for axis in row:
            axis.set_xlabel(cloud.x_label, fontsize=8)
        for axis, note in zip(row, cloud.notes, strict=False):
            _note(axis, note)
    for column, (name, values) in zip(axes.T, attributes.items(), strict=True):
        norm = _robust_norm(values)
        for axis, cloud in zip(column, clouds, strict=True):
            _scatter_values(axis, cloud, order, values, norm)
        column[0].set_title(name, fontsize=9)
        bar = figure.colorbar(
            ScalarMappable(norm, "viridis"),
            ax=column,
            location="bottom",
            extend="both",
            aspect=18,
            pad=0.02,
        )
        bar.ax.tick_params(labelsize=7)
    return figure


def _scatter(axis: Axes, cloud: Cloud, order: np.ndarray, **colour: object) -> None:
    size = np.clip(12_000 / len(order), 0.8, 12.0)
    axis.scatter(
        np.asarray(cloud.x)[order],
        np.asarray(cloud.y)[order],
        s=size,
        linewidths=0,
        alpha=0.75,
        rasterized=True,
        **colour,
    )
    farthest = np.quantile(np.abs([cloud.x, cloud.y]), 0.998)
    limit = max(LIMIT, 1.1 * float(farthest))
    ticks = [tick for tick in (-4, -2, 0, 2, 4) if abs(tick) < limit]
    axis.set(xlim=(-limit, limit), ylim=(-limit, limit), xticks=ticks, yticks=ticks, aspect="equal")
    axis.tick_params(labelsize=7, length=2)
    axis.spines[["top", "right"]].set_visible(False)


def _scatter_values(
    axis: Axes, cloud: Cloud, order: np.ndarray, values: np.ndarray, norm: Normalize
) -> None:
    known = order[~np.isnan(np.asarray(values)[order])]
    _scatter(axis, cloud, known, c=np.asarray(values)[known], norm=norm, cmap="viridis")


def _name_digits(axis: Axes, cloud: Cloud, digits: np.ndarray) -> None:
    """Each digit's name at the median of its points."""
    for digit, colour in enumerate(DIGIT_COLOURS):
        of_digit = np.asarray(digits) == digit
        if of_digit.any():
            axis.text(
                np.median(np.asarray(cloud.x)[of_digit]),
                np.median(np.asarray(cloud.y)[of_digit]),
                str(digit),
                color=colour,
                fontsize=9,
                fontweight="bold",
                ha="center",
                va="center",
                path_effects=[withStroke(linewidth=2.5, foreground="white")],
            )


def _note(axis: Axes, note: str) -> None:
    text = axis.text(
        0.03,
        0.98,
        note,
        transform=axis.transAxes,
        fontsize=7,
        va="top",
        path_effects=[withStroke(linewidth=2.5, foreground="white")],
    )
    text.set_in_layout(False)  # it lies inside the panel, which must not make room for it


def _robust_norm(values: np.ndarray) -> Normalize:
    """Colours from the 2nd to the 98th percentile: extremes would leave few colours to the rest."""
    known = np.asarray(values)[~np.isnan(values)]
    low, high = np.percentile(known, [2, 98]) if known.size else (0.0, 1.0)
    return Normalize(low, high)

"""Figures 10, 11, 12, B3 and B4: images and sequences from z* with dimensions set by hand."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from filvm.analysis.manipulation import Effects

WRONG = "#ff4b4b"
STEP_TOLERANCE = 25.0  # half of the largest step: steps that differ by more make no sequence
TICKS = 7  # coordinates along an axis of a map, at most
MODEL_LINES = (("#0072b2", "-"), ("#d55e00", "--"), ("#009e73", ":"))  # Okabe and Ito 2008


@dataclass(frozen=True)
class Grid:
    """Images generated on a grid of two dimensions of z*, and the oracles' readings of them.

    Attributes:
        title: the model.
        images: float [rows, columns, height, width] in [0, 1]; column k asks for digit k.
        y_values: float [rows], coordinates of the swept dimension, from below.
        measured: float [rows, columns], the swept attribute measured on each image; nan where it
            cannot be measured.
        digits: int [rows, columns], the digit that the oracle reads.
    """

    title: str
    images: np.ndarray
    y_values: np.ndarray
    measured: np.ndarray
    digits: np.ndarray


def digit_grid_figure(
    grids: Sequence[Grid],
    *,
    measure_label: str = "measured thickness (px)",
    y_label: str = "z*[1]",
    form: str = ".1f",
) -> Figure:
    """Figures 10 and 11: the asked digit along x, the other attribute along y, upwards.

    On the right of each row: the median of the attribute measured on its images, and the 10th to
    90th percentile. A single grid has each image's own measure below the image. An image in which
    the oracle reads another digit than the asked one has a red frame with that digit.

    Args:
        grids: of the same size.
        measure_label: name and unit of the measured attribute.
        y_label: the swept dimension.
        form: the format of measures.
    """
    rows, columns = grids[0].images.shape[:2]
    alone = len(grids) == 1
    cell_width, cell_height = (0.6, 0.74) if alone else (0.3, 0.31)
    size = (len(grids) * (columns * cell_width + 1.05) + 0.45, rows * cell_height + 0.7)
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(1, len(grids), squeeze=False)[0]
    for axis, grid in zip(axes, grids, strict=True):
        _draw_grid(axis, grid, form if alone else "")
        axis.set_title(grid.title, fontsize=9)
        axis.set_xlabel("asked digit", fontsize=8)
        if axis is axes[0]:
            axis.set_ylabel(y_label, fontsize=8)
        right = axis.secondary_yaxis("right")
        right.set_yticks(range(rows), [_spread(row, form) for row in grid.measured])
        right.tick_params(labelsize=7, length=0)
        if axis is axes[-1]:
            right.set_ylabel(measure_label, fontsize=8)
        right.spines["right"].set_visible(False)
    return figure


@dataclass(frozen=True)
class LatentMap:
    """Images at every point of a plane of z*.

    Attributes:
        title: the model.
        images: float [len(y_values), len(x_values), height, width] in [0, 1].
        x_values, y_values: coordinates of the columns and of the rows, from below; not always
            evenly spaced.
    """

    title: str
    images: np.ndarray
    x_values: np.ndarray
    y_values: np.ndarray


def latent_map_figure(maps: Sequence[LatentMap]) -> Figure:
    """Figure B3: the image at every point of a plane of z*, a map for each model."""
    figure = Figure(figsize=(4.6 * len(maps), 5.0), layout="constrained")
    axes = figure.subplots(1, len(maps), squeeze=False)[0]
    for axis, latent_map in zip(axes, maps, strict=True):
        rows, columns = latent_map.images.shape[:2]
        mosaic = np.concatenate(np.concatenate(np.asarray(latent_map.images)[::-1], axis=1), axis=1)
        extent = (-0.5, columns - 0.5, -0.5, rows - 0.5)
        axis.imshow(mosaic, cmap="gray", vmin=0, vmax=1, interpolation="none", extent=extent)
        for set_ticks, values in (
            (axis.set_xticks, latent_map.x_values),
            (axis.set_yticks, latent_map.y_values),
        ):
            places = np.linspace(0, len(values) - 1, min(TICKS, len(values))).round().astype(int)
            set_ticks(places, [_number(values[place], ".2f") for place in places])
        axis.set_title(latent_map.title, fontsize=9)
        axis.set_xlabel("z*[0], at quantiles of the prior", fontsize=8)
        axis.tick_params(labelsize=7, length=3)
    axes[0].set_ylabel("z*[1], towards thicker digits", fontsize=8)
    return figure


def effects_figure(effects: Mapping[str, Effects], *, title: str = "") -> Figure:
    """Figure 12: a row for each swept dimension, a column for each attribute.

    Above each panel, per cent: the share of the attribute's range (grey) that the sweep moves it
    over.

    Args:
        effects: by the model's name; all with the same attributes and number of dimensions.
        title: of the legend.
    """
    first = next(iter(effects.values()))
    dimensions = len(next(iter(first.read.values())))
    figure = Figure(figsize=(7.2, 0.7 + 1.35 * dimensions), layout="constrained")
    axes = figure.subplots(dimensions, len(first.read), squeeze=False, sharex=True, sharey="col")
    moved = {model: effect.moved() for model, effect in effects.items()}
    for column, (name, (low, high)) in zip(axes.T, first.ranges.items(), strict=True):
        column[0].set_title(name, fontsize=9, pad=14)
        for i, axis in enumerate(column):
            axis.axhspan(low, high, color="0.94", zorder=0)
            for place, (model, effect) in enumerate(effects.items()):
                colour, style = MODEL_LINES[place % len(MODEL_LINES)]
                read = effect.read[name][i]
                axis.plot(effect.values, read, color=colour, ls=style, lw=1.6, label=model)
                axis.text(
                    (place + 0.5) / len(effects),
                    1.01,
                    f"{100 * moved[model][name][i]:.0f} %",
                    color=colour,
                    transform=axis.transAxes,
                    fontsize=7,
                    ha="center",
                    va="bottom",
                )
            axis.tick_params(labelsize=7, length=2)
            axis.spines[["top", "right"]].set_visible(False)
        column[-1].set_xlabel("value it is set to", fontsize=8)
    for i, axis in enumerate(axes[:, 0]):
        axis.set_ylabel(f"z*[{i}] swept", fontsize=8)
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(
        handles,
        labels,
        loc="outside upper center",
        ncols=len(labels),
        fontsize=8,
        frameon=False,
        title=title or None,
        title_fontsize=9,
    )
    return figure


def swept_sequences_figure(
    models: Mapping[str, Sequence[Sequence[Sequence[float]]]], values: np.ndarray
) -> Figure:
    """Figure B4 as a picture: the sequences generated by a sweep of each dimension.

    A square marks the end of a sequence. Numbers that are no sequence of equal steps
    (`has_equal_steps`) are grey and crossed, and a line below says so.

    Args:
        models: by the model's name: for each dimension, a sequence for each of the values.
        values: float [v], of the swept dimension; the others are 0.
    """
    dimensions = len(next(iter(models.values())))
    figure = Figure(figsize=(7.2, 0.8 + 1.75 * len(models)), layout="constrained")
    axes = figure.subplots(len(models), dimensions, squeeze=False, sharex=True, sharey=True)
    norm = Normalize(values[0], values[-1])
    none: list[str] = []
    for row, (model, groups) in zip(axes, models.items(), strict=True):
        for i, (axis, group) in enumerate(zip(row, groups, strict=True)):
            pairs = sorted(zip(values, group, strict=True), key=lambda pair: -len(pair[1]))
            for value, sequence in pairs:  # the shortest last: it may lie on longer ones
                colour = colormaps["viridis"](norm(value))
                if not has_equal_steps(sequence):
                    axis.plot(sequence, color="0.6", lw=0.8, ls=":", marker="x", ms=3)
                    none.append(f"{model.splitlines()[-1]}, z*[{i}] = {_number(value, '.1f')}")
                    continue
                axis.plot(sequence, color=colour, lw=1.0, marker="o", ms=1.6)
                end = (len(sequence) - 1, sequence[-1])
                axis.plot(*end, color=colour, marker="s", ms=4, mec="black", mew=0.4, zorder=3)
            axis.tick_params(labelsize=7, length=2)
            axis.spines[["top", "right"]].set_visible(False)
            axis.set_title(f"z*[{i}] swept", fontsize=8)
        row[0].set_ylabel(f"{model}\nnumber", fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("position", fontsize=8)
    bar = figure.colorbar(ScalarMappable(norm, "viridis"), ax=axes, aspect=30, pad=0.01)
    bar.set_label("value of the swept dimension", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    if none:
        figure.supxlabel(
            textwrap.fill(f"no sequence (grey): {'; '.join(none)}", 110), fontsize=7, color="0.35"
        )
    return figure


def has_equal_steps(sequence: Sequence[float]) -> bool:
    """Whether no step differs by more than `STEP_TOLERANCE` from the median step.

    >>> has_equal_steps([4, 14, 25]), has_equal_steps([320, 570, 980, 480])
    (True, False)
    """
    steps = np.diff(sequence)
    return bool(np.all(np.abs(steps - np.median(steps)) <= STEP_TOLERANCE)) if len(steps) else True


def swept_sequences_text(groups: Sequence[Sequence[Sequence[float]]]) -> str:
    """Figure B4 as text: for each dimension, swept from -3 to 3, a sequence on each line.

    Numbers are rounded. A line whose numbers are no sequence of equal steps ends with "(no
    sequence)".

    Example:
        >>> print(swept_sequences_text([[[3.9, 14.2], [5.0]]]), end="")
        Sequences generated by changing z*[0] from -3 to 3
        <BLANKLINE>
        4 14
        5
    """
    paragraphs = []
    for dimension, group in enumerate(groups):
        lines = [
            " ".join(f"{number:.0f}" for number in sequence)
            + ("" if has_equal_steps(sequence) else " (no sequence)")
            for sequence in group
        ]
        heading = f"Sequences generated by changing z*[{dimension}] from -3 to 3"
        paragraphs.append("\n".join([heading, "", *lines]))
    return "\n\n".join(paragraphs) + "\n"


def traversals_figure(
    rows: Mapping[str, Mapping[str, np.ndarray]], units: Mapping[str, str]
) -> Figure:
    """One digit along several attributes: asked above each image, measured below it.

    Args:
        rows: by attribute: `asked` [v] and `measured` [v], in its units, and `images`, float
            [v, height, width] in [0, 1].
        units: by attribute.
    """
    steps = len(next(iter(rows.values()))["asked"])
    figure = Figure(figsize=(0.75 * steps + 1.0, 1.02 * len(rows)), layout="constrained")
    axes = figure.subplots(len(rows), steps, squeeze=False)
    for line, (name, row) in zip(axes, rows.items(), strict=True):
        title = f"{name}\n({units[name]})"
        line[0].set_ylabel(title, fontsize=8, rotation=0, ha="right", va="center")
        for axis, image, asked, measured in zip(
            line, row["images"], row["asked"], row["measured"], strict=True
        ):
            axis.imshow(image, cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
            axis.set_title(f"{asked:.1f}", fontsize=7, color="0.45", pad=2)
            axis.set_xlabel(f"{measured:.1f}", fontsize=7, labelpad=2)
    figure.suptitle(
        "one attribute: asked above each digit, measured below; the others follow as among digits",
        fontsize=9,
    )
    return figure


def _draw_grid(axis: Axes, grid: Grid, form: str) -> None:
    """Draw the images at (column, row), upwards; each with its measure if there is a format."""
    images = np.asarray(grid.images)
    rows, columns = images.shape[:2]
    bottom = -0.3 if form else -0.48  # room for the measure under the image
    for i in range(rows):
        for k in range(columns):
            extent = (k - 0.48, k + 0.48, i + bottom, i + 0.48)
            axis.imshow(images[i, k], cmap="gray", vmin=0, vmax=1, extent=extent)
            if form:
                measure = _number(grid.measured[i, k], form)
                axis.text(k, i + bottom - 0.01, measure, fontsize=7, ha="center", va="top")
            if grid.digits[i, k] != k:
                frame = Rectangle((k - 0.47, i + bottom + 0.01), 0.94, 0.46 - bottom)
                frame.set(fill=False, edgecolor=WRONG, linewidth=1.2)
                axis.add_patch(frame)
                axis.text(
                    k + 0.42,
                    i + 0.45,
                    str(grid.digits[i, k]),
                    fontsize=7,
                    color=WRONG,
                    ha="right",
                    va="top",
                )
    axis.set(xlim=(-0.52, columns - 0.48), ylim=(-0.52, rows - 0.48))
    axis.set_aspect("auto" if form else "equal")
    axis.set_xticks(range(columns), [str(k) for k in range(columns)])
    axis.set_yticks(range(rows), [_number(value, ".1f") for value in grid.y_values])
    axis.tick_params(labelsize=7, length=0)
    axis.spines[:].set_visible(False)


def _number(value: float, form: str) -> str:
    """The number with a typographic minus sign; a dash for nan."""
    return "–" if np.isnan(value) else format(value, form).replace("-", "−")


def _spread(row: np.ndarray, form: str) -> str:
    """Median and 10th to 90th percentile of a row, such as '2.6 (2.4 to 2.9)'."""
    known = np.asarray(row)[~np.isnan(row)]
    if not known.size:
        return "–"
    low, middle, high = (_number(q, form) for q in np.percentile(known, [10, 50, 90]))
    return f"{middle} ({low} to {high})"

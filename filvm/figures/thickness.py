"""Figure B1, digits in columns by their thickness, and the steps of the measure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure

from filvm.data import StrokeSteps


def thickness_columns_figure(
    images: np.ndarray,
    thickness: np.ndarray,
    *,
    columns: int = 16,
    rows: int = 10,
    seed: int = 0,
) -> Figure:
    """Draw Figure B1: random digits, each in the column of its stroke thickness.

    Args:
        images: uint8 or float [n, height, width], or with a channel axis.
        thickness: [n], pixels; digits without one (nan) are left out.
        columns: number of equal steps of thickness from the 1st to the 99th percentile.
        rows: digits in a column; a column with fewer digits stays short.
        seed: of the choice among the digits of a column.

    Raises:
        ValueError: the number of thicknesses is not that of the images.
    """
    images = np.asarray(images).reshape(len(images), *np.shape(images)[1:3])
    thickness = np.asarray(thickness, np.float64)
    if thickness.shape != (len(images),):
        raise ValueError(
            f"thickness has shape {thickness.shape}; expected {(len(images),)}: one value for each "
            "image"
        )
    edges = np.linspace(*np.nanpercentile(thickness, [1, 99]), columns + 1)
    height, width = images.shape[1:]
    sheet = np.zeros([rows * height, columns * width])
    random = np.random.default_rng(seed)
    for column, (low, high) in enumerate(pairwise(edges)):
        members = np.flatnonzero((thickness >= low) & (thickness < high))
        members = random.permutation(members)[:rows]
        left = column * width
        for row, member in enumerate(members):
            sheet[row * height : (row + 1) * height, left : left + width] = images[member]

    figure = Figure(figsize=(7.2, 7.2 * rows / columns + 0.5), layout="constrained")
    axes = figure.subplots()
    axes.imshow(sheet, cmap="gray_r", interpolation="nearest")
    every = -(-(columns + 1) // 9)  # at most nine labels
    places = np.arange(0, columns + 1, every)
    axes.set_xticks(places * width - 0.5, [f"{edges[place]:.1f}" for place in places], fontsize=8)
    axes.set_yticks([])
    axes.set_xlabel("stroke thickness (pixels)", fontsize=9)
    return figure


def stroke_steps_figure(images: Sequence[np.ndarray], steps: Sequence[StrokeSteps]) -> Figure:
    """Draw the steps of the thickness measure: a row for each digit, a column for each step.

    The thickness, left of each row, is twice the mean of the distance map on the medial axis. The
    medial axis is white in the last column.

    Args:
        images: the digits, each [height, width].
        steps: `stroke_steps(image)` of each.
    """
    titles = ("image", "4x, blurred", "binary", "medial axis", "distance map")
    figure = Figure(figsize=(7.2, 1.3 * len(images) + 0.25), layout="constrained")
    axes = figure.subplots(len(images), len(titles), squeeze=False)
    longest = max(step.distance.max() for step in steps) / 4
    for row, image, step in zip(axes, images, steps, strict=True):
        row[0].imshow(image, cmap="gray_r")
        row[1].imshow(step.upsampled, cmap="gray_r")
        row[2].imshow(step.binary, cmap="gray_r")
        row[3].imshow(step.binary, cmap="gray_r", alpha=0.25)
        row[3].imshow(_only(step.skeleton, step.skeleton), cmap="gray", interpolation="nearest")
        distance = _only(step.distance / 4, step.binary)
        coloured = row[4].imshow(distance, vmin=0, vmax=longest, interpolation="nearest")
        row[4].imshow(_only(np.ones_like(distance), step.skeleton), cmap="gray", vmin=0, vmax=1)
        row[0].set_ylabel(f"{step.thickness:.2f} px", fontsize=9)
    for axis in axes.flat:
        axis.set(xticks=[], yticks=[])
    for axis, title in zip(axes[0], titles, strict=True):
        axis.set_title(title, fontsize=9)
    bar = figure.colorbar(coloured, ax=axes[:, -1], fraction=0.08)
    bar.set_label("pixels to the background", fontsize=8)
    bar.ax.tick_params(labelsize=8)
    return figure


def _only(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """`values` where `where` is true, nan (drawn transparent) elsewhere."""
    return np.where(where, values, np.nan)

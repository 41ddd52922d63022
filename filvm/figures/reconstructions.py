"""Figures 3 and 4: digits and their reconstructions. Also images in rows, for any purpose."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from filvm.analysis.reconstruction import squared_errors

LETTER = 0.07  # inches of a letter of a row's name


def reconstruction_figure(
    images: np.ndarray, reconstructions: np.ndarray, *, mse: float, title: str
) -> Figure:
    """Originals above, reconstructions below, the mean squared error under each.

    Args:
        images, reconstructions: float [n, height, width, 1] in [0, 1].
        mse: of the whole test set, for the caption.
        title: the model.
    """
    figure = Figure(figsize=(7.2, 1.9), layout="constrained")
    axes = figure.subplots(2, len(images), squeeze=False)
    for row, (label, pictures) in enumerate(
        {"original": images, "reconstructed": reconstructions}.items()
    ):
        for axis, picture in zip(axes[row], pictures, strict=True):
            axis.imshow(picture[..., 0], cmap="gray", vmin=0, vmax=1)
            axis.set(xticks=[], yticks=[])
        axes[row, 0].set_ylabel(label, fontsize=8)
    for axis, error in zip(axes[1], squared_errors(images, reconstructions), strict=True):
        axis.set_xlabel(f"{error:.4f}", fontsize=8)
    figure.suptitle(
        f"{title}: mean squared error per pixel, {mse:.5f} over the test set", fontsize=9
    )
    return figure


def image_rows_figure(
    rows: Mapping[str, np.ndarray], *, columns: Sequence[object] = (), title: str = ""
) -> Figure:
    """Images in rows, each row under its name.

    Args:
        rows: name -> float [n, height, width], or with a channel axis, in [0, 1]; n may differ.
        columns: labels under the columns.
        title: above the rows.
    """
    longest = max(map(len, rows.values()))
    cell = min(7.0 / longest, 0.75)
    height = cell * len(rows) + (0.2 if len(columns) else 0) + (0.3 if title else 0) + 0.1
    letters = max(len(line) for name in rows for line in name.split("\n"))
    names = max(1.2, 0.2 + LETTER * letters)  # a narrower figure would cut long names off
    figure = Figure(figsize=(cell * longest + names, height), layout="compressed")
    axes = figure.subplots(len(rows), longest, squeeze=False)
    for line, (name, images) in zip(axes, rows.items(), strict=True):
        line[0].set_ylabel(name, fontsize=8, rotation=0, ha="right", va="center")
        for axis, image in zip(line, images, strict=False):
            pixels = np.reshape(image, np.shape(image)[:2])
            axis.imshow(pixels, cmap="gray", vmin=0, vmax=1)
        for axis in line:
            axis.set(xticks=[], yticks=[])
        for axis in line[len(images) :]:
            axis.spines[:].set_visible(False)
    for axis, text in zip(axes[-1], columns, strict=False):
        axis.set_xlabel(text, fontsize=8)
    if title:
        figure.suptitle(title, fontsize=9)
    return figure

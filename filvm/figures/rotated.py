"""Figure B2: digits of MNIST-R in rows by their rotation."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from matplotlib.figure import Figure


def rotation_rows_figure(
    images: np.ndarray,
    angles: np.ndarray,
    *,
    rows: int = 12,
    columns: int = 16,
    seed: int = 0,
) -> Figure:
    """Draw Figure B2: random rotated digits, each in the row of its angle, largest on top.

    Args:
        images: uint8 or float [n, height, width], or with a channel axis; also a memory map, of
            which only the digits drawn are read.
        angles: [n], degrees, counter-clockwise positive.
        rows: number of equal steps from -90 to 90 degrees.
        columns: digits in a row; a row with fewer digits stays short.
        seed: of the choice among the digits of a row.

    Raises:
        ValueError: the number of angles is not that of the images.
    """
    angles = np.asarray(angles)
    if angles.shape != (len(images),):
        raise ValueError(
            f"angles have shape {angles.shape}; expected {(len(images),)}: one angle for each image"
        )
    edges = np.linspace(90, -90, rows + 1)
    height, width = images.shape[1:3]
    sheet = np.zeros([rows * height, columns * width])
    random = np.random.default_rng(seed)
    for row, (high, low) in enumerate(pairwise(edges)):
        members = np.flatnonzero((angles <= high) & (angles >= low))
        members = random.permutation(members)[:columns]
        top = row * height
        for column, member in enumerate(members):
            picture = np.reshape(images[member], [height, width])
            sheet[top : top + height, column * width : (column + 1) * width] = picture

    figure = Figure(figsize=(7.2, 7.2 * rows / columns + 0.1), layout="constrained")
    axes = figure.subplots()
    axes.imshow(sheet, cmap="gray_r", interpolation="nearest")
    every = -(-rows // 12)
    places = np.arange(0, rows + 1, every)
    axes.set_yticks(places * height - 0.5, [f"{edges[place]:.0f}" for place in places], fontsize=8)
    axes.set_xticks([])
    axes.set_ylabel("rotation (degrees, counter-clockwise positive)", fontsize=9)
    return figure

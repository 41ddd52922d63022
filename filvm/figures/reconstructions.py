"""Figures 3 and 4: digits and what a VAE makes of them."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from filvm.analysis.reconstruction import squared_errors


def reconstruction_figure(
    images: np.ndarray, reconstructions: np.ndarray, *, mse: float, title: str
) -> Figure:
    """Originals above, reconstructions below, the mean squared error under each.

    Args:
        images, reconstructions: float [n, height, width, 1] in [0, 1].
        mse: of the whole test set, for the caption.
        title: what the model is.
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

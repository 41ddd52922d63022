"""The ablations: a row for each variant, a panel for each measure."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

COLOUR, OURS = "#3f4a5a", "#b24a00"


def ablations_figure(table: pd.DataFrame, *, baseline: str, title: str = "") -> Figure:
    """A dot for every seed, a line at their mean, and the baseline's mean through all rows.

    Args:
        table: columns `variant` and `seed`, then one for each measure; a row for every seed.
        baseline: the variant that the others are compared with.
        title: above the panels.
    """
    measures = [name for name in table if name not in ("variant", "seed")]
    variants = list(dict.fromkeys(table["variant"]))
    columns = -(-len(measures) // 2)
    figure = Figure(
        figsize=(2.4 + 1.55 * columns, 1.1 + 0.42 * len(variants)), layout="constrained"
    )
    axes = figure.subplots(2, columns, sharey=True, squeeze=False)
    for axis in axes.flat[len(measures) :]:
        axis.set_axis_off()
    for axis, measure in zip(axes.flat, measures, strict=False):
        axis.axvline(
            table.loc[table["variant"] == baseline, measure].mean(), color=OURS, lw=0.8, ls="--"
        )
        for place, variant in enumerate(variants):
            values = table.loc[table["variant"] == variant, measure].dropna()
            colour = OURS if variant == baseline else COLOUR
            axis.plot(values, np.full(len(values), place), "o", ms=3, color=colour, alpha=0.6)
            if len(values):
                axis.plot([values.mean()], [place], "|", ms=9, mew=1.6, color=colour)
        axis.set_title(measure, fontsize=8)
        axis.tick_params(labelsize=7, length=2)
        axis.grid(axis="y", lw=0.3)
        axis.margins(x=0.12)
    for axis in axes[:, 0]:
        axis.set_yticks(range(len(variants)), variants, fontsize=7)
        axis.invert_yaxis()
        break  # all axes share the y axis
    figure.suptitle(title or None, fontsize=9)
    return figure

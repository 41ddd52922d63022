"""The ablations of one data set: a row for each variant, a panel for each measure."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

COLOURS = ("#0072b2", "#b24a00")  # of the references
OTHER = "#3f4a5a"
MOST_COLUMNS = 5


def ablations_figure(
    table: pd.DataFrame, references: Mapping[str, Collection[str]], lower: Collection[str] = ()
) -> Figure:
    """A dot for every seed, a bar at their mean, and the references' means through all rows.

    Args:
        table: columns `variant` and `seed`, then one for each measure; a row for every seed.
        references: at most two variants -> the variants to compare with each, in its colour.
        lower: measures of which lower values are better.
    """
    measures = [name for name in table if name not in ("variant", "seed")]
    variants = list(dict.fromkeys(table["variant"]))
    colours = dict.fromkeys(variants, OTHER)
    for colour, (reference, compared) in zip(COLOURS, references.items(), strict=False):
        colours |= dict.fromkeys((reference, *compared), colour)
    rows = -(-len(measures) // MOST_COLUMNS)
    columns = -(-len(measures) // rows)
    figure = Figure(figsize=(9.0, 0.4 + rows * (0.75 + 0.17 * len(variants))), layout="constrained")
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False)
    for axis in axes.flat[len(measures) :]:
        axis.set_axis_off()
    for axis, measure in zip(axes.flat, measures, strict=False):
        for reference in references:
            mean = table.loc[table["variant"] == reference, measure].mean()
            axis.axvline(mean, color=colours[reference], lw=0.8, ls="--")
        for place, variant in enumerate(variants):
            values = table.loc[table["variant"] == variant, measure].dropna()
            colour = colours[variant]
            axis.plot(values, np.full(len(values), place), "o", ms=3, color=colour, alpha=0.6)
            if len(values):
                axis.plot([values.mean()], [place], "|", ms=8, mew=1.6, color=colour)
        better = "lower" if measure in lower else "higher"
        axis.set_title(f"{textwrap.fill(measure, 20)}\n({better} is better)", fontsize=7.5)
        axis.tick_params(labelsize=7, length=2)
        axis.locator_params(axis="x", nbins=3)
        axis.grid(axis="y", lw=0.3)
        axis.margins(x=0.12)
    axes[0, 0].set_yticks(range(len(variants)), variants)  # for all panels, which share it
    axes[0, 0].set_ylim(len(variants) - 0.5, -0.5)
    for axis in axes[:, 0]:
        for label in axis.get_yticklabels():
            label.set(color=colours[label.get_text()], fontsize=7.5)
    keys = [
        Line2D([], [], color=colours[name], lw=0.8, ls="--", label=f"mean of {name}")
        for name in references
    ]
    for marker, label in (("o", "one seed"), ("|", "mean of the seeds")):
        keys.append(Line2D([], [], color=OTHER, ls="", marker=marker, ms=5, label=label))
    figure.legend(handles=keys, loc="outside upper center", ncols=len(keys), fontsize=7.5)
    return figure

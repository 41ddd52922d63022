"""What a lens costs in fidelity, against what it gains: beyond the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

MARKERS = ("o", "s", "D", "^")
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7")  # Okabe and Ito 2008


@dataclass(frozen=True)
class TradeOff:
    """One training of a lens on a data set, measured on test images.

    Attributes:
        data: title of the data set.
        lens: title of the lens.
        error: MSE per pixel after x -> z -> z* -> z -> x.
        error_of_vae: MSE per pixel after x -> z -> x, which no lens can undercut.
        on_request: share of digits on request that the oracle reads as asked.
        leakage: accuracy of the digit read from the dimensions that no attribute owns (centres).
    """

    data: str
    lens: str
    error: float
    error_of_vae: float
    on_request: float
    leakage: float


def trade_off_figure(lenses: Sequence[TradeOff]) -> Figure:
    """Fidelity along x; digits on request (left) and leakage (right) along y.

    The colour is the lens, the marker the data set; several marks of both are several seeds. A
    dotted line is the error of the VAE alone, with the first of them.
    """
    names = list(dict.fromkeys(one.lens for one in lenses))
    data = list(dict.fromkeys(one.data for one in lenses))
    figure = Figure(figsize=(8.2, 3.8), layout="constrained")
    panels = figure.subplots(1, 2, sharex=True)
    for axis, key in zip(panels, ("on_request", "leakage"), strict=True):
        for one in lenses:
            marker, colour = MARKERS[data.index(one.data)], COLOURS[names.index(one.lens)]
            axis.plot(one.error, getattr(one, key), marker, color=colour, alpha=0.6, markersize=8)
        axis.set_xlabel("MSE per pixel after z to z* and back (left is better)")
        axis.set_ylim(0, 1.03)
        axis.grid(alpha=0.3)
        for title in data:
            error = next(one.error_of_vae for one in lenses if one.data == title)
            axis.axvline(error, color="0.6", linestyle=":", linewidth=1)
            axis.annotate(
                f"VAE, {title} ",
                (error, 0.5),
                rotation=90,
                fontsize=7,
                color="0.4",
                ha="right",
                va="center",
            )
    panels[0].set_ylabel("digit on request (up is better)")
    panels[1].set_ylabel("digit read from the rest (down is better)")
    panels[1].axhline(0.1, color="0.6", linestyle=":", linewidth=1)
    panels[1].annotate(
        "chance",
        (1, 0.1),
        xycoords=("axes fraction", "data"),
        fontsize=7,
        ha="right",
        va="bottom",
        color="0.4",
    )
    keys = [
        *(
            panels[0].plot([], [], "o", color=COLOURS[i], label=name)[0]
            for i, name in enumerate(names)
        ),
        *(
            panels[0].plot([], [], MARKERS[i], color="0.5", label=title)[0]
            for i, title in enumerate(data)
        ),
    ]
    figure.legend(handles=keys, loc="outside upper center", ncols=len(keys), fontsize=8)
    return figure

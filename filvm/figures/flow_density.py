"""Figure 6: densities fitted by planar flows, and the KL of every attempt."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from matplotlib.ticker import MaxNLocator

Extent = tuple[float, float, float, float]  # left, right, bottom, top


def flow_density_figure(
    target: np.ndarray,
    fitted: np.ndarray,
    lengths: Sequence[int | str],
    kl: Sequence[float],
    *,
    half_width: float,
    note: str = "",
) -> Figure:
    """Draw Figure 6: a target density and the best fit of each length, on one colour scale.

    Args:
        target: density [n, n], row by row from the lowest z_2; normalised.
        fitted: densities [lengths, n, n] on the same grid.
        lengths: number of planar flows of each fit.
        kl: KL(q || p) of each fit, nats.
        half_width: the grid spans [-half_width, half_width] in both directions.
        note: a line under the figure, such as the name of the target's energy.
    """
    figure = Figure(figsize=(7.2, 2.1 if note else 1.95), layout="constrained")
    axes = figure.subplots(1, 1 + len(lengths), sharex=True, sharey=True)
    extent = (-half_width, half_width, -half_width, half_width)
    brightest = max(target.max(), *(density.max() for density in fitted))
    titles = ["target", *(f"{length} flows" for length in lengths)]
    for axis, density, title in zip(axes, [target, *fitted], titles, strict=True):
        image = _density_panel(axis, density, extent, brightest)
        axis.set_title(title, fontsize=9)
    axes[0].set_xlabel("$z_1$\n", fontsize=8)
    axes[0].set_ylabel("$z_2$", fontsize=8)
    for axis, value in zip(axes[1:], kl, strict=True):
        axis.set_xlabel(f"$z_1$\nKL {value:.3f} nats", fontsize=8)
    _colour_bar(figure, image, axes)
    if note:
        figure.supxlabel(note, fontsize=7)
    return figure


def energies_figure(
    targets: Sequence[np.ndarray],
    fitted: Sequence[np.ndarray],
    names: Sequence[str],
    kl: Sequence[float],
    *,
    half_widths: Sequence[float],
    length: int,
) -> Figure:
    """Draw several target densities, and the best fit of one length below each.

    Args:
        targets: densities, each [n, n], row by row from the lowest z_2; normalised.
        fitted: densities on the same grids.
        names: of the targets.
        kl: KL(q || p) of each fit, nats.
        half_widths: each grid spans [-half_width, half_width] in both directions.
        length: number of planar flows of every fit.
    """
    figure = Figure(figsize=(7.2, 3.9), layout="constrained")
    axes = figure.subplots(2, len(names), squeeze=False)
    columns = zip(axes.T, targets, fitted, names, kl, half_widths, strict=True)
    for (above, below), target, fit, name, value, half_width in columns:
        extent = (-half_width, half_width, -half_width, half_width)
        brightest = max(target.max(), fit.max())
        _density_panel(above, target, extent, brightest)
        _density_panel(below, fit, extent, brightest)
        above.set_title(name, fontsize=8)
        below.set_xlabel(f"$z_1$\nKL {value:.3f} nats", fontsize=8)
    axes[0, 0].set_ylabel("target\n$z_2$", fontsize=8)
    axes[1, 0].set_ylabel(f"{length} flows\n$z_2$", fontsize=8)
    figure.supxlabel("each column has a colour scale of its own", fontsize=7)
    return figure


def restarts_figure(
    lengths: Sequence[int],
    kl: np.ndarray,
    *,
    report_finite: Mapping[int, int] | None = None,
) -> Figure:
    """Draw the KL of every attempt against the number of flows.

    Args:
        lengths: number of planar flows.
        kl: KL(q || p) of every attempt, nats, [lengths, attempts]; nan where an attempt did
            not end finite.
        report_finite: the number of attempts that ended finite according to the report, by length.
    """
    figure = Figure(figsize=(5.0, 3.2), layout="constrained")
    axis = figure.subplots()
    attempts = kl.shape[1]
    spread = np.linspace(-0.25, 0.25, attempts)
    for place, values in enumerate(kl):
        finite = np.isfinite(values)
        ranked = np.sort(values[finite])
        label = "one attempt" if place == 0 else None
        axis.plot(
            place + spread[: finite.sum()], ranked, "o", ms=3.5, mew=0, color="#3b6ea5", label=label
        )
        axis.plot(
            [place - 0.3, place + 0.3],
            [np.median(ranked)] * 2,
            color="black",
            lw=1,
            label="median" if place == 0 else None,
        )
        axis.annotate(
            f"best {ranked[0]:.3f}",
            (place - 0.25, ranked[0]),
            xytext=(0, -4),
            textcoords="offset points",
            fontsize=8,
            va="top",
        )
    axis.axhline(np.log(2), color="#b24a00", lw=0.8, ls="--")
    axis.text(
        0.99,
        np.log(2),
        "one mode of two: ln 2",
        fontsize=8,
        color="#b24a00",
        ha="right",
        va="bottom",
        transform=axis.get_yaxis_transform(),
    )
    labels = []
    for length, values in zip(lengths, kl, strict=True):
        label = f"{length}\n{np.isfinite(values).sum()} of {attempts} finite"
        if report_finite and length in report_finite:
            label += f"\n(report: {report_finite[length]})"
        labels.append(label)
    axis.set_yscale("log")
    axis.margins(y=0.12)
    axis.set_xticks(range(len(lengths)), labels, fontsize=8)
    axis.tick_params(axis="y", labelsize=8)
    axis.set_xlabel("number of planar flows", fontsize=9)
    axis.set_ylabel("KL(q || p) (nats)", fontsize=9)
    axis.legend(fontsize=8, frameon=False, loc="lower left")
    return figure


def samples_density_figure(
    samples: np.ndarray,
    fitted: np.ndarray,
    lengths: Sequence[int | str],
    log_likelihood: Sequence[float],
    *,
    half_width: float,
    gaussian: float,
    truth: float,
) -> Figure:
    """Draw held-out samples, and densities fitted by maximum likelihood to others of their kind.

    Args:
        samples: held out from the fit, [m, 2].
        fitted: densities [lengths, n, n], row by row from the lowest x_2.
        lengths: number of planar flows of each fit.
        log_likelihood: mean over the held-out samples, nats, of each fit.
        half_width: the grid spans [-half_width, half_width] in both directions.
        gaussian: the same mean for a single Gaussian fitted to the samples.
        truth: the same mean for the density that the samples were drawn from.
    """
    figure = Figure(figsize=(7.2, 2.5), layout="constrained")
    axes = figure.subplots(1, 1 + len(lengths), sharex=True, sharey=True)
    extent = (-half_width, half_width, -half_width, half_width)
    axes[0].plot(samples[:, 0], samples[:, 1], ".", ms=1.5, mew=0, color="#3b6ea5")
    axes[0].set(xlim=extent[:2], ylim=extent[2:], aspect="equal")
    axes[0].set_title("held-out samples", fontsize=9)
    axes[0].set_xlabel("$x_1$\n", fontsize=8)
    axes[0].set_ylabel("$x_2$", fontsize=8)
    axes[0].tick_params(labelsize=7)
    brightest = max(density.max() for density in fitted)
    for axis, density, length, value in zip(axes[1:], fitted, lengths, log_likelihood, strict=True):
        image = _density_panel(axis, density, extent, brightest)
        axis.set_title(f"{length} flows", fontsize=9)
        axis.set_xlabel(f"$x_1$\n{value:.2f} nats", fontsize=8)
    _colour_bar(figure, image, axes)
    figure.supxlabel(
        "Below each panel: mean log-likelihood of the held-out samples. "
        f"One Gaussian: {gaussian:.2f} nats; the density they were drawn from: {truth:.2f} nats.",
        fontsize=7,
    )
    return figure


def _density_panel(axis: Axes, density: np.ndarray, extent: Extent, brightest: float) -> AxesImage:
    axis.tick_params(labelsize=7)
    axis.xaxis.set_major_locator(MaxNLocator(5, integer=True, symmetric=True))
    axis.yaxis.set_major_locator(MaxNLocator(5, integer=True, symmetric=True))
    return axis.imshow(
        density, origin="lower", extent=extent, vmin=0, vmax=brightest, cmap="viridis"
    )


def _colour_bar(figure: Figure, image: AxesImage, axes: Sequence[Axes]) -> None:
    bar = figure.colorbar(image, ax=axes, fraction=0.02, pad=0.01)
    bar.set_label("density", fontsize=8)
    bar.ax.tick_params(labelsize=7)

"""The figures of the report: which runs each needs, and how its arrays become a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from filvm.experiments import Run, flow_density, vae_mnist, vae_mnist_r
from filvm.figures.flow_density import (
    energies_figure,
    flow_density_figure,
    restarts_figure,
    samples_density_figure,
)
from filvm.figures.reconstructions import reconstruction_figure
from filvm.files import replacing


@dataclass(frozen=True)
class ReportFigure:
    """One figure: file name, one line on what it shows, the experiments it is drawn from.

    `draw` is given the run of the first of `needs`; `run.of(name)` leads to the others.
    """

    name: str
    summary: str
    needs: Sequence[str]
    draw: Callable[[Run], Figure]


def figure_03(run: Run) -> Figure:
    images, reconstructions = vae_mnist.reconstruction_examples(run)
    return reconstruction_figure(
        images, reconstructions, mse=run.metrics()["test"]["mse"], title="VAE on MNIST"
    )


def figure_04(run: Run) -> Figure:
    images, reconstructions = vae_mnist_r.reconstruction_examples(run)
    return reconstruction_figure(
        images, reconstructions, mse=run.metrics()["test"]["mse"], title="VAE on MNIST-R"
    )


def figure_06(run: Run) -> Figure:
    drawn, metrics = flow_density.densities(run), run.metrics()
    target, fits = metrics["target"], metrics["figure_6"]
    note = ""
    if target == "two-modes":
        note = (
            "Target: Rezende and Mohamed's first energy, with the two minus signs that are missing "
            "from the report's formula (its section 4.2)."
        )
    return flow_density_figure(
        drawn[target],
        [drawn[f"{target} {length}"] for length in fits["lengths"]],
        list(fits["lengths"]),
        [result["best_kl"] for result in fits["lengths"].values()],
        half_width=fits["half_width"],
        note=note,
    )


def figure_06_restarts(run: Run) -> Figure:
    lengths = run.metrics()["figure_6"]["lengths"]
    kl = np.array([result["kl"] for result in lengths.values()], np.float64)
    report_finite = flow_density.REPORT_FINITE
    return restarts_figure([int(length) for length in lengths], kl, report_finite=report_finite)


def figure_06_energies(run: Run) -> Figure:
    energies, drawn = run.metrics()["energies"], flow_density.densities(run)
    length = run.config()["settings"]["other_length"]
    return energies_figure(
        [drawn[name] for name in energies],
        [drawn[f"{name} {length}"] for name in energies],
        list(energies),
        [fits["lengths"][str(length)]["best_kl"] for fits in energies.values()],
        half_widths=[fits["half_width"] for fits in energies.values()],
        length=length,
    )


def figure_06_samples(run: Run) -> Figure:
    moons, drawn = run.metrics()["moons"], flow_density.densities(run)
    return samples_density_figure(
        drawn["moons samples"],
        [drawn[f"moons {length}"] for length in moons["lengths"]],
        list(moons["lengths"]),
        [result["best_log_likelihood"] for result in moons["lengths"].values()],
        half_width=moons["half_width"],
        gaussian=moons["gaussian"],
        truth=moons["truth"],
    )


FIGURES = {
    figure.name: figure
    for figure in (
        ReportFigure("figure_03", "reconstructions, MNIST", ["vae-mnist"], figure_03),
        ReportFigure("figure_06", "densities fitted by planar flows", ["flow-density"], figure_06),
        ReportFigure(
            "figure_06_restarts", "KL of every attempt", ["flow-density"], figure_06_restarts
        ),
        ReportFigure(
            "figure_06_energies", "other energies fitted", ["flow-density"], figure_06_energies
        ),
        ReportFigure(
            "figure_06_samples",
            "densities fitted to samples by maximum likelihood",
            ["flow-density"],
            figure_06_samples,
        ),
    )
}


def draw(name: str, run: Run, folder: Path) -> Path:
    """Draw one figure from its runs into `folder`, as PNG; return its path.

    A figure made from the stand-in for MNIST says so.
    """
    figure = FIGURES[name]
    for needed in figure.needs:
        run.of(needed).check_done()
    drawn = figure.draw(run.of(figure.needs[0]))
    note = sample_note(run, figure.needs)
    if note:
        drawn.supxlabel(note, fontsize=7, color="#a00000")
    path = folder / f"{name}.png"
    with replacing(path) as temporary:
        drawn.savefig(temporary, format="png", dpi=200)
    return path


def sample_note(run: Run, needs: Sequence[str]) -> str:
    """A sentence where the runs were made from the 5,000 digits that stand in for MNIST."""
    sources = {run.of(name).config().get("data", {}).get("source") for name in needs}
    samples = sorted(source for source in sources if source and "sample" in source)
    return f"Made from the {samples[0]}, not from MNIST." if samples else ""

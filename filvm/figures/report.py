"""The figures of the report: which runs each needs, and how its arrays become a picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from filvm.experiments import Run, vae_mnist, vae_mnist_r
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


FIGURES = {
    figure.name: figure
    for figure in (ReportFigure("figure_03", "reconstructions, MNIST", ["vae-mnist"], figure_03),)
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

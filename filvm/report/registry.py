"""The registry of the report's figures, and figures as files.

A figure is a function of a workspace, entered in `FIGURES` by the decorator `figure`; those of the
report are in `filvm.report.figures`.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from matplotlib.figure import Figure

from filvm.data.mnist import SAMPLE_NOTICE, SAMPLE_SOURCE
from filvm.files import replacing, write_text
from filvm.runs.workspace import Workspace

NOTE_LETTERS = 17  # of a note, per inch of a figure's width

Draw = Callable[[Workspace], Figure]


@dataclass(frozen=True)
class ReportFigure:
    """One figure of the report.

    Attributes:
        name: of its file.
        summary: its content in one line.
        needs: the experiments it is drawn from.
        draw: workspace -> figure.
        text: files beside the picture: suffix -> (workspace -> content).
    """

    name: str
    summary: str
    needs: Sequence[str]
    draw: Draw
    text: Mapping[str, Callable[[Workspace], str]] = field(default_factory=dict)


FIGURES: dict[str, ReportFigure] = {}


def figure(
    name: str,
    summary: str,
    *needs: str,
    text: Mapping[str, Callable[[Workspace], str]] | None = None,
) -> Callable[[Draw], Draw]:
    """Enter a function in `FIGURES`; the arguments are those of `ReportFigure`."""

    def enter(draw: Draw) -> Draw:
        FIGURES[name] = ReportFigure(name, summary, needs, draw, text or {})
        return draw

    return enter


def draw(name: str, workspace: Workspace, folder: Path) -> Path:
    """Draw one figure from its runs into `folder`, as PNG; return its path.

    A figure of digits of the built-in sample has a note that says so.

    Raises:
        RunError: a run that the figure needs is missing or outdated.
    """
    entry = FIGURES[name]
    for needed in entry.needs:
        workspace.run(needed).check_done()
    drawn = entry.draw(workspace)
    if note := sample_note(workspace, entry.needs):
        lines = textwrap.fill(note, int(NOTE_LETTERS * drawn.get_figwidth()))
        drawn.draw_without_rendering()
        drawn.set_layout_engine("none")  # the layout is final; the note is below it
        drawn.text(0.5, -0.01, lines, ha="center", va="top", fontsize=7, color="#a00000")
    path = folder / f"{name}.png"
    save(drawn, path)
    for suffix, text in entry.text.items():
        write_text(path.with_suffix(suffix), text(workspace))
    return path


def save(drawn: Figure, path: Path) -> None:
    """Write a figure as PNG, 200 dots per inch, in one step, with all titles and notes."""
    with replacing(path) as temporary:
        drawn.savefig(temporary, format="png", dpi=200, bbox_inches="tight")


def sample_note(workspace: Workspace, needs: Sequence[str]) -> str:
    """A sentence if any of the runs was made from the built-in sample of 5,000 digits, else ""."""
    sources = {workspace.run(name).config().get("data", {}).get("source") for name in needs}
    return SAMPLE_NOTICE if SAMPLE_SOURCE in sources else ""

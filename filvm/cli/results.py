"""The commands that draw figures and write tables from finished runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from filvm.cli.output import timed
from filvm.cli.runs import chosen, workspace_of
from filvm.report.ablations import draw_ablations
from filvm.report.beyond import draw_beyond
from filvm.report.figures import FIGURES, draw
from filvm.report.hero import draw_hero
from filvm.report.publish import publish
from filvm.report.results import write_results


def figures_command(arguments: argparse.Namespace) -> None:
    known = [*FIGURES, "hero"]
    chosen("figure", arguments.figure + arguments.left_out, known)
    workspace = workspace_of(arguments)
    folder = workspace.folder / "figures"
    for name in [one for one in arguments.figure or known if one not in arguments.left_out]:
        with timed(name):
            if name == "hero":
                draw_hero(workspace, workspace.folder / "hero.gif")
            else:
                draw(name, workspace, folder)
    if not arguments.figure:
        write_results(workspace, workspace.folder / "RESULTS.md")
    print(f"figures are in {folder}")


def results_command(arguments: argparse.Namespace) -> None:
    workspace = workspace_of(arguments)
    path = workspace.folder / "RESULTS.md"
    write_results(workspace, path)
    print(path)


def ablations_command(arguments: argparse.Namespace) -> None:
    workspace = workspace_of(arguments)
    for path in draw_ablations(workspace, workspace.folder / "ablations"):
        print(path)


def beyond_command(arguments: argparse.Namespace) -> None:
    workspace = workspace_of(arguments)
    folder = workspace.folder / "beyond"
    draw_beyond(workspace, folder)
    print(f"{folder}/beyond.md and its figures")


def publish_command(arguments: argparse.Namespace) -> None:
    for path in publish(workspace_of(arguments), arguments.to, Path("notebooks")):
        print(path)

"""The commands that export models: for servers, as ONNX, and into the explorer's page."""

from __future__ import annotations

import argparse

from filvm.cli.output import timed
from filvm.cli.runs import workspace_of
from filvm.experiments import RunError
from filvm.serving.explore import make_explorer
from filvm.serving.export import export_run, served_names, write_config
from filvm.serving.onnx import export_onnx


def export_command(arguments: argparse.Namespace) -> None:
    onnx = arguments.format == "onnx"
    if arguments.half and not onnx:
        raise RunError("--half is given; expected it with --format onnx: add that, or leave it out")
    workspace = workspace_of(arguments)
    folder = workspace.folder / "serving"
    options = {"check": arguments.check, "only_changed": arguments.only_changed}
    for name in served_names(arguments.name, workspace):
        with timed(name):
            if onnx:
                made = export_onnx(name, workspace, folder, half=arguments.half, **options)
            else:
                made = export_run(name, workspace, folder, **options)
        notes = ["new" if made.new else "unchanged", f"{made.megabytes:.1f} MB"]
        if made.differences is not None:
            largest = max(made.differences.values())
            notes.append(f"equal to the Python model within {largest:.1g}")
        if not onnx and not made.warmed:
            notes.append("no warm-up records (`pip install 'filvm[serving]'`)")
        print(f"{name}: {made.folder}: {', '.join(notes)}", flush=True)
    if not onnx:
        print(f"{write_config(folder, arguments.base_path)} lists them for the server")


def make_explorer_command(arguments: argparse.Namespace) -> None:
    workspace = workspace_of(arguments)
    folder = workspace.folder / "explorer"
    with timed("explorer"):
        made = make_explorer(workspace, folder, half=not arguments.single)
    models = sum(path.stat().st_size for path in (folder / "models").rglob("*.*"))
    print(f"{folder}: {', '.join(made['views'])}; models {models / 1e6:.1f} MB")

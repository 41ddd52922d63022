"""The arguments of every command."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from filvm.version import __version__

PROFILES = ("full", "quick", "smoke")
FLAG: dict[str, Any] = {"action": "store_true"}


def folder(path: str) -> Path:
    """A shell leaves `~` to the program in `--data=~/digits`."""
    return Path(path).expanduser()


def parser() -> argparse.ArgumentParser:
    """The parser; `command` of its result is "<module of filvm.cli>.<function>"."""
    whole = argparse.ArgumentParser(
        prog="filvm", description="Interpretable lens variable models: train, measure, draw."
    )
    whole.add_argument("--version", action="version", version=f"filvm {__version__}")
    commands = whole.add_subparsers(metavar="command", required=True)

    profile = argparse.ArgumentParser(add_help=False)
    profile.add_argument(
        "--profile",
        default="full",
        choices=PROFILES,
        help="full: the report; quick: minutes; smoke: for tests (default: full)",
    )
    runs = argparse.ArgumentParser(add_help=False, parents=[profile])
    runs.add_argument("--runs", type=folder, default=Path("runs"), help="folder of the runs")
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--data", type=folder, default=Path("data"), help="folder of the data")
    data.add_argument(
        "--require-mnist",
        help="fail if MNIST is not found, instead of using a sample of 5,000 digits",
        **FLAG,
    )

    def add(module: str, name: str, summary: str, *parents: argparse.ArgumentParser) -> Any:
        command = commands.add_parser(name, help=summary, parents=parents)
        command.set_defaults(command=f"{module}.{name}_command")
        return command.add_argument

    argument = add("runs", "data", "find or download MNIST, and derive data from it", data, profile)
    argument(
        "what",
        nargs="*",
        default=["mnist"],
        help="mnist (default), thickness (of every stroke), mnist-r (rotated digits), "
        "morphometrics (six measures of every digit's shape)",
    )

    add("runs", "list", "list every experiment with its settings", profile)

    argument = add(
        "runs",
        "train",
        "train an experiment, or continue it; experiments that it needs are trained first",
        data,
        runs,
    )
    argument("experiment", nargs="+", help="a name from `filvm list`")
    argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="change settings",
    )
    argument("--restart", help="delete the run and train again", **FLAG)
    argument("--deterministic", help="the same weights every time, but slower", **FLAG)
    argument(
        "--strategy",
        choices=("mirrored", "multi-worker"),
        help="train on all devices of this machine, or with all workers that TF_CONFIG lists",
    )

    argument = add("runs", "evaluate", "measure a trained model again", data, runs)
    argument("experiment", help="a name from `filvm list`")

    argument = add(
        "results", "figures", "draw figures of finished runs, write RESULTS.md", data, runs
    )
    argument(
        "figure",
        nargs="*",
        help="for example figure_03, or hero (the moving picture); default: all, and RESULTS.md",
    )
    argument("--except", dest="left_out", nargs="+", default=[], help="all but these")

    argument = add("runs", "notebooks", "execute the notebooks of notebooks/", data, runs)
    argument("name", nargs="*", help="for example 01_vae_on_mnist; default: those of the report")

    add("results", "results", "write RESULTS.md from the finished runs", data, runs)
    add("results", "ablations", "tables and figures of the finished ablations", data, runs)
    add(
        "results",
        "beyond",
        "tables and figures of the finished experiments beyond the report",
        data,
        runs,
    )

    argument = add(
        "results", "publish", "copy figures, tables, notebooks into the repository", data, runs
    )
    argument("--to", type=folder, default=Path("docs"), help="folder (default: docs)")

    argument = add("serving", "export", "write models for TensorFlow Serving, or as ONNX", runs)
    argument("name", nargs="*", help="for example filvm_mnist; default: every finished one")
    argument(
        "--format",
        default="savedmodel",
        choices=("savedmodel", "onnx"),
        help="savedmodel (default), or onnx: one graph per signature, in NAME/onnx",
    )
    argument("--half", help="store the weights of ONNX graphs in half precision", **FLAG)
    argument(
        "--check",
        help="load each export as the server (or onnxruntime) does, and compare it with the Python "
        "model, before the server finds it",
        **FLAG,
    )
    argument("--only-changed", help="export only models that have changed", **FLAG)
    argument(
        "--base-path", default="/models", help="the folder's path on the server (default: /models)"
    )

    argument = add("runs", "explore", "open a page that runs the models in the browser", data, runs)
    argument(
        "--make",
        dest="command",
        action="store_const",
        const="serving.make_explorer_command",
        help="write the page and its models instead of serving them",
    )
    argument("--single", help="with --make: weights in single precision", **FLAG)
    argument("--port", type=int, default=0, help="default: a free one")
    argument("--no-browser", help="do not open a browser", **FLAG)
    return whole

"""The command line: it reads arguments, calls the package, and prints."""

from __future__ import annotations

import argparse
import contextlib
import logging
import os
import re
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from filvm.version import __version__

if TYPE_CHECKING:
    from filvm.data import Mnist
    from filvm.experiments import Workspace

# Each command imports what it uses: `filvm --help` must answer without NumPy and TensorFlow.

USAGE_ERROR, START_AGAIN, INTERRUPTED, BROKEN_PIPE = 2, 75, 130, 141
PROFILES = ("full", "quick", "smoke")


def main(arguments: list[str] | None = None) -> int:
    """Run the command line.

    Args:
        arguments: those of the process by default.

    Returns:
        The exit status: 0; 2 for an error that the user can correct; 75 if another worker ended
        (the same command continues); 130 after Ctrl-C; 141 if the reader of stdout has ended.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if "tensorflow" not in sys.modules:  # TensorFlow reads it when it is imported
        os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # otherwise Keras 3 is imported too: 1 s
    parsed = _parser().parse_args(arguments)
    try:
        with _short_warnings():
            parsed.command(parsed)
        sys.stdout.flush()  # here, a full disk is reported like any other error
    except KeyboardInterrupt:
        print("filvm: interrupted; the same command continues", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:  # for example `filvm list | head -1`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except Exception as error:
        from filvm.experiments import WorkerLost

        message = _message(error)
        if os.environ.get("FILVM_TRACEBACK") or not message:
            raise
        print(f"filvm: {message}", file=sys.stderr)
        return START_AGAIN if isinstance(error, WorkerLost) else USAGE_ERROR
    return 0


def _message(error: Exception) -> str:
    """One line about an error that the user can correct; "" for any other error."""
    from filvm.data import MnistError
    from filvm.experiments import RunError
    from filvm.files import first_line

    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}; correct this, then the same command continues"
    if isinstance(error, RunError | MnistError | ValueError | OSError | ArithmeticError):
        return str(error)
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow and isinstance(error, tensorflow.errors.OpError):  # from its own file system
        line = re.sub(r"^\{\{.*?\}\} ?| ?\[Op:\w+\]", "", first_line(error))
        return f"{line}; correct this, then the same command continues"
    return ""


@contextlib.contextmanager
def _timed(name: str) -> Iterator[None]:
    """Print `name` at the beginning, and the seconds it took at the end."""
    print(f"{name} ...", flush=True)
    began = time.perf_counter()
    yield
    print(f"{name}: {time.perf_counter() - began:.1f} s", flush=True)


@contextlib.contextmanager
def _short_warnings() -> Iterator[None]:
    """Print warnings in one line, without the place in the source; silence TensorFlow's logger.

    TensorFlow warns of many models in one process, which are intended here.
    """
    tensorflow = logging.getLogger("tensorflow")
    level = tensorflow.level
    tensorflow.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.filterwarnings("always", category=UserWarning, module="filvm")
        warnings.showwarning = lambda message, *_, **__: print(
            f"filvm: warning: {message}", file=sys.stderr
        )
        try:
            yield
        finally:
            tensorflow.setLevel(level)


def _import_tensorflow() -> None:
    """Import TensorFlow and find the devices, without the log lines that no setting switches off.

    Other lines on stderr are printed afterwards.
    """
    if "tensorflow" in sys.modules:
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as log:
        os.dup2(log.fileno(), 2)
        try:
            import tensorflow as tf

            tf.config.list_physical_devices()
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
            log.seek(0)
            for line in log:
                if not re.match(rb"WARNING: All log messages|[IWE]\d{4} ", line):
                    sys.stderr.write(line.decode(errors="replace"))


# Arguments.


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="filvm", description="Interpretable lens variable models: train, measure, draw."
    )
    parser.add_argument("--version", action="version", version=f"filvm {__version__}")
    commands = parser.add_subparsers(metavar="command", required=True)

    profile = argparse.ArgumentParser(add_help=False)
    profile.add_argument(
        "--profile",
        default="full",
        choices=PROFILES,
        help="full: the report; quick: minutes; smoke: for tests (default: full)",
    )
    runs = argparse.ArgumentParser(add_help=False, parents=[profile])
    runs.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the runs")
    data = argparse.ArgumentParser(add_help=False)
    data.add_argument("--data", type=Path, default=Path("data"), help="folder of the data")
    data.add_argument(
        "--require-mnist",
        action="store_true",
        help="fail if MNIST is not found, instead of using a sample of 5,000 digits",
    )

    command = commands.add_parser(
        "data", parents=[data], help="find or download MNIST, and derive data from it"
    )
    command.add_argument(
        "what",
        nargs="*",
        default=["mnist"],
        help="mnist (default), thickness (of every stroke), mnist-r (rotated digits), "
        "morphometrics (six measures of every digit's shape)",
    )
    command.set_defaults(command=_data)

    command = commands.add_parser(
        "list", parents=[profile], help="list every experiment with its settings"
    )
    command.set_defaults(command=_list)

    command = commands.add_parser(
        "train",
        parents=[data, runs],
        help="train an experiment, or continue it; experiments that it needs are trained first",
    )
    command.add_argument("experiment", nargs="+", help="a name from `filvm list`")
    command.add_argument(
        "--set",
        nargs="+",
        action="extend",
        default=[],
        metavar="NAME=VALUE",
        help="change settings",
    )
    command.add_argument("--restart", action="store_true", help="delete the run and train again")
    command.add_argument(
        "--deterministic", action="store_true", help="the same weights every time, but slower"
    )
    command.add_argument(
        "--strategy",
        choices=("mirrored", "multi-worker"),
        help="train on all devices of this machine, or with all workers that TF_CONFIG lists",
    )
    command.set_defaults(command=_train)

    command = commands.add_parser(
        "evaluate", parents=[data, runs], help="measure a trained model again"
    )
    command.add_argument("experiment", help="a name from `filvm list`")
    command.set_defaults(command=_evaluate)

    command = commands.add_parser(
        "figures", parents=[data, runs], help="draw figures of finished runs, write RESULTS.md"
    )
    command.add_argument(
        "figure",
        nargs="*",
        help="for example figure_03, or hero (the moving picture); default: all",
    )
    command.set_defaults(command=_figures)

    command = commands.add_parser(
        "notebooks", parents=[data, runs], help="execute the notebooks of notebooks/"
    )
    command.add_argument(
        "name", nargs="*", help="for example 01_vae_on_mnist; default: those of the report"
    )
    command.set_defaults(command=_notebooks)

    command = commands.add_parser(
        "ablations", parents=[data, runs], help="tables and figures of the finished ablations"
    )
    command.set_defaults(command=_ablations)

    command = commands.add_parser(
        "beyond",
        parents=[data, runs],
        help="tables and figures of the finished experiments beyond the report",
    )
    command.set_defaults(command=_beyond)

    command = commands.add_parser(
        "publish", parents=[data, runs], help="copy figures, tables, notebooks into the repository"
    )
    command.add_argument("--to", type=Path, default=Path("docs"), help="folder (default: docs)")
    command.set_defaults(command=_publish)

    command = commands.add_parser(
        "export", parents=[runs], help="write models for TensorFlow Serving, or as ONNX"
    )
    command.add_argument(
        "name", nargs="*", help="for example filvm_mnist; default: every finished one"
    )
    command.add_argument(
        "--format",
        default="savedmodel",
        choices=("savedmodel", "onnx"),
        help="savedmodel (default), or onnx: one graph per signature, in NAME/onnx",
    )
    command.add_argument(
        "--half", action="store_true", help="store the weights of ONNX graphs in half precision"
    )
    command.add_argument(
        "--check",
        action="store_true",
        help="load each export as the server (or onnxruntime) does, and compare it with the Python "
        "model, before the server finds it",
    )
    command.add_argument(
        "--only-changed", action="store_true", help="export only models that have changed"
    )
    command.add_argument(
        "--base-path", default="/models", help="the folder's path on the server (default: /models)"
    )
    command.set_defaults(command=_export)

    command = commands.add_parser(
        "explore", parents=[data, runs], help="open a page that runs the models in the browser"
    )
    command.add_argument(
        "--make", action="store_true", help="write the page and its models instead of serving them"
    )
    command.add_argument(
        "--single", action="store_true", help="with --make: weights in single precision"
    )
    command.add_argument("--port", type=int, default=0, help="default: a free one")
    command.add_argument("--no-browser", action="store_true", help="do not open a browser")
    command.set_defaults(command=_explore)
    return parser


def _workspace(arguments: argparse.Namespace) -> Workspace:
    from filvm.experiments import Workspace

    folders = {"data": arguments.data} if "data" in arguments else {}
    require = getattr(arguments, "require_mnist", False)
    return Workspace(arguments.profile, arguments.runs, require_mnist=require, **folders)


# Commands.


def _data(arguments: argparse.Namespace) -> None:
    from filvm import data
    from filvm.experiments import RunError

    derived = {
        "thickness": data.load_thickness,
        "mnist-r": data.load_rotated_mnist,
        "morphometrics": data.load_morphometrics,
    }
    known = ["mnist", *derived]
    if unknown := set(arguments.what) - set(known):
        raise RunError(f"data is {', '.join(sorted(unknown))}; expected {', '.join(known)}")
    for name in [name for name in known if name in arguments.what]:
        with _timed(name):
            digits = data.load_mnist(
                arguments.data,
                require_mnist=arguments.require_mnist,
                retry_download=name == "mnist",
            )
            if name in derived:
                derived[name](digits, arguments.data)
                continue
            _record_source(digits, arguments.data / "mnist" / "source.json")
            if not digits.is_sample:  # a warning has said so
                print(
                    f"{digits.source} ({digits.origin}): {len(digits.train_images)} training "
                    f"digits, {len(digits.test_images)} test digits"
                )


def _record_source(digits: Mnist, path: Path) -> None:
    """Write which digits were found; leave the file, with its time, if they are the same."""
    from filvm.files import read_json, write_json

    if not path.is_file() or read_json(path).get("sha256") != digits.sha256:
        found = {"source": digits.source, "origin": digits.origin, "sha256": digits.sha256}
        write_json(path, found)


def _list(arguments: argparse.Namespace) -> None:
    from filvm.experiments import EXPERIMENTS

    for experiment in EXPERIMENTS.values():
        print(f"{experiment.name}: {experiment.summary}")
        if experiment.needs:
            print(f"    needs {', '.join(experiment.needs)}")
        settings = experiment.profiles[arguments.profile]
        print("    " + " ".join(f"{f.name}={getattr(settings, f.name)}" for f in fields(settings)))


def _train(arguments: argparse.Namespace) -> None:
    from filvm.experiments import RunError, TrainOptions, find_experiment, train_with_needs
    from filvm.runs.distributed import lost_workers_named, make_strategy

    for name in arguments.experiment:
        find_experiment(name)
    if arguments.set and len(arguments.experiment) > 1:
        raise RunError("--set changes the settings of one experiment; several are named")
    if arguments.deterministic:
        _import_tensorflow()
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
        # That is not enough: operations that run in parallel add up in no fixed order.
        tf.config.threading.set_inter_op_parallelism_threads(1)
    strategy = make_strategy(arguments.strategy) if arguments.strategy else None
    workspace = replace(_workspace(arguments), strategy=strategy)
    if any(workspace.run(name).digest() is None for name in arguments.experiment):
        _import_tensorflow()
    options = TrainOptions(arguments.set, arguments.restart, arguments.deterministic)
    with lost_workers_named(strategy):
        for name in arguments.experiment:
            with _timed(name):
                train_with_needs(name, workspace, options)
            print(f"{name}: model and metrics are in {workspace.run(name).folder}", flush=True)


def _evaluate(arguments: argparse.Namespace) -> None:
    import json

    from filvm.experiments import evaluate, find_experiment

    experiment = find_experiment(arguments.experiment)
    _workspace(arguments).run(experiment.name).check_done()
    _import_tensorflow()
    print(json.dumps(evaluate(experiment, _workspace(arguments).run(experiment.name)), indent=2))


def _figures(arguments: argparse.Namespace) -> None:
    _import_tensorflow()
    from filvm.experiments import RunError
    from filvm.report.figures import FIGURES, draw
    from filvm.report.hero import draw_hero
    from filvm.report.results import write_results

    known = [*FIGURES, "hero"]
    if unknown := set(arguments.figure) - set(known):
        raise RunError(f"figure is {', '.join(sorted(unknown))}; expected {', '.join(known)}")
    workspace = _workspace(arguments)
    folder = workspace.folder / "figures"
    for name in arguments.figure or known:
        with _timed(name):
            if name == "hero":
                draw_hero(workspace, workspace.folder / "hero.gif")
            else:
                draw(name, workspace, folder)
    if not arguments.figure:
        write_results(workspace, workspace.folder / "RESULTS.md")
    print(f"figures are in {folder}")


def _notebooks(arguments: argparse.Namespace) -> None:
    from filvm.experiments import RunError
    from filvm.report.notebooks import BEYOND, execute, notebook_names

    names = notebook_names()
    if unknown := set(arguments.name) - set(names):
        raise RunError(f"notebook is {', '.join(sorted(unknown))}; expected {', '.join(names)}")
    for name in arguments.name or [name for name in names if name not in BEYOND]:
        with _timed(name):
            path = execute(name, _workspace(arguments))
        print(f"{name}: {path}", flush=True)


def _ablations(arguments: argparse.Namespace) -> None:
    _import_tensorflow()
    from filvm.report.ablations import draw_ablations

    workspace = _workspace(arguments)
    for path in draw_ablations(workspace, workspace.folder / "ablations"):
        print(path)


def _beyond(arguments: argparse.Namespace) -> None:
    _import_tensorflow()
    from filvm.report.beyond import draw_beyond

    workspace = _workspace(arguments)
    folder = workspace.folder / "beyond"
    draw_beyond(workspace, folder)
    print(f"{folder}/beyond.md and its figures")


def _publish(arguments: argparse.Namespace) -> None:
    _import_tensorflow()
    from filvm.report.publish import publish

    for path in publish(_workspace(arguments), arguments.to, Path("notebooks")):
        print(path)


def _export(arguments: argparse.Namespace) -> None:
    from filvm.experiments import RunError

    if arguments.half and arguments.format != "onnx":
        raise RunError("--half is given; expected it with --format onnx: add that, or leave it out")
    _import_tensorflow()
    from filvm.serving import export as serving

    workspace = _workspace(arguments)
    folder = workspace.folder / "serving"
    options = {"check": arguments.check, "only_changed": arguments.only_changed}
    for name in serving.served_names(arguments.name, workspace):
        with _timed(name):
            if arguments.format == "onnx":
                from filvm.serving.onnx import export_onnx

                made = export_onnx(name, workspace, folder, half=arguments.half, **options)
            else:
                made = serving.export_run(name, workspace, folder, **options)
        notes = ["new" if made.new else "unchanged", f"{made.megabytes:.1f} MB"]
        if made.differences is not None:
            largest = max(made.differences.values())
            notes.append(f"equal to the Python model within {largest:.1g}")
        if arguments.format == "savedmodel" and not made.warmed:
            notes.append("no warm-up records (`pip install 'filvm[serving]'`)")
        print(f"{name}: {made.folder}: {', '.join(notes)}", flush=True)
    if arguments.format == "savedmodel":
        print(f"{serving.write_config(folder, arguments.base_path)} lists them for the server")


def _explore(arguments: argparse.Namespace) -> None:
    import webbrowser

    workspace = _workspace(arguments)
    folder = workspace.folder / "explorer"
    if arguments.make:
        _import_tensorflow()
        from filvm.serving.explore import make_explorer

        with _timed("explorer"):
            made = make_explorer(workspace, folder, half=not arguments.single)
        models = sum(path.stat().st_size for path in (folder / "models").rglob("*.*"))
        print(f"{folder}: {', '.join(made['views'])}; models {models / 1e6:.1f} MB")
        return
    from filvm.serving.page import server

    with server(folder, arguments.port) as serving:
        address = f"http://127.0.0.1:{serving.server_port}/"
        print(f"{address} shows {folder}; Ctrl-C ends it", flush=True)
        if not arguments.no_browser:
            webbrowser.open(address)
        serving.serve_forever()

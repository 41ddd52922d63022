"""The commands that import TensorFlow late or never, and the errors of all commands."""

from __future__ import annotations

import argparse
import json
import re
import sys
import webbrowser
from dataclasses import fields, replace
from pathlib import Path

from filvm import data
from filvm.cli.output import import_tensorflow, timed
from filvm.experiments import (
    EXPERIMENTS,
    RunError,
    TrainOptions,
    WorkerLost,
    Workspace,
    evaluate,
    find_experiment,
    train_with_needs,
)
from filvm.files import first_line, read_json, write_json
from filvm.report.notebooks import BEYOND, execute, notebook_names
from filvm.runs.distributed import lost_workers_named, make_strategy
from filvm.serving.page import server

USAGE_ERROR, START_AGAIN = 2, 75
WORKSPACE = ("profile", "runs", "data", "require_mnist")  # a command may lack some of them


def workspace_of(arguments: argparse.Namespace) -> Workspace:
    """The profile and folders that a command was given."""
    given = {name: value for name, value in vars(arguments).items() if name in WORKSPACE}
    return Workspace(**given)


def chosen(what: str, names: list[str], known: list[str]) -> list[str]:
    """The names among the known ones, in their order; a RunError lists the others."""
    if unknown := set(names) - set(known):
        raise RunError(f"{what} is {', '.join(sorted(unknown))}; expected {', '.join(known)}")
    return [name for name in known if name in names]


def data_command(arguments: argparse.Namespace) -> None:
    workspace = workspace_of(arguments)
    derived = {
        "thickness": workspace.thickness,
        "mnist-r": workspace.rotated_mnist,
        "morphometrics": workspace.morphometrics,
    }
    for name in chosen("data", arguments.what, ["mnist", *derived]):
        with timed(name):
            if name in derived:
                derived[name]()
                continue
            digits = data.load_mnist(
                arguments.data, require_mnist=arguments.require_mnist, retry_download=True
            )
            _record_source(digits, arguments.data / "mnist" / "source.json")
            if not digits.is_sample:  # a warning has said so
                print(
                    f"{digits.source} ({digits.origin}): {len(digits.train_images)} training "
                    f"digits, {len(digits.test_images)} test digits"
                )


def _record_source(digits: data.Mnist, path: Path) -> None:
    """Write which digits were found; leave the file, with its time, if they are the same."""
    if not path.is_file() or read_json(path).get("sha256") != digits.sha256:
        found = {"source": digits.source, "origin": digits.origin, "sha256": digits.sha256}
        write_json(path, found)


def list_command(arguments: argparse.Namespace) -> None:
    for experiment in EXPERIMENTS.values():
        print(f"{experiment.name}: {experiment.summary}")
        if experiment.needs:
            print(f"    needs {', '.join(experiment.needs)}")
        settings = experiment.profiles[arguments.profile]
        print("    " + " ".join(f"{f.name}={getattr(settings, f.name)}" for f in fields(settings)))


def train_command(arguments: argparse.Namespace) -> None:
    for name in arguments.experiment:
        find_experiment(name)
    if arguments.set and len(arguments.experiment) > 1:
        raise RunError("--set changes the settings of one experiment; several are named")
    if arguments.deterministic:
        config = import_tensorflow(start=False).config
        config.experimental.enable_op_determinism()
        # That is not enough: operations that run in parallel add up in no fixed order.
        config.threading.set_inter_op_parallelism_threads(1)
    strategy = make_strategy(arguments.strategy) if arguments.strategy else None
    workspace = replace(workspace_of(arguments), strategy=strategy)
    if any(workspace.run(name).digest() is None for name in arguments.experiment):
        import_tensorflow()
    options = TrainOptions(arguments.set, arguments.restart, arguments.deterministic)
    with lost_workers_named(strategy):
        for name in arguments.experiment:
            with timed(name):
                train_with_needs(name, workspace, options)
            print(f"{name}: model and metrics are in {workspace.run(name).folder}", flush=True)


def evaluate_command(arguments: argparse.Namespace) -> None:
    experiment = find_experiment(arguments.experiment)
    run = workspace_of(arguments).run(experiment.name)
    run.check_done()
    import_tensorflow()
    print(json.dumps(evaluate(experiment, run), indent=2))


def notebooks_command(arguments: argparse.Namespace) -> None:
    names = notebook_names()
    chosen("notebook", arguments.name, names)
    for name in arguments.name or [name for name in names if name not in BEYOND]:
        with timed(name):
            path = execute(name, workspace_of(arguments))
        print(f"{name}: {path}", flush=True)


def explore_command(arguments: argparse.Namespace) -> None:
    folder = workspace_of(arguments).folder / "explorer"
    with server(folder, arguments.port) as serving:
        address = f"http://127.0.0.1:{serving.server_port}/"
        print(f"{address} shows {folder}; Ctrl-C ends it", flush=True)
        if not arguments.no_browser:
            webbrowser.open(address)
        serving.serve_forever()


# Errors of all commands.


def message_and_status(error: Exception) -> tuple[str, int]:
    """One line about an error that the user can correct, "" for any other; the exit status."""
    return _message(error), START_AGAIN if isinstance(error, WorkerLost) else USAGE_ERROR


def _message(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}; correct this, then the same command continues"
    if isinstance(error, RunError | data.MnistError | ValueError | OSError | ArithmeticError):
        return str(error)
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow and isinstance(error, tensorflow.errors.OpError):  # from its own file system
        line = re.sub(r"^\{\{.*?\}\} ?| ?\[Op:\w+\]", "", first_line(error))
        return f"{line}; correct this, then the same command continues"
    return ""

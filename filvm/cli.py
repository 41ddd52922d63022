"""The command line: reads arguments, calls the package, prints. There is no science in here."""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filvm.processes import plain_warnings, timed
from filvm.version import __version__

if TYPE_CHECKING:
    import tensorflow as tf

    from filvm.experiments import Experiment, Workspace

# Experiments, figures and TensorFlow are imported by the commands that use them: `filvm --help`
# has to answer at once.

USAGE_ERROR, START_AGAIN, INTERRUPTED = 2, 75, 130


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return the exit status."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")  # or Keras 3 is imported too, a second of it
    parsed = _parser().parse_args(arguments)
    try:
        with plain_warnings():
            parsed.command(parsed)
        sys.stdout.flush()  # what cannot be printed is an error like others
    except KeyboardInterrupt:
        print("filvm: interrupted; the same command continues", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        from filvm.experiments import WorkerLost
        from filvm.reproduce import in_words

        if os.environ.get("FILVM_TRACEBACK") or not (said := in_words(error)):
            raise
        print(f"filvm: {said}", file=sys.stderr)

        return START_AGAIN if isinstance(error, WorkerLost) else USAGE_ERROR
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="filvm", description="Interpretable lens variable models: train, measure, draw."
    )
    parser.add_argument("--version", action="version", version=f"filvm {__version__}")
    commands = parser.add_subparsers(metavar="command", required=True)

    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--data", type=Path, default=Path("data"), help="folder of the data")
    shared.add_argument(
        "--require-mnist",
        action="store_true",
        help="fail where MNIST cannot be had, rather than use 5,000 digits of it",
    )
    of_runs = argparse.ArgumentParser(add_help=False)
    of_runs.add_argument("--runs", type=Path, default=Path("runs"), help="folder of the runs")
    of_runs.add_argument(
        "--profile",
        default="full",
        choices=("full", "quick", "smoke"),
        help="full: the report; quick: minutes; smoke: for tests (default: full)",
    )

    data = commands.add_parser(
        "data", parents=[shared], help="find or download MNIST, and make what is derived from it"
    )
    data.add_argument(
        "what",
        nargs="*",
        default=["mnist"],
        help="mnist (default), thickness (of all strokes), mnist-r (rotated digits), "
        "morphometrics (six measures of every digit's shape)",
    )
    data.set_defaults(command=_data)

    listing = commands.add_parser("list", help="every experiment with its settings")
    listing.add_argument("--profile", default="full", choices=("full", "quick", "smoke"))
    listing.set_defaults(command=_list)

    train = commands.add_parser(
        "train", parents=[shared, of_runs], help="train an experiment, or continue it"
    )
    train.add_argument("experiment", nargs="+", help="a name from `filvm list`")
    train.add_argument("--set", nargs="+", default=[], metavar="NAME=VALUE", help="other settings")
    train.add_argument("--restart", action="store_true", help="drop what is there; train anew")
    train.add_argument(
        "--deterministic", action="store_true", help="the same weights every time, but slower"
    )
    train.add_argument(
        "--strategy",
        choices=("mirrored", "multi-worker"),
        help="train on all devices of this machine, or with all workers that TF_CONFIG lists",
    )
    train.set_defaults(command=_train)

    evaluate = commands.add_parser(
        "evaluate", parents=[of_runs], help="print what an experiment measured"
    )
    evaluate.add_argument("experiment", help="a name from `filvm list`")
    evaluate.set_defaults(command=_evaluate)

    figures = commands.add_parser(
        "figures", parents=[shared, of_runs], help="draw figures, write RESULTS.md"
    )
    figures.add_argument("figure", nargs="*", help="for example figure_03; default: all")
    figures.set_defaults(command=_figures)

    notebooks = commands.add_parser(
        "notebooks", parents=[shared, of_runs], help="execute the notebooks of notebooks/"
    )
    notebooks.add_argument(
        "name", nargs="*", help="for example 01_vae_on_mnist; default: the report's"
    )
    notebooks.set_defaults(command=_notebooks)

    ablations = commands.add_parser(
        "ablations",
        parents=[shared, of_runs],
        help="what each part of the FILVM is worth: three seeds of every variant, table and figure",
    )
    ablations.add_argument(
        "--jobs", type=int, default=0, help="how many to train at once (default: one to a core)"
    )
    ablations.set_defaults(command=_ablations)

    beyond = commands.add_parser(
        "beyond", parents=[shared, of_runs], help="what is not the report's: train, table, figure"
    )
    beyond.set_defaults(command=_beyond)

    publish = commands.add_parser(
        "publish", parents=[shared, of_runs], help="copy what a run made to docs/ and notebooks/"
    )
    publish.add_argument("--to", type=Path, default=Path("docs"), help="where to (default: docs)")
    publish.set_defaults(command=_publish)

    export = commands.add_parser(
        "export", parents=[of_runs], help="write models for TensorFlow Serving"
    )
    export.add_argument(
        "name", nargs="*", help="for example filvm_mnist; default: all that is done"
    )
    export.add_argument(
        "--check",
        action="store_true",
        help="load it as the server does and compare with the Python model before it appears",
    )
    export.add_argument(
        "--only-changed", action="store_true", help="no new version of what has not changed"
    )
    export.add_argument(
        "--base-path", default="/models", help="where the server sees the folder (default: /models)"
    )
    export.set_defaults(command=_export)

    reproduce = commands.add_parser(
        "reproduce",
        parents=[shared, of_runs],
        help="all of the report, or a part of it and what that needs, as far as it is missing",
    )
    reproduce.add_argument(
        "target",
        nargs="*",
        help="mnist, mnist-r, thickness, morphometrics, train, figures, notebooks, or the name of "
        "an experiment or of a notebook (default: all)",
    )
    reproduce.add_argument(
        "--jobs", type=int, default=2, help="how much to make side by side (default: 2)"
    )
    reproduce.set_defaults(command=_reproduce)
    return parser


def _data(arguments: argparse.Namespace) -> None:
    from filvm.experiments import RunError, Workspace
    from filvm.reproduce import DATA, make_data

    if unknown := set(arguments.what) - set(DATA):
        raise RunError(f"no data is called {', '.join(unknown)}; there are {', '.join(DATA)}")
    workspace = Workspace(data=arguments.data, require_mnist=arguments.require_mnist)
    for name in DATA:
        if name in arguments.what:
            with timed(name):
                make_data(name, workspace)


def _list(arguments: argparse.Namespace) -> None:
    from filvm.experiments import EXPERIMENTS

    for experiment in EXPERIMENTS.values():
        print(f"{experiment.name}: {experiment.summary}")
        if experiment.needs:
            print(f"    needs {', '.join(experiment.needs)}")
        settings = experiment.profiles[arguments.profile]
        print("    " + " ".join(f"{f.name}={getattr(settings, f.name)}" for f in fields(settings)))


def _train(arguments: argparse.Namespace) -> None:
    if arguments.deterministic:
        import tensorflow as tf

        tf.config.experimental.enable_op_determinism()
        # Beyond what that does: operations that run side by side add up in no fixed order.
        tf.config.threading.set_inter_op_parallelism_threads(1)
    if arguments.set and len(arguments.experiment) > 1:
        from filvm.experiments import RunError

        raise RunError("--set goes with one experiment at a time")
    from filvm.runs import distributed as distribution

    strategy = distribution.strategy_of(arguments.strategy) if arguments.strategy else None
    with distribution.naming_lost_workers(strategy):
        for name in arguments.experiment:
            _train_one(
                name,
                arguments,
                strategy=strategy,
                overrides=arguments.set,
                restart=arguments.restart,
                deterministic=arguments.deterministic,
            )


def _train_one(
    name: str,
    arguments: argparse.Namespace,
    *,
    strategy: tf.distribute.Strategy | None = None,
    **options: Any,
) -> None:
    """`options` are those of `run_experiment`."""
    from filvm.experiments import run_experiment

    run = replace(_workspace(arguments), strategy=strategy).run(name)
    with timed(name):
        run_experiment(_experiment(name), run, **options)
    print(f"{name}: model and metrics are in {run.folder}", flush=True)


def _evaluate(arguments: argparse.Namespace) -> None:
    import json

    from filvm.experiments import Workspace

    _experiment(arguments.experiment)
    workspace = Workspace(arguments.profile, arguments.runs)
    print(json.dumps(workspace.run(arguments.experiment).metrics(), indent=2))


def _figures(arguments: argparse.Namespace) -> None:
    from filvm.reproduce import draw_figures

    draw_figures(arguments.figure, _workspace(arguments))
    print(f"figures are in {arguments.runs / arguments.profile / 'figures'}")


def _notebooks(arguments: argparse.Namespace) -> None:
    from filvm.experiments import RunError
    from filvm.experiments.invertible import NOTEBOOK
    from filvm.report.notebooks import execute, notebook_names

    names = notebook_names()
    if unknown := set(arguments.name) - set(names):
        raise RunError(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(names)}")
    for name in arguments.name or [name for name in names if name != NOTEBOOK]:
        with timed(name):
            path = execute(name, _workspace(arguments))
        print(f"{name}: {path}", flush=True)


def _ablations(arguments: argparse.Namespace) -> None:
    from filvm.experiments import ablations
    from filvm.report.figures import draw_ablations

    with timed("ablations"):
        table = ablations.run_all(_workspace(arguments), arguments.jobs)
    folder = arguments.runs / arguments.profile / "ablations"
    draw_ablations(table, folder)
    print(f"{folder}/ablations.md, .csv and .png")


def _beyond(arguments: argparse.Namespace) -> None:
    from filvm.experiments import BEYOND
    from filvm.report.beyond import draw_beyond

    for name in BEYOND:
        _train_one(name, arguments)
    folder = arguments.runs / arguments.profile / "beyond"
    draw_beyond(_workspace(arguments), folder)
    print(f"{folder}/beyond.md, undone.png and traversals.png")


def _publish(arguments: argparse.Namespace) -> None:
    from filvm.report.publish import publish

    for path in publish(_workspace(arguments), arguments.to, Path("notebooks")):
        print(path)


def _export(arguments: argparse.Namespace) -> None:
    from filvm.experiments import Workspace
    from filvm.serving import export as serving

    workspace = Workspace(arguments.profile, arguments.runs)
    folder = arguments.runs / arguments.profile / "serving"
    for name in serving.served_names(arguments.name, workspace):
        with timed(name):
            made = serving.export_run(
                name, workspace, folder, check=arguments.check, only_changed=arguments.only_changed
            )
        notes = ["new" if made.new else "unchanged", f"{made.megabytes:.1f} MB"]
        if made.differences is not None:
            notes.append(f"as the Python model within {max(made.differences.values()):.1g}")
        if not made.warmed:
            notes.append("no warm-up records (`pip install 'filvm[serving]'`)")
        print(f"{name}: {made.folder}: {', '.join(notes)}", flush=True)
    print(f"{serving.write_config(folder, arguments.base_path)} lists them for the server")


def _reproduce(arguments: argparse.Namespace) -> None:
    from filvm.reproduce import reproduce

    reproduce(_workspace(arguments), arguments.target, jobs=arguments.jobs)


def _experiment(name: str) -> Experiment:
    from filvm.experiments import EXPERIMENTS, RunError

    if name not in EXPERIMENTS:
        raise RunError(f"there is no experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


def _workspace(arguments: argparse.Namespace) -> Workspace:
    from filvm.experiments import Workspace

    return Workspace(arguments.profile, arguments.runs, arguments.data, arguments.require_mnist)

"""An experiment: its settings under each profile, and how it is trained and measured.

Training leaves a model in the run's folder; measuring reads that model and gives the metrics. So
`evaluate` can measure again without training.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import platform
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from filvm.files import discard, exclusive, make_folder, write_json
from filvm.runs.distributed import PartDone, check_same, from_chief
from filvm.runs.ranges import out_of_range
from filvm.runs.run import Run, RunError
from filvm.version import __version__

LIBRARIES = ("tensorflow", "tf_keras", "tensorflow-probability", "numpy")


@dataclass(frozen=True)
class Experiment:
    """One experiment.

    Attributes:
        name: as on the command line.
        summary: one line.
        profiles: profile -> settings, a frozen dataclass.
        train: (settings, run) -> None; trains, or continues, and leaves the model in
            `run.model_folder`.
        measure: (settings, run) -> metrics, a dataclass or a dictionary; reads the saved model.
        needs: the experiments whose models it builds on.
        data: the data it reads: mnist, thickness, mnist-r or morphometrics.
        distributable: whether it trains with `fit_samples`, which supports strategies.
    """

    name: str
    summary: str
    profiles: Mapping[str, Any]
    train: Callable[[Any, Run], None]
    measure: Callable[[Any, Run], Any]
    needs: Sequence[str] = ()
    data: Sequence[str] = ()
    distributable: bool = True


@dataclass(frozen=True)
class TrainOptions:
    """How to train.

    Attributes:
        overrides: `name=value` strings that replace settings.
        restart: delete an existing run first.
        deterministic: the caller has made TensorFlow deterministic. A run is trained with or
            without it from its first epoch to its last.
    """

    overrides: Sequence[str] = ()
    restart: bool = False
    deterministic: bool = False


def with_overrides(settings: Any, overrides: Sequence[str]) -> Any:
    """A copy of a settings dataclass with `name=value` strings applied.

    >>> @dataclass(frozen=True)
    ... class Settings:
    ...     epochs: int = 20
    ...     beta: float = 1.0
    >>> with_overrides(Settings(), ["epochs=5", "beta=0.5"])
    Settings(epochs=5, beta=0.5)
    """
    kinds = typing.get_type_hints(type(settings))
    changes = {}
    for override in overrides:
        name, equals, text = override.partition("=")
        if not equals or name not in kinds:
            raise RunError(
                f"--set {override}: expected name=value with a name among {', '.join(kinds)}"
            )
        changes[name] = _parse(kinds[name], text, f"--set {override}")
    return dataclasses.replace(settings, **changes)


def checked_settings(experiment: Experiment, profile: str, overrides: Sequence[str]) -> Any:
    """The settings of an experiment with `name=value` strings applied.

    Raises:
        RunError: a name is unknown, or a value has the wrong type or is out of its range.
    """
    usual = experiment.profiles[profile]
    settings = with_overrides(usual, overrides)
    wrong = out_of_range(settings)
    epochs = getattr(settings, "epochs", 1)
    steps = getattr(settings, "steps", epochs)
    if not wrong and epochs > steps:
        wrong = f"epochs is {epochs}; expected 1 to {steps}, the number of steps"
    weights, expected = (len(getattr(s, "attribute_weights", ())) for s in (settings, usual))
    if not wrong and weights != expected:
        wrong = f"attribute_weights has {weights} numbers; expected {expected}, one per attribute"
    if wrong:
        raise RunError(f"{experiment.name}: {wrong}")
    return settings


def _parse(kind: Any, text: str, where: str) -> Any:
    try:
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if typing.get_origin(kind) is tuple:
            return tuple(_parse(typing.get_args(kind)[0], part, where) for part in text.split(","))
        return kind(text)
    except (ValueError, KeyError):
        expected = getattr(kind, "__name__", str(kind))
        raise RunError(f"{where}: expected a value of type {expected}") from None


def run_experiment(
    experiment: Experiment, run: Run, options: TrainOptions | None = None
) -> dict[str, Any]:
    """Train and measure one experiment, or continue it, or find it complete; return its metrics.

    The runs that it needs must be complete. Of several workers, all take part in the training, and
    the chief measures.

    Raises:
        RunError: a run that it needs is missing, a setting is out of its range, or the run has
            other settings.
        BlockingIOError: another process is training the same run.
    """
    options = options or TrainOptions()
    strategy = run.workspace.strategy
    if strategy is not None and not experiment.distributable:
        raise RunError(f"{run.name} is made by one process: pass `--strategy` with others only")
    for name in experiment.needs:
        run.workspace.run(name).check_done()
    settings = checked_settings(experiment, run.workspace.profile, options.overrides)
    wanted = {
        "experiment": experiment.name,
        "profile": run.workspace.profile,
        "settings": _plain(dataclasses.asdict(settings)),
        "deterministic": options.deterministic,
        "built_on": {name: run.workspace.run(name).digest() for name in experiment.needs},
        "filvm": __version__,
    }
    with exclusive(run.folder) if run.workspace.writes else contextlib.nullcontext():
        if run.workspace.writes:
            _prepare_folder(run, wanted, options.restart)
        done = run.digest() is not None
        if strategy is not None:
            check_same(strategy, _int64_digest(wanted), "its settings or the runs it builds on")
            done = from_chief(strategy, done)
        if done and run.workspace.writes:
            (run.folder / ".done").touch()  # make: it is newer than the runs it was built on
            discard(run.folder / "checkpoint")  # left by a kill just after .done was written
        if not done:
            _train_and_measure(experiment, settings, run, wanted)
    return run.metrics()


def _train_and_measure(
    experiment: Experiment, settings: Any, run: Run, wanted: dict[str, Any]
) -> None:
    strategy = run.workspace.strategy
    if run.workspace.writes:
        if not (run.folder / "config.json").is_file():
            versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
            versions = {"python": platform.python_version(), **versions}
            write_json(run.folder / "config.json", {**wanted, "versions": versions})
        experiment.train(settings, run)
        run.finish(_metrics(experiment, settings, run))
    else:
        with contextlib.suppress(PartDone):
            experiment.train(settings, run)
    if strategy is not None:
        from_chief(strategy, True)  # the other workers wait here for the chief


def evaluate(experiment: Experiment, run: Run) -> dict[str, Any]:
    """Measure the saved model of a complete run again; rewrite and return its metrics.

    Raises:
        RunError: the run is not complete.
        BlockingIOError: another process is training the run.
    """
    run.check_done()
    settings = kept_settings(run, experiment.profiles[run.workspace.profile])
    with exclusive(run.folder):
        metrics = _metrics(experiment, settings, run)
        write_json(run.folder / "metrics.json", metrics)
        (run.folder / ".done").touch()  # make: figures and tables are drawn again
    return metrics


def kept_settings(run: Run, usual: Any) -> Any:
    """The settings that a run was trained with; `usual` has those that `config.json` lacks.

    Raises:
        RunError: `config.json` has a setting that `usual` lacks.
    """
    kinds = typing.get_type_hints(type(usual))
    recorded = run.config()["settings"]
    if gone := sorted(recorded.keys() - kinds.keys()):
        raise RunError(
            f"{run.folder} was trained with {', '.join(gone)}, which this version does not have: "
            f"{run.restart_command} trains it again"
        )
    kept = {
        name: tuple(value) if typing.get_origin(kinds[name]) is tuple else value
        for name, value in recorded.items()
    }
    return dataclasses.replace(usual, **kept)


def _metrics(experiment: Experiment, settings: Any, run: Run) -> dict[str, Any]:
    measured = experiment.measure(settings, run)
    if dataclasses.is_dataclass(measured):
        # A group of measures that does not apply is left out; a value that is None stays, as null.
        optional = {field.name for field in dataclasses.fields(measured) if field.default is None}
        measured = {
            name: value
            for name, value in dataclasses.asdict(measured).items()
            if value is not None or name not in optional
        }
    return measured


def _int64_digest(content: dict[str, Any]) -> int:
    """An int64 that differs for other content."""
    text = json.dumps(content, sort_keys=True).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:7], "big")


def _prepare_folder(run: Run, wanted: dict[str, Any], restart: bool) -> None:
    """Keep an existing run of the wanted settings; else make room for it, or refuse."""
    if restart:
        discard(run.folder)
    make_folder(run.folder)
    if not (run.folder / "config.json").is_file():
        for name in (".done", "metrics.json", "checkpoint", "model"):
            discard(run.folder / name)  # their settings are unknown
        return
    existing = run.config()
    run.check_version()
    recorded, settings = existing.get("settings", {}), wanted["settings"]
    if recorded != settings:
        differences = ", ".join(
            f"{name} is {recorded.get(name)!r}, {settings.get(name)!r} was asked for"
            for name in {**settings, **recorded}
            if recorded.get(name) != settings.get(name)
        )
        raise RunError(
            f"{run.folder} holds a run with other settings ({differences}): pass `--restart` to "
            "replace it, or `--runs` to use another folder"
        )
    if existing.get("built_on") != wanted["built_on"]:
        discard(run.folder)  # a run that it was built on has been trained again
        make_folder(run.folder)
        return
    began, asked = existing.get("deterministic", False), wanted["deterministic"]
    if (asked and not began) or (began and not asked and run.digest() is None):
        raise RunError(
            f"{run.folder} was begun with{'' if began else 'out'} `--deterministic`: continue "
            f"with{'' if began else 'out'} it, or pass `--restart` to train again"
        )


def _plain(value: Any) -> Any:
    """`value` as it comes back from JSON: tuples become lists."""
    return json.loads(json.dumps(value))

"""Runs: which settings an experiment has, where it is kept, and whether it is up to date.

    runs/<profile>/<experiment>/   config.json  history.csv  metrics.json  model/  .done

`config.json` is written before training, `.done` after everything else; it holds a digest of what
was made, so that what was built on it can tell when it changes.
"""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import platform
import shutil
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filvm.data import Mnist, load_mnist
from filvm.files import read_json, replacing, write_json
from filvm.version import __version__

if TYPE_CHECKING:
    import tf_keras as keras

PROFILES = ("full", "quick", "smoke")
LIBRARIES = ("tensorflow", "tf_keras", "tensorflow-probability", "numpy")


class RunError(Exception):
    """A run cannot be made, continued or read; the message says why and what to do."""


@dataclass(frozen=True)
class Experiment:
    """One experiment of the report.

    Attributes:
        name: as on the command line.
        summary: one line.
        profiles: a frozen dataclass of settings for each of `PROFILES`.
        train: (settings, run) -> metrics; trains, and leaves the model in `run.model_folder`.
        needs: the experiments whose models it builds on.
    """

    name: str
    summary: str
    profiles: Mapping[str, Any]
    train: Callable[[Any, Run], dict[str, Any]]
    needs: Sequence[str] = ()


@dataclass(frozen=True)
class Run:
    """One experiment under one profile, and the places it reads and writes."""

    name: str
    profile: str = "full"
    runs_dir: Path = Path("runs")
    data_dir: Path = Path("data")
    require_mnist: bool = False

    @property
    def folder(self) -> Path:
        return Path(self.runs_dir) / self.profile / self.name

    @property
    def model_folder(self) -> Path:
        return self.folder / "model"

    def of(self, name: str) -> Run:
        """The run of another experiment under the same profile."""
        return dataclasses.replace(self, name=name)

    def mnist(self) -> Mnist:
        """The digits this run is made from; `config.json` comes to say which they are."""
        digits = load_mnist(self.data_dir, require_mnist=self.require_mnist)
        self.record_data(
            {"source": digits.source, "origin": digits.origin, "sha256": digits.sha256}
        )
        return digits

    def record_data(self, data: dict[str, str]) -> None:
        """Note in `config.json` which data the run is made from; refuse others than it began with.

        Which folder they came from may change; their digest may not.
        """
        if not (self.folder / "config.json").is_file():
            return  # read for a figure, not for training
        content = read_json(self.folder / "config.json")
        recorded = content.get("data")
        if recorded is None:
            write_json(self.folder / "config.json", {**content, "data": data})
        elif recorded.get("sha256") != data["sha256"]:
            raise RunError(
                f"{self.folder} was made from {recorded.get('source')}, and {data['source']} is "
                "what is found now: give `--restart` to train it anew, or bring the first one back"
            )

    def config(self) -> dict[str, Any]:
        """What `config.json` holds; a RunError if there is none."""
        path = self.folder / "config.json"
        if not path.is_file():
            raise RunError(
                f"{path} is missing: `filvm train {self.name} --profile {self.profile}` makes it"
            )
        return read_json(path)

    def metrics(self) -> dict[str, Any]:
        """What `metrics.json` holds; a RunError if the run is not complete."""
        self.check_done()
        return read_json(self.folder / "metrics.json")

    def digest(self) -> str | None:
        """Identifies what the run made; None while it is not complete."""
        done = self.folder / ".done"
        return done.read_text("utf-8").strip() if done.is_file() else None

    def check_done(self) -> None:
        if self.digest() is None:
            raise RunError(
                f"{self.folder} is not a complete run: "
                f"`filvm train {self.name} --profile {self.profile}` makes or completes it"
            )

    def model(self) -> keras.Model:
        """The trained model."""
        self.check_done()
        import tf_keras as keras

        import filvm.models  # noqa: F401  (its classes must be known to Keras)

        return keras.models.load_model(self.model_folder / "model.keras", compile=False)

    def save_model(self, model: keras.Model) -> None:
        """Leave `model`, without its optimiser, in `model_folder`, whole or not at all.

        In Keras' own format, which takes a tenth of the time of a SavedModel; `filvm export` makes
        SavedModels for servers.
        """
        never_compiled = type(model).from_config(model.get_config())
        never_compiled.set_weights(model.get_weights())
        with replacing(self.model_folder) as temporary:
            temporary.mkdir()
            never_compiled.save(temporary / "model.keras")


@dataclass(frozen=True)
class FinishedRun(Run):
    """A run to look at: however often its model is asked for, it is loaded once."""

    def model(self) -> keras.Model:
        self.check_done()
        return _loaded_once(self, self.digest())


@functools.cache
def _loaded_once(run: FinishedRun, digest: str) -> keras.Model:
    return Run.model(run)


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
    experiment: Experiment,
    run: Run,
    *,
    overrides: Sequence[str] = (),
    restart: bool = False,
) -> dict[str, Any]:
    """Train one experiment, or continue it, or find it done; return its metrics.

    What it needs must be done already. A run of other settings is not overwritten unless
    `restart`; a run that was built on a model which has since changed is made anew.
    """
    built_on = {name: run.of(name).digest() for name in experiment.needs}
    for name, digest in built_on.items():
        if digest is None:
            run.of(name).check_done()
    settings = with_overrides(experiment.profiles[run.profile], overrides)
    wanted = {
        "experiment": experiment.name,
        "profile": run.profile,
        "settings": _plain(dataclasses.asdict(settings)),
        "built_on": built_on,
        "filvm": __version__,
    }
    _prepare_folder(run, wanted, restart)
    if run.digest() is not None:
        (run.folder / ".done").touch()  # newer than what it was built on, which has not changed
        return run.metrics()
    if not (run.folder / "config.json").is_file():
        versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
        write_json(
            run.folder / "config.json",
            {**wanted, "versions": {"python": platform.python_version(), **versions}},
        )
    metrics = experiment.train(settings, run)
    write_json(run.folder / "metrics.json", metrics)
    shutil.rmtree(run.folder / "checkpoint", ignore_errors=True)
    digest = hashlib.sha256()
    for name in ("config.json", "metrics.json"):
        digest.update((run.folder / name).read_bytes())
    with replacing(run.folder / ".done") as temporary:
        temporary.write_text(digest.hexdigest() + "\n", "utf-8")
    return metrics


def _prepare_folder(run: Run, wanted: dict[str, Any], restart: bool) -> None:
    """Keep the run that is there if it is of the wanted settings; else make room, or refuse."""
    try:
        run.folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError:
        raise RunError(f"{run.folder} is a file; expected a folder: move it away") from None
    if restart:
        shutil.rmtree(run.folder)
        run.folder.mkdir()
        return
    if not (run.folder / "config.json").is_file():
        return
    there = run.config()
    if there.get("filvm") != wanted["filvm"]:
        raise RunError(
            f"{run.folder} was made by filvm {there.get('filvm')}, and this is {wanted['filvm']}: "
            "give `--restart` to make it anew, or `--runs` for another folder"
        )
    if there.get("settings") != wanted["settings"]:
        differences = ", ".join(
            f"{name}={there.get('settings', {}).get(name)!r} there, {value!r} asked"
            for name, value in wanted["settings"].items()
            if there.get("settings", {}).get(name) != value
        )
        raise RunError(
            f"{run.folder} holds a run with other settings ({differences}): give `--restart` to "
            "replace it, or `--runs` for another folder"
        )
    if there.get("built_on") != wanted["built_on"]:
        shutil.rmtree(run.folder)  # what it was built on has changed
        run.folder.mkdir()


def _plain(value: Any) -> Any:
    """`value` as JSON gives it back: tuples become lists."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value

"""Runs: which settings an experiment has, where it is kept, and whether it is up to date.

    runs/<profile>/<experiment>/   config.json  history.csv  metrics.json  model/  .done

`config.json` is written before training, `metrics.json` after it, when the model is there: with it,
nothing is trained again. `.done` comes after everything else; it holds a digest of what was made,
so that what was built on it can tell when it changes.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import platform
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filvm.data import Mnist
from filvm.data.mnist import SAMPLE_SOURCE
from filvm.files import (
    discard,
    exclusive,
    first_line,
    make_folder,
    read_json,
    replacing,
    write_json,
)
from filvm.runs.distributed import PartDone, check_same, from_chief
from filvm.runs.workspace import Workspace
from filvm.version import __version__

if TYPE_CHECKING:
    import tf_keras as keras

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
        data: the data that it reads: mnist, mnist-r, thickness or morphometrics.
        distributable: whether it trains with `training.fit`, which knows of strategies.
    """

    name: str
    summary: str
    profiles: Mapping[str, Any]
    train: Callable[[Any, Run], dict[str, Any]]
    needs: Sequence[str] = ()
    data: Sequence[str] = ()
    distributable: bool = True


@dataclass(frozen=True)
class Run:
    """One experiment in a workspace: the folder it is kept in, and what the folder holds.

    Args:
        name: the experiment's.
        workspace: profile and folders.
    """

    name: str
    workspace: Workspace

    @property
    def folder(self) -> Path:
        return self.workspace.folder / self.name

    @property
    def model_folder(self) -> Path:
        return self.folder / "model"

    def of(self, name: str) -> Run:
        """The run of another experiment of the same workspace."""
        return self.workspace.run(name)

    def mnist(self) -> Mnist:
        """The digits this run is made from; `config.json` comes to say which they are."""
        digits = self.workspace.mnist()
        self.record_data(
            {"source": digits.source, "origin": digits.origin, "sha256": digits.sha256}
        )
        return digits

    def record_data(self, data: dict[str, str]) -> None:
        """Note in `config.json` which data the run is made from.

        A RunError if it began with others, or what it is built on was made from others. Which
        folder they came from may change; their digest may not.
        """
        if not self.workspace.writes or not (self.folder / "config.json").is_file():
            return  # read by another worker, or for a figure, not for training
        content = self.config()
        for run in (self, *map(self.of, content.get("built_on", {}))):
            recorded = run.config().get("data", data)
            if recorded.get("sha256") != data["sha256"]:
                raise RunError(
                    f"{run.folder} was made from {recorded.get('source')}, and {data['source']} is "
                    f"what is found now: bring the first one back, or train {run.name} anew with "
                    "`--restart`"
                )
        if "data" not in content:
            write_json(self.folder / "config.json", {**content, "data": data})

    def config(self) -> dict[str, Any]:
        """What `config.json` holds; a RunError if there is none, or one that no run has."""
        path = self.folder / "config.json"
        if not path.is_file():
            raise RunError(
                f"{path} is missing: "
                f"`filvm train {self.name} --profile {self.workspace.profile}` makes it"
            )
        content = read_json(path)
        for name in ("settings", "built_on", "data"):
            if not isinstance(content.get(name, {}), dict):
                raise RunError(
                    f"{path} holds {name}={content[name]!r}, as no run has it: give `--restart` to "
                    "train anew"
                )
        return content

    def metrics(self) -> dict[str, Any]:
        """What `metrics.json` holds; a RunError if the run is not complete."""
        self.check_done()
        return read_json(self.folder / "metrics.json")

    def digest(self) -> str | None:
        """Identifies what the run made; None while it is not complete."""
        done = self.folder / ".done"
        return done.read_text("utf-8").strip() if done.is_file() else None

    def check_done(self) -> None:
        """Raise a RunError unless the run is complete, of this version, and of models still there.

        A model that it was built on and that was trained anew since is another. A run made from
        the 5,000 digits that stand in for MNIST is not one of MNIST, where that is wanted.
        """
        train = f"`filvm train {self.name} --profile {self.workspace.profile}`"
        if self.digest() is None:
            raise RunError(f"{self.folder} is not a complete run: {train} makes or completes it")
        config = self.config()
        if config.get("filvm") != __version__:
            raise RunError(
                f"{self.folder} was made by filvm {config.get('filvm')}, and this is "
                f"{__version__}: `--restart` makes it anew, `--runs` is for another folder"
            )
        made_from = config.get("data", {}).get("source")
        if made_from == SAMPLE_SOURCE and self.workspace.refuses_sample:
            raise RunError(
                f"{self.folder} was made from the {made_from}, and MNIST is "
                f"{'required' if self.workspace.require_mnist else 'found now'}: delete "
                f"{self.folder.parent} to make all of it anew, or give `--runs` for another folder"
            )
        for name, digest in config.get("built_on", {}).items():
            if self.of(name).digest() != digest:
                raise RunError(
                    f"{self.folder} was built on another {name} than is there now: "
                    f"{train} makes it anew"
                )

    def model(self) -> keras.Model:
        """The trained model."""
        self.check_done()
        try:
            return _loaded(self.model_folder / "model.keras", self.digest())
        except Exception as error:  # a damaged file raises almost anything
            raise RunError(
                f"{self.model_folder} cannot be loaded ({first_line(error)}): `filvm train "
                f"{self.name} --profile {self.workspace.profile} --restart` makes it anew"
            ) from error

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


@functools.lru_cache(maxsize=16)
def _loaded(path: Path, digest: str) -> keras.Model:
    """The model of a finished run, loaded once for as long as the run stays the same."""
    import tf_keras as keras
    from tf_keras.src.saving.serialization_lib import SafeModeScope

    import filvm.lens  # noqa: F401  (its classes must be known to Keras)

    with SafeModeScope():  # no Python code out of the file, also one of an older format
        return keras.models.load_model(path, compile=False)


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
    deterministic: bool = False,
) -> dict[str, Any]:
    """Train one experiment, or continue it, or find it done; return its metrics.

    What it needs must be done already. A run of other settings is not overwritten unless
    `restart`; a run that was built on a model which has since changed is made anew. `deterministic`
    says that the caller has told TensorFlow so: a run is, or is not, from its beginning to its end.
    Workers other than the chief take part in the training, then wait until the chief has done the
    rest.

    Raises BlockingIOError while another process trains the same.
    """
    if run.workspace.strategy is not None and not experiment.distributable:
        raise RunError(f"{run.name} is made by one process: give `--strategy` with others only")
    for name in experiment.needs:
        run.of(name).check_done()
    settings = with_overrides(experiment.profiles[run.workspace.profile], overrides)
    wanted = {
        "experiment": experiment.name,
        "profile": run.workspace.profile,
        "settings": _plain(dataclasses.asdict(settings)),
        "deterministic": deterministic,
        "built_on": {name: run.of(name).digest() for name in experiment.needs},
        "filvm": __version__,
    }
    with exclusive(run.folder) if run.workspace.writes else contextlib.nullcontext():
        return _train(experiment, run, settings, wanted, restart)


def _train(
    experiment: Experiment, run: Run, settings: Any, wanted: dict[str, Any], restart: bool
) -> dict[str, Any]:
    if run.workspace.writes:
        _prepare_folder(run, wanted, restart)
    done = run.digest() is not None
    if run.workspace.strategy is not None:
        check_same(run.workspace.strategy, _number_of(wanted), "its settings or what it builds on")
        done = from_chief(run.workspace.strategy, done)
    if done:
        if run.workspace.writes:
            (run.folder / ".done").touch()  # newer than what it was built on, not changed since
        return run.metrics()
    measured = (run.folder / "metrics.json").is_file()
    if run.workspace.strategy is not None:
        measured = from_chief(run.workspace.strategy, measured)
    if not run.workspace.writes:
        if not measured:
            with contextlib.suppress(PartDone):
                experiment.train(settings, run)
        from_chief(run.workspace.strategy, True)  # waits for it
        return run.metrics()
    if not (run.folder / "config.json").is_file():
        versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
        write_json(
            run.folder / "config.json",
            {**wanted, "versions": {"python": platform.python_version(), **versions}},
        )
    if not measured:
        write_json(run.folder / "metrics.json", experiment.train(settings, run))
    discard(run.folder / "checkpoint")
    digest = hashlib.sha256()
    for name in ("config.json", "metrics.json"):
        digest.update((run.folder / name).read_bytes())
    with replacing(run.folder / ".done") as temporary:
        temporary.write_text(digest.hexdigest() + "\n", "utf-8")
    if run.workspace.strategy is not None:
        from_chief(run.workspace.strategy, True)  # the others wait for it
    return run.metrics()


def _number_of(wanted: dict[str, Any]) -> int:
    """An int64 that other content would change."""
    content = json.dumps(wanted, sort_keys=True).encode()
    return int.from_bytes(hashlib.sha256(content).digest()[:7], "big")


def _prepare_folder(run: Run, wanted: dict[str, Any], restart: bool) -> None:
    """Keep the run that is there if it is of the wanted settings; else make room, or refuse."""
    if restart:
        discard(run.folder)
    make_folder(run.folder)
    if not (run.folder / "config.json").is_file():
        for name in (".done", "metrics.json", "checkpoint", "model"):
            discard(run.folder / name)  # nobody knows of which settings
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
        discard(run.folder)  # what it was built on has changed
        make_folder(run.folder)
        return
    began, asked = there.get("deterministic", False), wanted["deterministic"]
    if (asked and not began) or (began and not asked and run.digest() is None):
        raise RunError(
            f"{run.folder} was begun with{'' if began else 'out'} `--deterministic`: go on "
            f"with{'' if began else 'out'} it, or give `--restart` to train anew"
        )


def _plain(value: Any) -> Any:
    """`value` as JSON gives it back: tuples become lists."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value

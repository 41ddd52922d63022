"""A run: one trained experiment on disk, and what reads it.

    runs/<profile>/<experiment>/   config.json  history.csv  model/  metrics.json  .done

`config.json` is written before training: settings, versions, data, and the digests of the runs that
this one was built on. `metrics.json` holds the measures of the model. `.done` is written last; it
holds a digest that identifies the trained model.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filvm.data import Mnist
from filvm.data.mnist import SAMPLE_SOURCE
from filvm.files import discard, first_line, read_json, replacing, write_json, write_text
from filvm.runs.workspace import Workspace
from filvm.version import __version__

if TYPE_CHECKING:
    import pandas as pd
    import tf_keras as keras


class RunError(Exception):
    """A run cannot be made, continued or read; the message says why and what to do."""


@dataclass(frozen=True)
class Run:
    """One experiment in a workspace: its folder and the files in it.

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

    @property
    def train_command(self) -> str:
        """The command that makes or completes this run."""
        return f"`filvm train {self.name} --profile {self.workspace.profile}`"

    @property
    def restart_command(self) -> str:
        """The command that deletes this run and makes it again."""
        return f"`filvm train {self.name} --profile {self.workspace.profile} --restart`"

    # The data.

    def mnist(self) -> Mnist:
        """The digits; `config.json` records which they are, if this run is being trained."""
        digits = self.workspace.mnist()
        self.record_data(
            {"source": digits.source, "origin": digits.origin, "sha256": digits.sha256}
        )
        return digits

    def record_data(self, data: dict[str, str]) -> None:
        """Write into `config.json` which data the run is trained on.

        Raises:
            RunError: this run, or a run that it is built on, was trained on other data. The folder
                they come from may change; their digest may not.
        """
        if not self.workspace.writes or not (self.folder / "config.json").is_file():
            return  # read by another worker, or for a figure, not for training
        content = self.config()
        for run in (self, *map(self.workspace.run, content.get("built_on", {}))):
            recorded = run.config().get("data", data)
            if recorded.get("sha256") != data["sha256"]:
                raise RunError(
                    f"{run.folder} was trained on {recorded.get('source')}; expected "
                    f"{data['source']}, which is found now: bring the first data back, or train "
                    f"{run.name} again with `--restart`"
                )
        if "data" not in content:
            write_json(self.folder / "config.json", {**content, "data": data})

    # The files.

    def config(self) -> dict[str, Any]:
        """The content of `config.json`; a RunError if it is missing or damaged."""
        path = self.folder / "config.json"
        if not path.is_file():
            raise RunError(f"{path} is missing: {self.train_command} makes it")
        content = read_json(path)
        for name in ("settings", "built_on", "data"):
            if not isinstance(content.get(name, {}), dict):
                raise RunError(
                    f'"{name}" in {path} is {content[name]!r}; expected a dictionary: the file is '
                    "damaged; delete the folder or pass `--restart`"
                )
        return content

    def metrics(self) -> dict[str, Any]:
        """The content of `metrics.json`; a RunError if the run is not complete."""
        self.check_done()
        return read_json(self.folder / "metrics.json")

    def history(self) -> pd.DataFrame:
        """One row per epoch: its losses and seconds."""
        import pandas as pd  # `filvm list` answers without it

        return pd.read_csv(self.folder / "history.csv")

    def training_seconds(self) -> float:
        """Seconds of all epochs."""
        return round(sum(self.history()["seconds"].tolist()), 1)

    def model(self) -> keras.Model:
        """The model of a complete run."""
        self.check_done()
        return self.saved_model()

    def saved_model(self) -> keras.Model:
        """The model in `model/`, whether or not it has been measured; it is loaded once.

        Raises:
            RunError: the file is missing or damaged.
        """
        from filvm.runs.models import loaded  # with TensorFlow

        path = self.model_folder / "model.keras"
        try:
            return loaded(path)
        except Exception as error:  # a damaged file raises almost anything
            raise RunError(
                f"{self.model_folder} cannot be loaded ({first_line(error)}): "
                f"{self.restart_command} trains it again"
            ) from error

    def save_model(self, model: keras.Model) -> None:
        """Write `model`, without its optimiser, into `model/`, atomically.

        In Keras' own format, which takes a tenth of the time of a SavedModel; `filvm export` makes
        SavedModels for servers.
        """
        from filvm.runs.models import remember, to_save  # with TensorFlow

        saved = to_save(model)
        with replacing(self.model_folder) as temporary:
            temporary.mkdir()
            saved.save(temporary / "model.keras")
        remember(self.model_folder / "model.keras", saved)

    # Complete or not.

    def digest(self) -> str | None:
        """Identifies the trained model; None while the run is not complete."""
        done = self.folder / ".done"
        return done.read_text("utf-8").strip() if done.is_file() else None

    def finish(self, metrics: dict[str, Any]) -> None:
        """Write the measures, then the mark that the run is complete; delete the checkpoint."""
        write_json(self.folder / "metrics.json", metrics)
        digest = hashlib.sha256((self.folder / "config.json").read_bytes())
        for path in sorted(self.model_folder.rglob("*")):
            if path.is_file():
                digest.update(path.read_bytes())
        write_text(self.folder / ".done", digest.hexdigest() + "\n")
        discard(self.folder / "checkpoint")  # last: without it, a kill before would lose the run

    def check_version(self) -> None:
        """Raise a RunError unless this version of filvm has made the run."""
        made_by = self.config().get("filvm")
        if made_by != __version__:
            raise RunError(
                f"{self.folder} was made by filvm {made_by}; expected {__version__}: pass "
                "`--restart` to train it again, or `--runs` to use another folder"
            )

    def check_done(self) -> None:
        """Raise a RunError unless the run is complete, of this version, and up to date.

        A run is out of date if a run that it was built on has been trained again, or if it was
        trained on the sample of 5,000 digits where MNIST is at hand or required.
        """
        if self.digest() is None:
            raise RunError(
                f"{self.folder} is not a complete run: {self.train_command} makes or completes it"
            )
        config = self.config()
        self.check_version()
        source = config.get("data", {}).get("source")
        if source == SAMPLE_SOURCE and self.workspace.refuses_sample:
            reason = "required" if self.workspace.require_mnist else "found now"
            raise RunError(
                f"{self.folder} was trained on the {source}, and MNIST is {reason}: delete "
                f"{self.workspace.folder} to train everything again, or pass `--runs` to use "
                "another folder"
            )
        for name, digest in config.get("built_on", {}).items():
            if self.workspace.run(name).digest() != digest:
                raise RunError(
                    f"{self.folder} was built on another {name} than the present one: "
                    f"{self.train_command} trains it again"
                )

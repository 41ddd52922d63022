"""Export models for TensorFlow Serving: version folders with warm-up records, checked.

    runs/<profile>/serving/models.config
    runs/<profile>/serving/<name>/<version>/   saved_model.pb  variables/  assets.extra/

A running server polls <name>/ and loads every number that appears there. A version is therefore
written and checked beside that folder, then moved into it in one step, under the next free number.
docs/serving.md describes the server's side.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from filvm.experiments import EXPERIMENTS, RunError, Workspace
from filvm.files import beside, exclusive, read_json, to_disk, write_json, write_text
from filvm.serving import check as saved_model
from filvm.serving.cases import BATCHES, Requests, check_cases, requests
from filvm.version import __version__

# Name on the server -> experiment: every experiment whose model is a VAE or a lens.
SERVED = {
    name.replace("-", "_"): name
    for name in EXPERIMENTS
    if name.startswith(("vae-", "ilvm-", "filvm-", "invertible-"))
}
WARMUP = Path("assets.extra", "tf_serving_warmup_requests")  # where TensorFlow Serving reads them
ABOUT = Path("assets.extra", "filvm.json")  # the run that a version was made from


class ServingError(RunError):
    """A model cannot be exported, or its export gives other answers; the message says why."""


@dataclass(frozen=True)
class Export:
    """The result of `export_run`.

    Attributes:
        folder: the version folder.
        new: whether this call made it.
        differences: largest difference from the Python model, by signature; None if not checked.
    """

    folder: Path
    new: bool
    differences: Mapping[str, float] | None

    @property
    def megabytes(self) -> float:
        """Size of all its files."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file()) / 1e6

    @property
    def warmed(self) -> bool:
        """Whether it holds warm-up records."""
        return (self.folder / WARMUP).is_file()


def served_names(names: Sequence[str], workspace: Workspace) -> list[str]:
    """The keys of `SERVED` to export: `names`, or if that is empty, all complete runs.

    Args:
        names: of experiments or of served models.
        workspace: where the runs are.

    Raises:
        ServingError: a name is unknown, or there is no complete run.
    """
    chosen = [name.replace("-", "_") for name in names]
    if unknown := sorted(set(chosen) - set(SERVED)):
        raise ServingError(f"model is {', '.join(unknown)}; expected some of {', '.join(SERVED)}")
    chosen = chosen or [
        name for name, experiment in SERVED.items() if workspace.run(experiment).digest()
    ]
    if not chosen:
        raise ServingError(
            f"{workspace.folder} holds no complete run; expected one of a VAE or a lens: "
            f"`filvm train vae-mnist --profile {workspace.profile}` makes one"
        )
    return chosen


def export_run(
    name: str,
    workspace: Workspace,
    folder: Path,
    *,
    check: bool = False,
    only_changed: bool = False,
) -> Export:
    """Export the model of a complete run as the next version in `folder`/`name`.

    Args:
        name: a key of `SERVED`.
        workspace: where the run is.
        folder: of all served models.
        check: run `check_export`.
        only_changed: make no new version if the latest one was made from the same run, by the same
            versions of filvm and TensorFlow.

    Raises:
        RunError: the run is not complete or not up to date, or the check fails.
    """
    run, about = workspace.run(SERVED[name]), about_run(name, workspace)
    with exclusive(folder / name):
        latest = latest_version(folder / name)
        if only_changed and latest and read_about(latest / ABOUT.parent) == about:
            differences = check_export(run.model(), latest) if check else None
            return Export(latest, new=False, differences=differences)
        version, differences = export_model(run.model(), folder / name, check=check, about=about)
        return Export(version, new=True, differences=differences)


def export_model(
    model: keras.Model,
    folder: str | Path,
    *,
    check: bool = False,
    about: Mapping[str, Any] | None = None,
) -> tuple[Path, dict[str, float] | None]:
    """Write a model as the next version in the folder that a server polls.

    Args:
        model: a VAE, a lens or a pipeline; its optimiser and training graphs are left out.
        folder: `.../<name>`; existing versions are never overwritten.
        check: run `check_export` before the version appears; if it fails, no version appears.
        about: what `filvm.json` in the version is to hold.

    Returns:
        The version's folder, and the result of `check_export` or None.

    >>> import tempfile
    >>> from filvm.vae import ConvVAE
    >>> with tempfile.TemporaryDirectory() as scratch:
    ...     export_model(ConvVAE(2, filters=(4, 8)), f"{scratch}/vae")[0].name
    '1'
    """
    folder = Path(folder)
    differences = None
    with beside(folder) as staged:
        staged.mkdir()
        staged.chmod(0o755)  # a server runs as another user
        model.save(str(staged), include_optimizer=False)
        write_warmup(staged / WARMUP, folder.name, requests(model, 1))
        write_json(staged / ABOUT, dict(about or {}))
        if check:
            differences = check_export(model, staged)
        return _publish(staged, folder), differences


def write_config(folder: Path, base_path: str = "/models") -> Path:
    """Write `folder`/models.config, which lists every model with a version, for one server.

    Args:
        folder: of all served models.
        base_path: the path of `folder` on the server; /models in its Docker image.
    """
    names = sorted(path.name for path in folder.glob("[!.]*") if latest_version(path))
    entries = "".join(
        f"  config {{\n"
        f"    name: {json.dumps(name)}\n"
        f"    base_path: {json.dumps(base_path.rstrip('/') + '/' + name)}\n"
        f'    model_platform: "tensorflow"\n'
        f"  }}\n"
        for name in names
    )
    path = folder / "models.config"
    write_text(path, f"model_config_list {{\n{entries}}}\n")
    return path


def write_warmup(path: Path, name: str, examples: Requests) -> bool:
    """Write one warm-up record per signature; False if tensorflow-serving-api is not installed.

    A server replays them before it answers clients: the first run of a signature takes 100 times
    as long as later runs.

    Args:
        path: of the file, a TFRecord of PredictionLog.
        name: of the model.
        examples: a request for each signature.
    """
    try:
        from tensorflow_serving.apis.predict_pb2 import PredictRequest
        from tensorflow_serving.apis.prediction_log_pb2 import PredictionLog, PredictLog
    except ImportError:
        return False
    path.parent.mkdir(parents=True, exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for signature, inputs in examples.items():
            request = PredictRequest()
            request.model_spec.name = name
            request.model_spec.signature_name = signature
            for key, array in inputs.items():
                request.inputs[key].CopyFrom(tf.make_tensor_proto(array))
            log = PredictionLog(predict_log=PredictLog(request=request))
            writer.write(log.SerializeToString(deterministic=True))
    return True


# The check.


def check_export(
    model: keras.Model, folder: Path, batches: Sequence[int] = BATCHES
) -> dict[str, float]:
    """Load a SavedModel as a server does, and compare its answers with those of the Python model.

    A fresh process (`filvm.serving.check`), in which no model class of filvm exists, loads it and
    runs every signature at every batch size.

    Args:
        model: the Python model.
        folder: the version folder.
        batches: batch sizes.

    Returns:
        The largest difference of each signature.

    Raises:
        ServingError: a difference is above `check.TOLERANCE`, or the graph holds something that a
            stock server cannot run.
    """
    cases = io.BytesIO()
    np.savez(cases, **check_cases(model, batches))
    command = [sys.executable, "-m", saved_model.__name__, str(folder), "-"]
    done = subprocess.run(command, input=cases.getvalue(), capture_output=True, check=False)
    try:
        result = json.loads(done.stdout)
    except ValueError:  # the process was killed, or TensorFlow aborted it
        said = done.stderr[-2000:].decode("utf-8", "replace")
        raise ServingError(
            f"the check of {folder} ended with status {done.returncode}: {said}"
        ) from None
    if result["faults"]:
        faults = "; ".join(result["faults"]).replace("\n", " ")
        raise ServingError(f"{folder} failed its check: {faults}")
    return result["differences"]


# Versions.


def latest_version(folder: Path) -> Path | None:
    """The version folder with the highest number in a model's folder; None without versions."""
    versions = [path for path in folder.glob("[0-9]*") if path.name.isdecimal() and path.is_dir()]
    return max(versions, key=lambda path: int(path.name), default=None)


def _publish(staged: Path, folder: Path) -> Path:
    """Move a complete version into a model's folder, under the next free number."""
    to_disk(staged)  # a version must not appear before its content is stored
    if folder.exists() and not folder.is_dir():
        raise ServingError(f"{folder} is a file; expected a folder of versions: move the file away")
    folder.mkdir(exist_ok=True)
    while True:
        latest = latest_version(folder)
        version = folder / str(int(latest.name) + 1 if latest else 1)
        try:
            os.rename(staged, version)
            return version
        except OSError:
            if not version.exists():
                raise  # otherwise another export took the number in the meantime


def about_run(name: str, workspace: Workspace) -> dict[str, Any]:
    """What `filvm.json` holds of a served model: the run and the versions it was made from.

    Raises:
        RunError: the run is not complete or not up to date.
    """
    run = workspace.run(SERVED[name])
    run.check_done()
    return {
        "experiment": run.name,
        "profile": workspace.profile,
        "run": run.digest(),
        "data": run.config().get("data"),
        "filvm": __version__,
        "tensorflow": tf.__version__,
    }


def read_about(folder: Path) -> dict[str, Any] | None:
    """The content of `filvm.json` in a folder; None without one."""
    path = folder / ABOUT.name
    return read_json(path) if path.is_file() else None

"""Exports for TensorFlow Serving: version folders, warm-up records, and a check before they appear.

    runs/<profile>/serving/models.config
    runs/<profile>/serving/<name>/<version>/   saved_model.pb  variables/  assets.extra/

A running server polls <name>/ and loads every number that appears there. So a version is written
and checked beside that folder and then moved into it in one step, under the next free number.
docs/serving.md shows the server's side.
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

from filvm.data import Categorical, make_sequences
from filvm.experiments import RunError, Workspace
from filvm.files import beside, exclusive, read_json, replacing, to_disk, write_json
from filvm.lens import Lens, LensPipeline
from filvm.serving import check as saved_model
from filvm.vae import VAE, SequenceVAE
from filvm.version import __version__

# What clients ask for -> the experiment whose model it is.
SERVED = {
    "vae_mnist": "vae-mnist",
    "vae_mnist_r": "vae-mnist-r",
    "vae_sequences": "vae-sequences",
    "ilvm_mnist": "ilvm-mnist",
    "filvm_mnist": "filvm-mnist",
    "filvm_mnist_r": "filvm-mnist-r",
    "filvm_sequences": "filvm-sequences",
}
BATCHES = (1, 7, 256)  # sizes that `check` tries
WARMUP = Path("assets.extra", "tf_serving_warmup_requests")  # the place TF Serving reads
ABOUT = Path("assets.extra", "filvm.json")  # which run a version was made from

Requests = dict[str, dict[str, np.ndarray]]


class ServingError(RunError):
    """A model cannot be exported, or does not answer as it should; the message says why."""


@dataclass(frozen=True)
class Export:
    """What `export_run` left or found.

    Attributes:
        folder: the version folder.
        new: whether it was made now.
        differences: largest difference from the Python model by signature; None if not checked.
    """

    folder: Path
    new: bool
    differences: Mapping[str, float] | None

    @property
    def megabytes(self) -> float:
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file()) / 1e6

    @property
    def warmed(self) -> bool:
        """Whether it holds warm-up records."""
        return (self.folder / WARMUP).is_file()


def served_names(names: Sequence[str], workspace: Workspace) -> list[str]:
    """Names to export: those asked for, as the client or the command line says them, or all done.

    Raises ServingError for a name that is not served, and when nothing
    was asked for and nothing is done.
    """
    chosen = [name.replace("-", "_") for name in names]
    if unknown := sorted(set(chosen) - set(SERVED)):
        raise ServingError(f"{', '.join(unknown)} is not served; there are {', '.join(SERVED)}")
    if chosen:
        return chosen
    done = [name for name, experiment in SERVED.items() if workspace.run(experiment).digest()]
    if not done:
        raise ServingError(
            f"{workspace.folder} has no complete run to export: "
            f"`filvm train NAME --profile {workspace.profile}` makes one of "
            f"{', '.join(SERVED.values())}"
        )
    return done


def export_run(
    name: str,
    workspace: Workspace,
    folder: Path,
    *,
    check: bool = False,
    only_changed: bool = False,
) -> Export:
    """Export the model of one complete run as the next version of `folder`/`name`.

    Args:
        name: a key of `SERVED`.
        workspace: where the run is.
        folder: of all served models.
        check: see `export_model`.
        only_changed: leave it at the latest version if that was made from the run as it is now,
            by this version of filvm.
    """
    run = workspace.run(SERVED[name])
    run.check_done()
    about = {
        "experiment": run.name,
        "profile": workspace.profile,
        "run": run.digest(),
        "data": run.config().get("data"),
        "filvm": __version__,
        "tensorflow": tf.__version__,
    }
    with exclusive(folder / name):
        latest = latest_version(folder / name)
        if only_changed and latest and _about(latest) == about:
            differences = check_export(run.model(), latest) if check else None
            return Export(latest, new=False, differences=differences)
        model = run.model()
        version, differences = export_model(model, folder / name, check=check, about=about)
        return Export(version, new=True, differences=differences)


def export_model(
    model: keras.Model,
    folder: str | Path,
    *,
    check: bool = False,
    about: Mapping[str, Any] | None = None,
) -> tuple[Path, dict[str, float] | None]:
    """Write a model as the next version of the folder that a server polls.

    Args:
        model: a VAE, a lens or a pipeline; its optimiser and training graphs stay behind.
        folder: `.../<name>`; its versions are never overwritten.
        check: run `check_export` before the version appears; if it fails, none does.
        about: kept in the version as JSON.

    Returns the version's folder, and what `check_export` returned.

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
        model.save(str(staged), include_optimizer=False, save_traces=False)
        write_warmup(staged / WARMUP, folder.name, requests(model, 1))
        write_json(staged / ABOUT, dict(about or {}))
        if check:
            differences = check_export(model, staged)
        return _publish(staged, folder), differences


def write_config(folder: Path, base_path: str = "/models") -> Path:
    """Write `folder`/models.config: every model that has a version, for one server.

    `base_path` is where the server sees `folder`; in its Docker image, /models.
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
    with replacing(folder / "models.config") as temporary:
        temporary.write_text(f"model_config_list {{\n{entries}}}\n", "utf-8")
    return folder / "models.config"


def write_warmup(path: Path, name: str, examples: Requests) -> bool:
    """Write one warm-up record per signature; False if tensorflow-serving-api is not installed.

    A server replays them before it answers clients: each signature's first run is 100 times slower.
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
    """Load a SavedModel as a server does and compare its answers with those of the Python model.

    A process of its own, without Python's TensorFlow, loads it through the C API
    (`filvm.serving.check`) and runs every signature at every batch size.

    Returns the largest difference by signature. Raises ServingError if one is above
    `saved_model.TOLERANCE`, or the graph holds what a stock server cannot run.
    """
    cases = io.BytesIO()
    np.savez(cases, **check_cases(model, batches))
    command = [sys.executable, "-m", saved_model.__name__, str(folder), "-"]
    done = subprocess.run(command, input=cases.getvalue(), capture_output=True, check=False)
    try:
        result = json.loads(done.stdout)
    except ValueError:  # it was killed, or TensorFlow's library aborted
        said = done.stderr[-2000:].decode("utf-8", "replace")
        raise ServingError(
            f"loading {folder} ended with status {done.returncode}: {said}"
        ) from None
    if result["faults"] or done.returncode:
        raise ServingError(
            f"{folder} is not fit to be served: " + "; ".join(result["faults"]).replace("\n", " ")
        )
    return result["differences"]


def check_cases(model: keras.Model, batches: Sequence[int] = BATCHES) -> dict[str, np.ndarray]:
    """Requests and the Python model's answers, named as `check.compare` reads them."""
    cases = {}
    for batch in batches:
        for signature, inputs in requests(model, batch, seed=batch).items():
            for side, arrays in (("in", inputs), ("out", answers(model, signature, inputs))):
                for name, array in arrays.items():
                    cases[f"{signature}/{batch}/{side}/{name}"] = array
    return cases


def requests(model: keras.Model, batch: int, *, seed: int = 0) -> Requests:
    """An example request for every signature: inputs by name, by signature."""
    rng = np.random.default_rng(seed)
    observed = _observations(model, batch, seed)
    lens = model.lens if isinstance(model, LensPipeline) else model
    latents = rng.standard_normal((batch, lens.latent_dim), np.float32)
    if isinstance(model, VAE):
        return {
            "serving_default": observed,
            "reconstruct": observed,
            "encode": observed,
            "decode": {"z": latents},
        }
    dimension = rng.integers(0, lens.latent_dim, batch).astype(np.int32)
    value = rng.standard_normal(batch, np.float32)
    return {
        "serving_default": observed,
        "encode": observed,
        "encode_with_side_information": {**observed, **_side_information(lens, batch, rng)},
        "decode": {"z_star": latents},
        "manipulate": {**observed, "dimension": dimension, "value": value},
    }


def _observations(model: keras.Model, batch: int, seed: int) -> dict[str, np.ndarray]:
    """What a model encodes, by its input's name: samples of its own, or made-up sequences."""
    if isinstance(model, Lens):
        z = np.random.default_rng(seed).standard_normal((batch, model.latent_dim), np.float32)
        return {"z": z}
    vae = model.vae if isinstance(model, LensPipeline) else model
    if isinstance(vae, SequenceVAE):
        longest = vae.max_length
        x = make_sequences(batch, seed, length=(2, longest), max_length=longest).numbers
    else:
        x = vae.sample(batch, seed=seed)
    return {vae.encoder.input_names[0]: x}


def _side_information(lens: Lens, batch: int, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A value for every attribute and row, about a third of them missing."""
    side = {}
    for attribute, mean, scale in zip(
        lens.attributes, lens.attribute_mean.numpy(), lens.attribute_scale.numpy(), strict=True
    ):
        if isinstance(attribute, Categorical):
            values, missing = rng.integers(0, attribute.num_classes, batch), -1.0
        else:
            values, missing = mean + scale * rng.standard_normal(batch), np.nan
        side[attribute.name] = np.where(rng.random(batch) < 1 / 3, missing, values)
    return {name: values.astype(np.float32) for name, values in side.items()}


def answers(
    model: keras.Model, signature: str, inputs: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """What the Python model's own methods answer to a request, named as in the signature."""
    x = next(iter(inputs.values()))
    if isinstance(model, VAE):
        if signature == "encode":
            return dict(zip(("z_mean", "z_log_var"), model.encode(x), strict=True))
        return _named(model, model.decode(x) if signature == "decode" else model.reconstruct(x))
    if isinstance(model, LensPipeline):
        lens, encode = model.lens, model.encode

        def decode(z_star: np.ndarray) -> dict[str, np.ndarray]:
            return _named(model.vae, model.decode(z_star))
    else:
        lens, encode = model, model.infer

        def decode(z_star: np.ndarray) -> dict[str, np.ndarray]:
            return {"z": model.generate(z_star)}

    if signature == "decode":
        return decode(x)
    if signature == "manipulate":
        z_star = encode(x)
        z_star[np.arange(len(x)), inputs["dimension"]] = inputs["value"]
        return decode(z_star)
    known = {name: inputs[name] for name in lens.names if name in inputs}
    outputs = {"z_star": encode(x, known)}
    inferred = model.predict_side_information(x)
    for attribute in lens.attributes:
        given = known.get(attribute.name, np.full(len(x), np.nan))
        missing = np.isnan(given) | (isinstance(attribute, Categorical) & (given == -1))
        output = np.where(missing, inferred[attribute.name], given)
        outputs[attribute.name] = output.astype(np.float32)
    return outputs


def _named(vae: VAE, observed: Any) -> dict[str, np.ndarray]:
    """Observations under the names of the signatures' outputs."""
    if isinstance(observed, tuple):
        numbers, lengths = observed
        return {"sequences": numbers, "lengths": lengths.astype(np.float32)}
    return {vae.encoder.input_names[0]: observed}


# Versions.


def latest_version(folder: Path) -> Path | None:
    """The version folder with the highest number in a model's folder; None if it has none."""
    versions = [path for path in folder.glob("[0-9]*") if path.name.isdecimal() and path.is_dir()]
    return max(versions, key=lambda path: int(path.name), default=None)


def _publish(staged: Path, folder: Path) -> Path:
    """Move a complete version into a model's folder, under the next number that is free."""
    to_disk(staged)  # the rename must not overtake the content
    if folder.exists() and not folder.is_dir():
        raise ServingError(f"{folder} is a file; expected a folder of versions: move it away")
    folder.mkdir(exist_ok=True)
    while True:
        latest = latest_version(folder)
        version = folder / str(int(latest.name) + 1 if latest else 1)
        try:
            os.rename(staged, version)
            return version
        except OSError:
            if not version.exists():
                raise
            # Another export took the number in the meantime.


def _about(version: Path) -> dict[str, Any] | None:
    return read_json(version / ABOUT) if (version / ABOUT).is_file() else None

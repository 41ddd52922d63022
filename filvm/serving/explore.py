"""The explorer: a page that runs trained models in a browser, as static files.

    runs/<profile>/explorer/   index.html  style.css  explorer.js  models.js
                               explorer.json   the views, with attributes and test samples
                               runtime.json    where onnxruntime-web is, with its hashes
                               models/<run>/   <signature>.onnx  weights.bin
                               samples/<view>.bin
                               onnxruntime-web/   if npm is installed

`filvm.serving.page` has the parts that need no models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from filvm.data import Categorical, to_float
from filvm.data.sequences import TABLE_1
from filvm.experiments import RunError, Workspace
from filvm.files import replacing, write_json
from filvm.lens import Lens
from filvm.serving.onnx import check_onnx, convert, share_weights, write_graphs
from filvm.serving.page import copy_static, runtime
from filvm.serving.signatures import Tensors, signature
from filvm.serving.tokens import numeric_signatures

SAMPLES = 500  # test digits of a map
EXAMPLE = "garden"
LANGUAGE_NAMES = {"en": "English", "fr": "French", "de": "German", "es": "Spanish", "it": "Italian"}
# Graphs whose weights are stored in 8 bits: what they read, z and z*, changes by about 1 %, and a
# letter of a word may change. Images and the lenses of the view "Change and undo" have 16 bits.
EIGHT_BITS = {
    *((run, "encode") for run in ("vae-mnist", "vae-mnist-r", "vae-sequences", "vae-words")),
    *((run, "encode") for run in ("filvm-mnist-r", "filvm-sequences", "filvm-words")),
    ("vae-words", "decode"),
}


@dataclass(frozen=True)
class View:
    """A view of the page: a VAE and a lens of one data set.

    Attributes:
        lens: the lens's run.
        vae: the VAE's run.
        oracle: the run of the networks that measure generated images; "" if the page counts.
        inverse: the run of an invertible lens on the same VAE, "" for none.
    """

    lens: str
    vae: str
    oracle: str = ""
    inverse: str = ""

    @property
    def needs(self) -> tuple[str, ...]:
        """The runs without which the view is left out."""
        return tuple(filter(None, (self.lens, self.vae, self.oracle)))


VIEWS = {
    "digits": View("filvm-mnist", "vae-mnist", "oracles-mnist", "invertible-mnist"),
    "rotated": View("filvm-mnist-r", "vae-mnist-r", "oracles-mnist-r"),
    "sequences": View("filvm-sequences", "vae-sequences"),
    "words": View("filvm-words", "vae-words"),
}
MEASURED = {
    "digits": (
        "Measured on the changed image: the digit by a classifier that was trained on real images "
        "alone; the thickness from the pixels (twice the mean distance from the stroke's centre "
        "line to its edge), as filvm.data.stroke_thickness measures it."
    ),
    "rotated": (
        "Measured on the changed image by a network that was trained on real rotated images alone. "
        "On those its median error is a few degrees, since people write at a slant."
    ),
}
UNITS = {  # of a number: after it, in words, decimals
    "thickness": (" px", "pixels", 1),
    "rotation": ("°", "degrees", 0),
    "start": ("", "", 0),
    "step": ("", "", 1),
    "length": ("", "", 0),
}


def make_explorer(
    workspace: Workspace, folder: Path, *, half: bool = True, check: bool = True
) -> dict[str, Any]:
    """Write the page, its models and its samples into a folder, which is replaced.

    Args:
        workspace: where the runs are; a view whose runs are not complete is left out.
        folder: of the page.
        half: store the weights in half precision, and those of `EIGHT_BITS` and the oracles in 8
            bits, so that all models together have less than 15 MB.
        check: compare the graphs with the Python models.

    Returns:
        The content of `explorer.json`.

    Raises:
        RunError: no view is complete, a run is out of date, or a graph fails its check.
    """
    complete = {
        name: view
        for name, view in VIEWS.items()
        if all(workspace.run(run).digest() for run in view.needs)
    }
    if not complete:
        lenses = ", ".join(view.lens for view in VIEWS.values())
        raise RunError(
            f"{workspace.folder} holds no lens of the explorer; expected some of {lenses}: "
            f"`make explorer PROFILE={workspace.profile}` trains them"
        )
    with replacing(folder) as made:
        (made / "samples").mkdir(parents=True)
        copy_static(made)
        graphs = _Graphs(workspace, made, half, check)
        manifest = {
            "about": _about(workspace, complete),
            "half": half,
            "views": {name: _view(name, view, graphs) for name, view in complete.items()},
        }
        write_json(made / "explorer.json", manifest)
        write_json(made / "runtime.json", runtime(made, workspace.data))
    return manifest


def _about(workspace: Workspace, views: Mapping[str, View]) -> str:
    data = workspace.run(next(iter(views.values())).lens).config().get("data", {})
    source = data.get("source", "generated sequences")
    return (
        f"Models of filvm, profile “{workspace.profile}”, trained on {source}; they run with "
        f"onnxruntime-web. Nothing is sent anywhere."
    )


@dataclass
class _Graphs:
    """Writes the graphs of runs below `folder`/models, each once."""

    workspace: Workspace
    folder: Path
    half: bool
    check: bool

    def __call__(self, run: str, model: Any) -> dict[str, str]:
        """`encode` and `decode` of a VAE or a lens: signature -> address."""
        place = self.folder / "models" / run
        if not place.is_dir():
            place.mkdir(parents=True)
            write_graphs(model, place, ("encode", "decode"), half=self.half)
            if self.check:
                check_onnx(model, place, half=self.half)
            functions = numeric_signatures(model)
            for name in ("encode", "decode") if self.half else ():
                bits = 8 if (run, name) in EIGHT_BITS else 16
                outputs = ("z_star",) if isinstance(model, Lens) and name == "encode" else ()
                graph = convert(functions[name], bits=bits, outputs=outputs)
                (place / f"{name}.onnx").write_bytes(graph.SerializeToString())
            share_weights(place)
        return {name: f"models/{run}/{name}.onnx" for name in ("encode", "decode")}

    def oracle(self, run: str) -> dict[str, str]:
        """The oracle of a run as the graph `judge`: images -> digit, and rotation if it has one."""
        place = self.folder / "models" / run
        place.mkdir(parents=True)
        graph = convert(judge(self.workspace.run(run).model()), bits=8 if self.half else 32)
        (place / "judge.onnx").write_bytes(graph.SerializeToString())
        share_weights(place)
        return {"judge": f"models/{run}/judge.onnx"}


def judge(oracle: Any) -> Any:
    """A signature of an oracle: images [n, 28, 28, 1] -> digit [n], and rotation [n]."""

    @signature(tf.TensorSpec([None, 28, 28, 1], tf.float32, "images"))
    def judged(inputs: Tensors) -> Tensors:
        outputs = oracle(inputs["images"])
        found = {"digit": tf.cast(tf.argmax(outputs["digit"], axis=1), tf.float32)}
        if "rotation" in outputs:
            found["rotation"] = outputs["rotation"][:, 0]
        return found

    return judged


def _view(name: str, view: View, graphs: _Graphs) -> dict[str, Any]:
    """The entry of a view in explorer.json, after its files were written."""
    workspace = graphs.workspace
    model = workspace.run(view.lens).model()
    vae, lens = workspace.run(view.vae).model(), model.lens
    observed = vae.observation_spec  # of a VAE of texts: numbers of tokens
    entry = {
        "run": view.lens,
        "latent_dim": lens.latent_dim,
        "input": {"name": observed.name, "shape": observed.shape[1:].as_list()},
        "graphs": {"vae": graphs(view.vae, vae), "lens": graphs(view.lens, lens)},
    }
    if name == "sequences":
        return {
            **entry,
            "attributes": _attributes(lens, TABLE_1),
            "example": [100 + 20 * t for t in range(min(12, vae.max_length))],
        }
    if name == "words":
        return {
            **entry,
            "attributes": _attributes(lens, {"length": (3, vae.max_length)}),
            "alphabet": list(vae.tokens),
            "example": EXAMPLE,
        }
    images, labels, ranges = _digits(name, workspace)
    (graphs.folder / "samples" / f"{name}.bin").write_bytes(images.tobytes())
    entry |= {
        "graphs": entry["graphs"] | {"oracle": graphs.oracle(view.oracle)},
        "attributes": _attributes(lens, ranges),
        "measured": MEASURED[name],
        "samples": {
            "images": f"samples/{name}.bin",
            "labels": labels.tolist(),
            "z_star": np.round(model.encode(to_float(images)), 4).tolist(),
            "first": int(np.flatnonzero(labels == 2)[0]),
        },
    }
    if view.inverse and workspace.run(view.inverse).digest():
        inverse = workspace.run(view.inverse).model().lens
        entry["inverse"] = {
            "graphs": graphs(view.inverse, inverse),
            "attributes": _attributes(inverse, ranges),
        }
    return entry


def _digits(
    name: str, workspace: Workspace
) -> tuple[np.ndarray, np.ndarray, dict[str, tuple[float, float]]]:
    """Test digits uint8 [n, 28, 28], their labels, and the range of the second attribute."""
    if name == "rotated":
        rotated = workspace.rotated_mnist()
        rows = rotated.one_test_rotation_each(SAMPLES)
        return rotated.test_images[rows], rotated.test_labels[rows], {"rotation": (-90.0, 90.0)}
    digits = workspace.mnist()
    thickness = workspace.thickness().test
    low, high = np.round(np.nanpercentile(thickness, [0.5, 99.5]), 1)
    images, labels = digits.test_images[:SAMPLES], digits.test_labels[:SAMPLES]
    return images, labels, {"thickness": (float(low), float(high))}


def _attributes(lens: Lens, ranges: Mapping[str, tuple[float, float]]) -> list[dict[str, Any]]:
    """The attributes as the page uses them: values, and their coordinates in z*."""
    found = []
    for attribute, head in zip(lens.attributes, lens.heads, strict=True):
        name = attribute.name
        entry: dict[str, Any] = {"name": name, "dimension": lens.dimension(name)}
        if isinstance(attribute, Categorical):
            values: Sequence[Any] = attribute.labels.tolist()
            gain = 1.0 if head.gain is None else float(head.gain)
            entry |= {
                "labels": [LANGUAGE_NAMES.get(value, value) for value in values],
                "slopes": (gain * head.kernel.numpy()[0]).astype(float).tolist(),
                "offsets": (gain * head.bias.numpy()).astype(float).tolist(),
            }
        else:
            values = [float(value) for value in ranges[name]]
            unit, spoken, decimals = UNITS[name]
            entry |= {"range": values, "unit": unit, "spoken": spoken, "decimals": decimals}
            if name == "rotation":
                entry["dial"] = True
        coordinates = lens.coordinate(name, np.asarray(values))
        found.append({**entry, "coordinates": np.asarray(coordinates, float).tolist()})
    return found

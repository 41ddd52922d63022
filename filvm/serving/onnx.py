"""Export to ONNX: every signature of a VAE or a lens as one graph, checked with onnxruntime.

    runs/<profile>/serving/<name>/onnx/   <signature>.onnx  filvm.json

The graphs are those of the SavedModel without the checks of the input, which ONNX cannot express.
The first dimension of every input is free. The folder's name is no number, so a TensorFlow server
that polls <name>/ ignores it.

A missing value is -1 or nan at the input, as in the SavedModel, and a mask inside the graph. ONNX
gives each tensor of a graph one name: an output with the name of an input gets `_out` at its end.
The graphs of a VAE of texts take and return numbers of tokens (`filvm.serving.tokens`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from filvm.experiments import Workspace
from filvm.files import exclusive, replacing, write_json
from filvm.serving.cases import answers, requests
from filvm.serving.export import ABOUT, SERVED, Export, ServingError, about_run, read_about
from filvm.serving.signatures import Signature
from filvm.serving.tokens import numeric, numeric_signatures

OPSET = 18
BATCHES = (1, 7)  # batch sizes of the check
TOLERANCE = 1e-4  # largest difference of an output, relative to its largest value where above 1
HALF_TOLERANCE = 0.005  # the same in half precision, for HALF_SHARE of the rows
HALF_SHARE = 0.9
SMALLEST = 256  # numbers of a constant that is stored in fewer bytes, or bytes of a shared one
WEIGHTS = "weights.bin"
INSTALL = "onnx: `pip install 'filvm[onnx]'` installs it"


def export_onnx(
    name: str,
    workspace: Workspace,
    folder: Path,
    *,
    half: bool = False,
    check: bool = False,
    only_changed: bool = False,
) -> Export:
    """Write the ONNX graphs of a complete run's model into `folder`/`name`/onnx.

    Args:
        name: a key of `SERVED`.
        workspace: where the run is.
        folder: of all served models.
        half: store the weights in half precision: half the size. Inputs, outputs and the
            computation stay float32.
        check: run `check_onnx`; if it fails, the folder stays as it was.
        only_changed: write nothing if the folder was made from the same run, in the same way.

    Raises:
        RunError: the run is not complete or not up to date, the check fails, or the extra `onnx` is
            not installed.
    """
    about = about_run(name, workspace) | {"opset": OPSET, "half": half}
    made = folder / name / "onnx"
    with exclusive(made):
        model = workspace.run(SERVED[name]).model()
        if only_changed and read_about(made) == about:
            differences = check_onnx(model, made, half=half) if check else None
            return Export(made, new=False, differences=differences)
        with replacing(made) as staged:
            staged.mkdir()
            write_graphs(model, staged, half=half)
            write_json(staged / ABOUT.name, about)
            differences = check_onnx(model, staged, half=half) if check else None
        return Export(made, new=True, differences=differences)


def write_graphs(
    model: keras.Model, folder: Path, signatures: Sequence[str] = (), *, half: bool = False
) -> None:
    """Write `<signature>.onnx` into a folder for every signature but the default, or for some.

    Args:
        model: a VAE, a lens or a pipeline.
        folder: exists.
        signatures: names of signatures; all by default.
        half: store the weights in half precision.
    """
    functions = numeric_signatures(model)
    for name in signatures or [name for name in functions if name != "serving_default"]:
        graph = convert(functions[name], bits=16 if half else 32)
        (folder / f"{name}.onnx").write_bytes(graph.SerializeToString())


def convert(function: Signature, *, bits: int = 32, outputs: Sequence[str] = ()) -> Any:
    """A signature as an `onnx.ModelProto`; see the module's docstring for names.

    Args:
        function: of one dictionary of tensors.
        bits: in which the weights are stored: 32; 16, half precision; or 8, which rounds each
            column of a matrix to 1/127 of its largest weight, and stores other weights in 16.
        outputs: names of the outputs to keep; all by default.
    """
    tf2onnx = _tf2onnx()
    (specs,) = function.input_signature
    inputs = list(specs.values())

    def named(*tensors: tf.Tensor) -> dict[str, tf.Tensor]:
        found = function(dict(zip(specs, tensors, strict=True)))
        return {
            output_name(key, specs): tf.identity(value)
            for key, value in found.items()
            if key in (outputs or found)
        }

    with _without_rewriter_notes():
        graph, _ = tf2onnx.convert.from_function(
            tf.function(named, input_signature=inputs), input_signature=inputs, opset=OPSET
        )
    _store_in_fewer_bytes(graph.graph, bits)
    return graph


def output_name(name: str, inputs: Mapping[str, Any]) -> str:
    """The name of an output in an ONNX graph with these inputs."""
    return f"{name}_out" if name in inputs else name


@contextmanager
def _without_rewriter_notes() -> Iterator[None]:
    """Without tf2onnx' note at every matrix product that it leaves as it is."""
    root = logging.getLogger()

    def another(record: logging.LogRecord) -> bool:
        return "Gemm rewriter" not in record.getMessage()

    root.addFilter(another)
    try:
        yield
    finally:
        root.removeFilter(another)


def _tf2onnx() -> Any:
    try:
        import tf2onnx  # of the extra `onnx`
    except ImportError:
        raise ServingError(f"tf2onnx is not installed; expected for ONNX: {INSTALL}") from None
    return tf2onnx


def _store_in_fewer_bytes(graph: Any, bits: int) -> None:
    """Store large constants in fewer bytes; nodes at the graph's beginning restore their type.

    Weights that are used in float64 are float32 numbers, and stored as such. onnxruntime computes
    these nodes once, when it loads the graph.
    """
    from onnx import TensorProto, helper, numpy_helper

    nodes, scales = [], []
    for constant in graph.initializer:
        if constant.data_type not in (TensorProto.FLOAT, TensorProto.DOUBLE):
            continue
        name, array = constant.name, numpy_helper.to_array(constant)
        single = array.astype(np.float32)
        if array.size < SMALLEST or (bits == 32 and not np.array_equal(single, array)):
            continue
        stored = single if bits == 32 else single.astype(np.float16)
        restored = name
        if bits == 8 and array.ndim == 2:
            scale = np.maximum(np.abs(array).max(axis=0, keepdims=True) / 127, 1e-30)
            stored, restored = np.round(array / scale).astype(np.int8), f"{name}_rounded"
            scales.append(numpy_helper.from_array(scale.astype(array.dtype), f"{name}_scale"))
            nodes.append(helper.make_node("Mul", [restored, f"{name}_scale"], [name]))
        if stored.dtype != array.dtype:
            cast = helper.make_node("Cast", [f"{name}_stored"], [restored], to=constant.data_type)
            nodes.append(cast)
            constant.CopyFrom(numpy_helper.from_array(stored, f"{name}_stored"))
    graph.initializer.extend(scales)
    for node in nodes:  # the last one becomes the first
        graph.node.insert(0, node)


def share_weights(folder: Path) -> None:
    """Move the large constants of all graphs in a folder to `weights.bin`, equal ones once.

    `encode` and `decode` of an invertible lens have the same weights. onnxruntime finds the file
    beside the graph. The graphs get short names, see `shorten_names`.
    """
    import onnx

    weights, places = bytearray(), {}
    for path in sorted(folder.glob("*.onnx")):
        graph = onnx.load(path)
        shorten_names(graph.graph)
        for constant in graph.graph.initializer:
            content = constant.raw_data
            if len(content) < SMALLEST:
                continue
            if content not in places:
                places[content] = len(weights)
                weights += content + bytes(-len(content) % 8)
            onnx.external_data_helper.set_external_data(
                constant, WEIGHTS, places[content], len(content)
            )
            constant.ClearField("raw_data")
            constant.data_location = onnx.TensorProto.EXTERNAL
        path.write_bytes(graph.SerializeToString())
    (folder / WEIGHTS).write_bytes(weights)


def shorten_names(graph: Any) -> None:
    """Rename the tensors of an `onnx.GraphProto`, except its inputs and outputs, to _0, _1, ...

    tf2onnx takes long names from TensorFlow. In the explorer's decoder of sequences, which is
    unrolled over 30 steps, they are 200 of 225 kB. Nodes need no names. Nodes and constants get an
    order that the graph alone decides; tf2onnx' differs from process to process.
    """
    kept = {"", *(value.name for value in [*graph.input, *graph.output])}  # "": left out
    short: dict[str, str] = {}

    def renamed(name: str) -> str:
        return name if name in kept else short.setdefault(name, f"_{len(short)}")

    def rename(part: Any) -> None:
        nodes = _ordered_nodes(part)
        for node in nodes:
            node.ClearField("name")
            node.input[:] = map(renamed, node.input)
            node.output[:] = map(renamed, node.output)
            for body in _bodies(node):
                rename(body)
        del part.node[:]
        part.node.extend(nodes)
        for named in (*part.input, *part.output, *part.initializer):
            named.name = renamed(named.name)
        part.initializer.sort(key=lambda constant: (len(constant.name), constant.name))
        part.ClearField("value_info")
        part.ClearField("doc_string")

    rename(graph)


def _bodies(node: Any) -> list[Any]:
    """The graphs inside a node: the body of a loop, for one."""
    return [attribute.g for attribute in node.attribute if attribute.HasField("g")]


def _ordered_nodes(graph: Any) -> list[Any]:
    """Copies of the nodes of a graph, each after those it needs, from the first output on."""
    made = {output: node for node in graph.node for output in node.output}

    def needed(node: Any) -> list[str]:
        inside = [name for body in _bodies(node) for inner in body.node for name in needed(inner)]
        return [*node.input, *inside, *(v.name for body in _bodies(node) for v in body.output)]

    ordered: list[Any] = []
    waiting = [value.name for value in reversed(graph.output)]
    while waiting:
        node = made.get(waiting[-1])
        missing = [name for name in needed(node) if name in made] if node is not None else []
        if missing:
            waiting += reversed(missing)
            continue
        waiting.pop()
        if node is not None:
            ordered.append(type(node).FromString(node.SerializeToString()))
            for output in node.output:
                del made[output]
    return ordered


def check_onnx(
    model: keras.Model, folder: Path, batches: Sequence[int] = BATCHES, *, half: bool = False
) -> dict[str, float]:
    """Run the graphs in a folder with onnxruntime, and compare with the Python model's answers.

    Args:
        model: the Python model.
        folder: of `<signature>.onnx`.
        batches: batch sizes.
        half: whether the weights are in half precision. Then a row may differ by `HALF_TOLERANCE`,
            and one in ten by more: near the border of two labels the most probable one may change.

    Returns:
        The largest difference of each signature; in half precision the largest of `HALF_SHARE` of
        the rows.

    Raises:
        ServingError: a difference is above `TOLERANCE` or `HALF_TOLERANCE`.
    """
    try:
        import onnxruntime  # of the extra `onnx`
    except ImportError:
        raise ServingError(f"onnxruntime is not installed; expected for {INSTALL}") from None
    differences: dict[str, float] = {}
    for path in sorted(folder.glob("*.onnx")):
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        rows: list[np.ndarray] = []
        for batch in batches:
            example = requests(model, batch, seed=batch)[path.stem]
            request = numeric(model, example)
            outputs = [output.name for output in session.get_outputs()]
            found = dict(zip(outputs, session.run(outputs, request), strict=True))
            answer = numeric(model, answers(model, path.stem, example))
            for key, expected in answer.items():
                got = found[output_name(key, request)]
                if got.shape != expected.shape or got.dtype != expected.dtype:
                    raise ServingError(
                        f"{key} of {path} is {got.dtype} {list(got.shape)}; expected "
                        f"{expected.dtype} {list(expected.shape)}: report this"
                    )
                largest = max(1.0, float(np.abs(expected).max()))
                difference = np.abs(got - expected).reshape(batch, -1).max(axis=1) / largest
                rows.append(np.nan_to_num(difference, nan=np.inf))
        share = HALF_SHARE if half else 1.0
        differences[path.stem] = float(
            np.quantile(np.concatenate(rows), share, method="inverted_cdf")
        )
    tolerance = HALF_TOLERANCE if half else TOLERANCE
    if faults := {name: value for name, value in differences.items() if not value <= tolerance}:
        raise ServingError(
            f"{folder} differs from the Python model by {faults}; expected at most {tolerance}"
        )
    return differences

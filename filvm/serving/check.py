"""The export check: load a SavedModel as TensorFlow Serving does, and compare its answers.

    python -m filvm.serving.check MODEL CASES.npz

runs every case on the SavedModel in the folder MODEL. The exit status is 1 if an answer differs or
the model holds something that a stock server cannot run. If CASES.npz is `-`, the cases are read
from the standard input, as `filvm.serving.export.check_export` sends them.

`tf.compat.v1.saved_model.load` restores the MetaGraph with the tag `serve` into a session: the
server's own route (tensorflow/cc/saved_model/loader.h). It builds no Python object, and this module
imports no model of filvm, so no class that is registered with Keras can help the file.
"""

from __future__ import annotations

import io
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.config_pb2 import CallableOptions

TOLERANCE = 1e-5  # largest difference of an output, relative to its largest value where above 1
PYTHON_OPS = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})


class SavedModelError(Exception):
    """A SavedModel cannot be loaded, or refuses a request; the message is TensorFlow's."""


@dataclass(frozen=True)
class Signature:
    """One function of a SavedModel.

    Attributes:
        inputs: shape and element type of each input, by name.
        outputs: the same of each output.
        run: takes the inputs' arrays and returns the outputs' arrays, in these orders.
    """

    inputs: Mapping[str, tf.TensorSpec]
    outputs: Mapping[str, tf.TensorSpec]
    run: Callable[..., list[np.ndarray]]


class ServedModel:
    """A SavedModel in a session of its own.

    Args:
        folder: the version folder, which holds `saved_model.pb`.
        threads: threads of each pool of the session; 0: one per core.

    Attributes:
        signatures: the functions that a client can call, by name.
        graph: the GraphDef of the loaded MetaGraph.

    Use it as a context manager, or call `close`. `run` may be called from several threads.
    """

    def __init__(self, folder: str | Path, *, threads: int = 0) -> None:
        config = tf.compat.v1.ConfigProto(
            intra_op_parallelism_threads=threads, inter_op_parallelism_threads=threads
        )
        self._session = tf.compat.v1.Session(graph=tf.Graph(), config=config)
        try:
            with self._session.graph.as_default():
                meta_graph = tf.compat.v1.saved_model.load(self._session, ["serve"], str(folder))
            self.graph = meta_graph.graph_def
            self.signatures = {
                name: self._signature(definition)
                for name, definition in sorted(meta_graph.signature_def.items())
                if definition.method_name == tf.saved_model.PREDICT_METHOD_NAME
            }
        except (OSError, ValueError, KeyError, RuntimeError, tf.errors.OpError) as error:
            self.close()
            raise SavedModelError(f"{folder} cannot be loaded as a SavedModel: {error}") from error

    def _signature(self, definition: Any) -> Signature:
        """The function of a SignatureDef.

        `Session.run` compares the shapes of its inputs with those of the placeholders, in Python,
        and a server does not. A callable of the C++ session does not, either.
        """
        sides = [dict(sorted(side.items())) for side in (definition.inputs, definition.outputs)]
        names = [[info.name for info in side.values()] for side in sides]
        options = CallableOptions(feed=names[0], fetch=names[1])
        specs = [
            {
                name: tf.TensorSpec(info.tensor_shape, tf.as_dtype(info.dtype), name)
                for name, info in side.items()
            }
            for side in sides
        ]
        return Signature(*specs, run=self._session._make_callable_from_options(options))

    def run(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Answer a request.

        Args:
            signature: a key of `signatures`.
            inputs: an array for every input of the signature, by name.

        Returns:
            An array for every output, by name.

        Raises:
            SavedModelError: the signature or an input is unknown or missing, or the graph refuses
                the request.
        """
        if signature not in self.signatures:
            raise SavedModelError(
                f"signature is {signature!r}; expected one of {', '.join(self.signatures)}"
            )
        function = self.signatures[signature]
        if set(inputs) != set(function.inputs):
            raise SavedModelError(
                f"inputs of {signature} are {', '.join(inputs) or 'missing'}; "
                f"expected {', '.join(function.inputs)}"
            )
        arrays = [
            np.asarray(inputs[name], spec.dtype.as_numpy_dtype)
            for name, spec in function.inputs.items()
        ]
        try:
            return dict(zip(function.outputs, function.run(*arrays), strict=True))
        except tf.errors.OpError as error:
            raise SavedModelError(error.message) from None

    def unservable(self) -> list[str]:
        """List what a stock server cannot run or a client cannot use; [] if there is nothing.

        The session runs, or loads, three things that a server does not: Python functions,
        functions that XLA must compile, and inputs or outputs with a fixed batch size. (An op that
        TensorFlow does not have fails when the model is loaded.)
        """
        found = set()
        library = self.graph.library.function
        bodies = [("", self.graph.node), *((f"{f.signature.name}/", f.node_def) for f in library)]
        for body, nodes in bodies:
            for node in nodes:
                if node.op in PYTHON_OPS:
                    found.add(f"{body}{node.name}: {node.op} calls Python")
                if node.op.startswith("Xla") or node.attr["_XlaMustCompile"].b:
                    found.add(f"{body}{node.name}: {node.op} is compiled by XLA")
        found |= {
            f"{f.signature.name}: the function is compiled by XLA"
            for f in library
            if f.attr["_XlaMustCompile"].b
        }
        for signature, function in self.signatures.items():
            for name, spec in (*function.inputs.items(), *function.outputs.items()):
                if spec.shape.rank is not None and spec.shape[:1].as_list() != [None]:
                    found.add(f"{signature}: {name} has shape {spec.shape}; expected [None, ...]")
        return sorted(found)

    def close(self) -> None:
        """Free the session."""
        self._session.close()

    def __enter__(self) -> ServedModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def compare(
    model: ServedModel, cases: Mapping[str, np.ndarray], tolerance: float = TOLERANCE
) -> tuple[dict[str, float], list[str]]:
    """Run the cases and compare the answers with the expected ones.

        difference = max |answer - expected| / max(1, max |expected|)

    Args:
        model: the loaded SavedModel.
        cases: arrays named `signature/batch size/in/name` and `signature/batch size/out/name`.
        tolerance: largest allowed difference.

    Returns:
        The largest difference of each signature, and one sentence per fault.
    """
    requests: dict[tuple[str, str], dict[str, dict[str, np.ndarray]]] = {}
    for key, array in cases.items():
        signature, batch, side, name = key.split("/")
        requests.setdefault((signature, batch), {"in": {}, "out": {}})[side][name] = array
    faults = [
        f"{name}: the model or the cases lack this signature"
        for name in sorted({name for name, _ in requests} ^ set(model.signatures))
    ]
    differences: dict[str, float] = {}
    for (signature, batch), case in requests.items():
        where = f"{signature}, batch {batch}"
        try:
            answers = model.run(signature, case["in"])
        except SavedModelError as error:
            faults.append(f"{where}: {error}")
            continue
        if set(answers) != set(case["out"]):
            faults.append(f"{where}: outputs are {set(answers)}; expected {set(case['out'])}")
            continue
        for name, expected in case["out"].items():
            answer = answers[name]
            if expected.dtype.kind == "U":
                answer, expected = _unequal(answer, expected)
            if (answer.shape, answer.dtype) != (expected.shape, expected.dtype):
                faults.append(
                    f"{where}: {name} is {answer.dtype} {list(answer.shape)}; "
                    f"expected {expected.dtype} {list(expected.shape)}"
                )
                continue
            scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
            difference = float(np.abs(answer - expected).max(initial=0.0)) / scale
            if not difference <= tolerance:  # also true of nan
                faults.append(f"{where}: {name} differs by {difference:.2g}, above {tolerance:g}")
            differences[signature] = max(differences.get(signature, 0.0), difference)
    return differences, faults


def _unequal(answer: np.ndarray, expected: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Texts [n] as 1.0 where they differ and 0.0 elsewhere, and zeros: what `compare` reads.

    In one text of a hundred, two tokens may be equally probable up to rounding.
    """
    decoded = np.array([text.decode("utf-8", "replace") for text in answer.tolist()], dtype=str)
    if decoded.shape != expected.shape:
        return decoded, expected
    unequal = (decoded != expected).astype(np.float32)
    return unequal * (unequal.sum() > len(unequal) // 100), np.zeros_like(unequal)


def main(model: str, cases: str) -> int:
    """Print each signature's largest difference and the faults as JSON; return the exit status."""
    try:
        source = io.BytesIO(sys.stdin.buffer.read()) if cases == "-" else cases
        with ServedModel(model) as served, np.load(source) as arrays:
            differences, faults = compare(served, arrays)
            faults += served.unservable()
    except SavedModelError as error:
        differences, faults = {}, [str(error)]
    print(json.dumps({"differences": differences, "faults": faults}, indent=2))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))

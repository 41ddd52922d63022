"""A SavedModel as a server sees it: loaded and run through TensorFlow's C API, without Python.

    python filvm/saved_model.py MODEL CASES.npz

runs every case on the SavedModel in the folder MODEL and compares the outputs; the status is 1 if
one differs or the graph holds what a stock server cannot run. `filvm.serving.check_export` sends
the cases through the standard input, where CASES.npz is `-`. Neither TensorFlow's Python nor
anything of filvm is imported here, only NumPy and the shared library inside
the installed `tensorflow` wheel (https://www.tensorflow.org/api_docs/cc; c_api.h).
"""

from __future__ import annotations

import ctypes
import functools
import importlib.util
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

TOLERANCE = 1e-5  # largest difference of an output, relative to its largest value where above 1
PREDICT = "tensorflow/serving/predict"
DTYPES = {1: np.float32, 2: np.float64, 3: np.int32, 9: np.int64, 10: np.bool_}  # types.proto
PYTHON_OPS = frozenset({"PyFunc", "PyFuncStateless", "EagerPyFunc"})


class SavedModelError(Exception):
    """A SavedModel cannot be loaded or run; the message is TensorFlow's."""


@dataclass(frozen=True)
class TensorInfo:
    """One input or output: its place in the graph, element type and shape (-1: any size)."""

    tensor: str
    dtype: type
    shape: tuple[int, ...]


@dataclass(frozen=True)
class Signature:
    """The named inputs and outputs of one function that a client can ask for."""

    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]


class ServedModel:
    """A loaded SavedModel, tag `serve`.

    Args:
        folder: the version folder, the one that holds `saved_model.pb`.
        threads: for each pool of the session; 0: as many as there are cores.

    Attributes:
        signatures: what can be asked for, by name.

    Use it as a context manager, or call `close`. `run` may be called from several threads.
    """

    def __init__(self, folder: str | Path, *, threads: int = 0) -> None:
        if not (Path(folder) / "saved_model.pb").is_file():
            raise SavedModelError(f"{folder} holds no saved_model.pb: it is not a SavedModel")
        self._c = c = _library()
        status = _Status(c)
        options = c.TF_NewSessionOptions()
        if threads:  # ConfigProto: intra_op_parallelism_threads, inter_op_parallelism_threads
            config = bytes([2 << 3, threads, 5 << 3, threads])
            c.TF_SetConfig(options, config, len(config), status.pointer)
        self._graph = c.TF_NewGraph()
        meta_graph = c.TF_NewBuffer()
        self._session = c.TF_LoadSessionFromSavedModel(
            options,
            None,
            os.fsencode(folder),
            (ctypes.c_char_p * 1)(b"serve"),
            1,
            self._graph,
            meta_graph,
            status.pointer,
        )
        self._meta_graph = ctypes.string_at(meta_graph.contents.data, meta_graph.contents.length)
        c.TF_DeleteBuffer(meta_graph)
        c.TF_DeleteSessionOptions(options)
        if not self._session:
            c.TF_DeleteGraph(self._graph)
        status.check()
        self.signatures = _signatures(self._meta_graph)

    def run(self, signature: str, inputs: Mapping[str, Any]) -> dict[str, np.ndarray]:
        """Answer a request: arrays by name in, arrays by name out.

        Raises SavedModelError for an unknown signature, a missing or surplus input, and whatever
        TensorFlow refuses.
        """
        if signature not in self.signatures:
            raise SavedModelError(
                f"there is no signature {signature!r}; there are {', '.join(self.signatures)}"
            )
        expected = self.signatures[signature]
        if set(inputs) != set(expected.inputs):
            raise SavedModelError(
                f"{signature} was given {', '.join(inputs) or 'nothing'}; "
                f"expected {', '.join(expected.inputs)}"
            )
        c, status = self._c, _Status(self._c)
        feeds = [
            self._tensor(np.asarray(inputs[name], info.dtype))
            for name, info in expected.inputs.items()
        ]
        fetched = (ctypes.c_void_p * len(expected.outputs))()
        try:
            c.TF_SessionRun(
                self._session,
                None,
                self._places(expected.inputs.values()),
                (ctypes.c_void_p * len(feeds))(*feeds),
                len(feeds),
                self._places(expected.outputs.values()),
                fetched,
                len(fetched),
                None,
                0,
                None,
                status.pointer,
            )
            status.check()
            return {
                name: self._array(tensor, info.dtype)
                for (name, info), tensor in zip(expected.outputs.items(), fetched, strict=True)
            }
        finally:
            for tensor in (*feeds, *fetched):
                if tensor:
                    c.TF_DeleteTensor(tensor)

    def unservable(self) -> list[str]:
        """What in the graph, its functions included, a stock server cannot run; [] if nothing.

        That is Python functions, and functions to be compiled by XLA. (An op of somebody's
        own library would not have been loaded in the first place.)
        """
        found = set()
        for where, op, attributes in _nodes(self._meta_graph):
            if op in PYTHON_OPS:
                found.add(f"{where}: {op} calls Python")
            if op.startswith("Xla") or attributes.get("_XlaMustCompile"):
                found.add(f"{where}: {op} is compiled by XLA")
        return sorted(found)

    def close(self) -> None:
        """Free the session and its graph."""
        if self._session:
            status = _Status(self._c)
            self._c.TF_CloseSession(self._session, status.pointer)
            self._c.TF_DeleteSession(self._session, status.pointer)
            self._c.TF_DeleteGraph(self._graph)
            self._session = None

    def __enter__(self) -> ServedModel:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _places(self, infos: Sequence[TensorInfo]) -> ctypes.Array:
        places = (_Output * len(infos))()
        for place, info in zip(places, infos, strict=True):
            name, _, index = info.tensor.rpartition(":")
            place.operation = self._c.TF_GraphOperationByName(self._graph, name.encode())
            place.index = int(index)
        return places

    def _tensor(self, array: np.ndarray) -> int:
        dtype = next(code for code, kind in DTYPES.items() if kind == array.dtype)
        shape = (ctypes.c_int64 * array.ndim)(*array.shape)
        tensor = self._c.TF_AllocateTensor(dtype, shape, array.ndim, array.nbytes)
        ctypes.memmove(
            self._c.TF_TensorData(tensor), np.ascontiguousarray(array).ctypes.data, array.nbytes
        )
        return tensor

    def _array(self, tensor: int, dtype: type) -> np.ndarray:
        c = self._c
        shape = [c.TF_Dim(tensor, axis) for axis in range(c.TF_NumDims(tensor))]
        content = ctypes.string_at(c.TF_TensorData(tensor), c.TF_TensorByteSize(tensor))
        return np.frombuffer(content, dtype).reshape(shape)


def compare(
    model: ServedModel, cases: Mapping[str, np.ndarray], tolerance: float = TOLERANCE
) -> tuple[dict[str, float], list[str]]:
    """Run the cases; return the largest difference of each signature, and what is wrong.

    Cases are arrays named `signature/batch size/in/name` and `signature/batch size/out/name`. A
    difference is |answer - expected| / max(1, largest |expected|), the maximum over the output.
    """
    requests: dict[tuple[str, str], dict[str, dict[str, np.ndarray]]] = {}
    for key, array in cases.items():
        signature, batch, side, name = key.split("/")
        requests.setdefault((signature, batch), {"in": {}, "out": {}})[side][name] = array
    faults = [
        f"{name}: is not a signature of the model, or was not tried"
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
            faults.append(f"{where}: answers {sorted(answers)}, expected {sorted(case['out'])}")
            continue
        for name, expected in case["out"].items():
            answer = answers[name]
            if answer.shape != expected.shape or answer.dtype != expected.dtype:
                faults.append(
                    f"{where}: {name} is {answer.dtype}{list(answer.shape)}, "
                    f"expected {expected.dtype}{list(expected.shape)}"
                )
                continue
            scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
            difference = float(np.abs(answer - expected).max(initial=0.0)) / scale
            if not difference <= tolerance:  # nan is not
                faults.append(
                    f"{where}: {name} differs by {difference:.2g} (at most {tolerance:g})"
                )
            differences[signature] = max(differences.get(signature, 0.0), difference)
    return differences, faults


# MetaGraphDef, without its generated classes: those import TensorFlow's Python. A message is a row
# of fields, each a number and a value (https://protobuf.dev/programming-guides/encoding).


def _fields(message: bytes) -> Iterator[tuple[int, Any]]:
    """The fields of a serialised message: number, and an integer or bytes."""
    at = 0

    def varint() -> int:
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        number, kind = divmod(varint(), 8)
        if kind == 0:
            yield number, varint()
            continue
        size = {1: 8, 5: 4}.get(kind) or varint()
        yield number, message[at : at + size]
        at += size


def _all(message: bytes, *path: int) -> Iterator[Any]:
    """Every value at a path of field numbers, through all repetitions."""
    for number, value in _fields(message):
        if number == path[0]:
            yield from _all(value, *path[1:]) if path[1:] else (value,)


def _first(message: bytes, *path: int, default: Any = b"") -> Any:
    return next(_all(message, *path), default)


def _entries(message: bytes, field: int) -> Iterator[tuple[str, bytes]]:
    """A map field's keys and values, in the order of the keys."""
    return iter(sorted((_first(e, 1).decode(), _first(e, 2)) for e in _all(message, field)))


def _signatures(meta_graph: bytes) -> dict[str, Signature]:
    def info(tensor: bytes) -> TensorInfo:
        sizes = [_first(dim, 1, default=0) for dim in _all(tensor, 3, 2)]
        shape = tuple(size - 2**64 if size >= 2**63 else size for size in sizes)
        return TensorInfo(_first(tensor, 1).decode(), DTYPES[_first(tensor, 2)], shape)

    return {
        name: Signature(
            {key: info(tensor) for key, tensor in _entries(definition, 1)},
            {key: info(tensor) for key, tensor in _entries(definition, 2)},
        )
        for name, definition in _entries(meta_graph, 5)
        if _first(definition, 3).decode() == PREDICT
    }


def _nodes(meta_graph: bytes) -> Iterator[tuple[str, str, dict[str, int]]]:
    """Where, op and boolean attributes of every node, and of every function itself."""

    def flags(message: bytes, field: int) -> dict[str, int]:
        return {name: _first(value, 5, default=0) for name, value in _entries(message, field)}

    for node in _all(meta_graph, 2, 1):
        yield _first(node, 1).decode(), _first(node, 2).decode(), flags(node, 5)
    for function in _all(meta_graph, 2, 2, 1):
        name = _first(function, 1, 1).decode()
        yield name, "the function", flags(function, 5)
        for node in _all(function, 3):
            yield f"{name}/{_first(node, 1).decode()}", _first(node, 2).decode(), flags(node, 5)


# The C API.


class _Buffer(ctypes.Structure):
    _fields_ = (
        ("data", ctypes.c_void_p),
        ("length", ctypes.c_size_t),
        ("deallocator", ctypes.c_void_p),
    )


class _Output(ctypes.Structure):
    _fields_ = (("operation", ctypes.c_void_p), ("index", ctypes.c_int))


class _Status:
    """A TF_Status; `check` raises what it says."""

    def __init__(self, c: ctypes.CDLL) -> None:
        self._c = c
        self.pointer = c.TF_NewStatus()

    def check(self) -> None:
        if self._c.TF_GetCode(self.pointer):
            raise SavedModelError(self._c.TF_Message(self.pointer).decode(errors="replace"))

    def __del__(self) -> None:
        self._c.TF_DeleteStatus(self.pointer)


@functools.cache
def _library() -> ctypes.CDLL:
    """TensorFlow's shared library, with the functions used here declared."""
    spec = importlib.util.find_spec("tensorflow")
    if spec is None or not spec.submodule_search_locations:
        raise SavedModelError("tensorflow is not installed: `pip install tensorflow`")
    folder = Path(spec.submodule_search_locations[0])
    loaded = []
    for name in ("libtensorflow_framework", "libtensorflow_cc"):  # the second needs the first
        paths = [*folder.glob(f"{name}.so.*"), *folder.glob(f"{name}.*.dylib")]
        if not paths:
            raise SavedModelError(
                f"{folder} holds no {name}: its wheel keeps the C API elsewhere; use Linux or macOS"
            )
        loaded.append(ctypes.CDLL(str(paths[0])))
    c = loaded[-1]
    pointer, text, size, integer = (
        ctypes.c_void_p,
        ctypes.c_char_p,
        ctypes.c_size_t,
        ctypes.c_int,
    )
    buffer, outputs = ctypes.POINTER(_Buffer), ctypes.POINTER(_Output)
    tensors, shape = ctypes.POINTER(pointer), ctypes.POINTER(ctypes.c_int64)
    for name, result, *arguments in (
        ("TF_NewStatus", pointer),
        ("TF_DeleteStatus", None, pointer),
        ("TF_GetCode", integer, pointer),
        ("TF_Message", text, pointer),
        ("TF_NewSessionOptions", pointer),
        ("TF_SetConfig", None, pointer, text, size, pointer),
        ("TF_DeleteSessionOptions", None, pointer),
        ("TF_NewGraph", pointer),
        ("TF_DeleteGraph", None, pointer),
        ("TF_NewBuffer", buffer),
        ("TF_DeleteBuffer", None, buffer),
        (
            *("TF_LoadSessionFromSavedModel", pointer),
            *(pointer, buffer, text, ctypes.POINTER(text), integer, pointer, buffer, pointer),
        ),
        (
            *("TF_SessionRun", None, pointer, buffer, outputs, tensors, integer),
            *(outputs, tensors, integer, tensors, integer, buffer, pointer),
        ),
        ("TF_CloseSession", None, pointer, pointer),
        ("TF_DeleteSession", None, pointer, pointer),
        ("TF_GraphOperationByName", pointer, pointer, text),
        ("TF_AllocateTensor", pointer, integer, shape, integer, size),
        ("TF_DeleteTensor", None, pointer),
        ("TF_TensorData", pointer, pointer),
        ("TF_TensorByteSize", size, pointer),
        ("TF_NumDims", integer, pointer),
        ("TF_Dim", ctypes.c_int64, pointer, integer),
    ):
        function = getattr(c, name)
        function.restype, function.argtypes = result, arguments
    return c


def main(model: str, cases: str) -> int:
    """Print, as JSON, each signature's largest difference and what is wrong; the exit status."""
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
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    sys.exit(main(*sys.argv[1:]))

"""Ask a TensorFlow Serving server for a digit's attributes, and change one of them.

    python examples/serving_client.py                              a drawn zero, over REST
    python examples/serving_client.py --images digits.npy          [n, 28, 28], 0..255 or [0, 1]
    python examples/serving_client.py --grpc localhost:8500        over gRPC

It needs only NumPy (and for gRPC `pip install tensorflow-serving-api`) and nothing of filvm, so it
can be copied. docs/serving.md describes how to start the server.
"""

from __future__ import annotations

import argparse
import functools
import json
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

Answer = dict[str, np.ndarray] | np.ndarray


class RequestRefused(Exception):
    """The server refused the request, or there is no server; the message says why."""


def predict_rest(
    server: str, model: str, signature: str, inputs: Mapping[str, Any], version: int | None = None
) -> Answer:
    """Send one request over REST.

    Args:
        server: for example http://localhost:8501.
        model: its name in models.config.
        signature: one of the model's signatures.
        inputs: arrays by name; a missing number is nan.
        version: None for the latest.

    Returns:
        The outputs by name, or the array itself if there is only one.

    Raises:
        RequestRefused: the server refused the request, or there is no server.
    """
    place = f"{model}/versions/{version}" if version else model
    body = {
        "signature_name": signature,
        "inputs": {name: np.asarray(array).tolist() for name, array in inputs.items()},
    }
    request = urllib.request.Request(
        f"{server}/v1/models/{place}:predict",
        json.dumps(body).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as response:
            outputs = json.load(response)["outputs"]
    except urllib.error.HTTPError as error:
        with error:
            raise RequestRefused(f"{error.code}: {json.load(error)['error']}") from None
    except urllib.error.URLError as error:
        raise RequestRefused(f"there is no server at {server} ({error.reason})") from None
    if isinstance(outputs, dict):
        return {name: np.asarray(array, np.float32) for name, array in outputs.items()}
    return np.asarray(outputs, np.float32)  # REST leaves out the name of a single output


def predict_grpc(
    server: str, model: str, signature: str, inputs: Mapping[str, Any], version: int | None = None
) -> Answer:
    """Send one request over gRPC, which does not turn numbers into text.

    As `predict_rest`; `server` is for example localhost:8500.
    """
    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis.predict_pb2 import PredictRequest
    from tensorflow_serving.apis.prediction_service_pb2_grpc import PredictionServiceStub

    request = PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = signature
    if version:
        request.model_spec.version.value = version
    for name, array in inputs.items():
        array = np.asarray(array)
        kind = np.int32 if array.dtype.kind == "i" else np.float32
        request.inputs[name].CopyFrom(tf.make_tensor_proto(array.astype(kind)))
    with grpc.insecure_channel(server) as channel:
        try:
            response = PredictionServiceStub(channel).Predict(request, timeout=60)
        except grpc.RpcError as error:
            raise RequestRefused(f"{error.code().name}: {error.details()}") from None
    outputs = {name: tf.make_ndarray(proto) for name, proto in response.outputs.items()}
    return outputs if len(outputs) > 1 else next(iter(outputs.values()))


def drawn_zero() -> np.ndarray:
    """A synthetic image [1, 28, 28, 1] of a 0."""
    y, x = np.mgrid[:28, :28] - 13.5
    ring = np.clip(1.8 - np.abs(np.hypot(y, 1.5 * x) - 8), 0, 1)
    return ring[None, :, :, None].astype(np.float32)


def load_images(path: str) -> np.ndarray:
    """Read a .npy file of digits, white on black, as float32 [n, 28, 28, 1] in [0, 1]."""
    images = np.load(path, allow_pickle=False)
    if images.ndim == 3:
        images = images[..., None]
    return images.astype(np.float32) / (255 if np.issubdtype(images.dtype, np.integer) else 1)


def as_text(images: np.ndarray) -> str:
    """Images side by side; only every second row, because letters are higher than wide."""
    shades = np.array(list(" .:-=+*#%@"))
    row = np.concatenate(list(images[:, ::2, :, 0]), axis=1)
    return "\n".join("".join(line) for line in shades[np.clip(row * 10, 0, 9).astype(int)])


def ask(predict: Callable[..., Answer], images: np.ndarray, dimension: int, values: Any) -> None:
    """Print the images' attributes, then the first image with z*[dimension] set to each value."""
    outputs = predict("encode", {"images": images})
    for row, z_star in enumerate(outputs.pop("z_star")):
        read = ", ".join(f"{name} {array[row]:.3g}" for name, array in outputs.items())
        print(f"image {row}: {read}; z* = {np.round(z_star, 2)}")
    changed = predict(
        "manipulate",
        {
            "images": np.repeat(images[:1], len(values), axis=0),
            "dimension": np.full(len(values), dimension),
            "value": np.asarray(values),
        },
    )
    print(f"image 0, and with z*[{dimension}] = {', '.join(f'{value:g}' for value in values)}:")
    print(as_text(np.concatenate([images[:1], changed])))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rest", default="http://localhost:8501", help="address of the server")
    parser.add_argument("--grpc", metavar="HOST:PORT", help="use gRPC instead")
    parser.add_argument("--model", default="filvm_mnist")
    parser.add_argument("--version", type=int)
    parser.add_argument("--images", metavar="FILE.npy")
    parser.add_argument("--dimension", type=int, default=1, help="of z*; 1 is the thickness")
    parser.add_argument(
        "--values", type=float, nargs="+", default=[-2, 2], help="its new coordinates"
    )
    arguments = parser.parse_args()
    predict = functools.partial(predict_rest, arguments.rest, arguments.model)
    if arguments.grpc:
        predict = functools.partial(predict_grpc, arguments.grpc, arguments.model)
    if arguments.version:
        predict = functools.partial(predict, version=arguments.version)
    images = load_images(arguments.images) if arguments.images else drawn_zero()
    try:
        ask(predict, images, arguments.dimension, arguments.values)
    except RequestRefused as error:
        print(f"refused: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

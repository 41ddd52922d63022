"""A stand-in for TensorFlow Serving: its REST predict API and its gRPC Predict, on SavedModels.

It follows https://www.tensorflow.org/tfx/serving/api_rest: the latest version answers unless the
request names one; a request is by column ("inputs") or by row ("instances"); the name of a single
input or output is left out; an error is {"error": sentence} with status 400, or 404 for an unknown
model.
A model is loaded into a session from its MetaGraph, as in the server; no model class of filvm runs.
"""

import contextlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np

from filvm.serving.check import SavedModelError, ServedModel

ROUTE = re.compile(r"/v1/models/(?P<model>\w+)(/versions/(?P<version>\d+))?(?P<predict>:predict)?")


class Refused(Exception):
    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Models:
    """The models in a folder like runs/full/serving; each is loaded at its first request."""

    def __init__(self, folder):
        self.folder = folder
        self.loaded = {}

    def find(self, name, version=None):
        versions = [p for p in self.folder.glob(f"{name}/*") if version in (None, p.name)]
        if not versions:
            wanted = f"Specific({name}, {version})" if version else f"Latest({name})"
            raise Refused(404, f"Servable not found for request: {wanted}")
        path = max(versions, key=lambda p: int(p.name))
        if path not in self.loaded:
            self.loaded[path] = ServedModel(path, threads=1)
        return self.loaded[path], path.name

    def predict(self, name, version, signature, inputs):
        model, _ = self.find(name, version)
        signature = signature or "serving_default"
        if signature not in model.signatures:
            raise Refused(400, f'Serving signature name: "{signature}" not found in signature def')
        expected = model.signatures[signature].inputs
        if missing := set(expected) - set(inputs):
            raise Refused(400, f"Missing but required: {{{','.join(sorted(missing))}}}")
        if extra := set(inputs) - set(expected):
            raise Refused(400, f"Sent extra: {{{','.join(sorted(extra))}}}")
        try:
            return model.run(signature, inputs)
        except SavedModelError as error:
            raise Refused(400, str(error)) from None

    def close(self):
        for model in self.loaded.values():
            model.close()


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer(self.status)

    def do_POST(self):
        self.answer(self.prediction)

    def answer(self, respond):
        try:
            route = ROUTE.fullmatch(self.path)
            if route is None:
                raise Refused(404, "Malformed request: " + self.path)
            status, content = 200, respond(route)
        except Refused as error:
            status, content = error.status, {"error": str(error)}
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def status(self, route):
        _, version = self.server.models.find(route["model"], route["version"])
        state = {"error_code": "OK", "error_message": ""}
        entry = {"version": version, "state": "AVAILABLE", "status": state}
        return {"model_version_status": [entry]}

    def prediction(self, route):
        try:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        except ValueError:
            raise Refused(400, "JSON Parse error") from None
        if not isinstance(body, dict) or ("inputs" in body) == ("instances" in body):
            raise Refused(400, "JSON object: expected either 'inputs' or 'instances'")
        model, _ = self.server.models.find(route["model"], route["version"])
        signature = model.signatures.get(body.get("signature_name", "serving_default"))
        expected = signature.inputs if signature else {}
        outputs = self.server.models.predict(
            route["model"], route["version"], body.get("signature_name"), tensors(body, expected)
        )
        if "inputs" in body:
            listed = {name: array.tolist() for name, array in outputs.items()}
            return {"outputs": listed if len(listed) > 1 else next(iter(listed.values()))}
        rows = [
            {name: array[row].tolist() for name, array in outputs.items()}
            for row in range(len(next(iter(outputs.values()))))
        ]
        return {"predictions": rows if len(outputs) > 1 else [next(iter(r.values())) for r in rows]}

    def log_message(self, *_):
        pass


def tensors(body, expected):
    """The request's arrays by name."""
    named = body.get("inputs")
    if "instances" in body:
        rows = body["instances"]
        if not isinstance(rows, list) or not rows:
            raise Refused(400, "'instances' must be a list that is not empty")
        named = rows
        if isinstance(rows[0], dict):
            if any(set(row) != set(rows[0]) for row in rows):
                raise Refused(400, "instances do not name the same inputs")
            named = {name: [row[name] for row in rows] for name in rows[0]}
    if not isinstance(named, dict):
        if len(expected) > 1:
            raise Refused(400, "the model has several inputs: name them")
        named = dict.fromkeys(expected, named)
    arrays = {}
    for name, value in named.items():
        try:
            array = np.array(value)
        except ValueError:  # lists of different lengths
            raise Refused(400, f"{name}: nested lists are not a tensor") from None
        if array.dtype.kind not in "if":
            raise Refused(400, f"{name}: expected numbers")
        if name in expected:
            if expected[name].dtype.is_integer and array.dtype.kind == "f":
                raise Refused(400, f"{name}: expected integers")
            array = array.astype(expected[name].dtype.as_numpy_dtype)
        arrays[name] = array
    return arrays


@contextlib.contextmanager
def rest_server(models):
    """Serve `models` over REST; gives the address."""
    server = ThreadingHTTPServer(("localhost", 0), Handler)
    server.models = models
    server.daemon_threads = False  # closing waits for the answers
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://localhost:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextlib.contextmanager
def grpc_server(models):
    """Serve `models` over gRPC; gives the address."""
    from concurrent import futures

    import grpc
    import tensorflow as tf
    from tensorflow_serving.apis.predict_pb2 import PredictResponse
    from tensorflow_serving.apis.prediction_service_pb2_grpc import (
        PredictionServiceServicer,
        add_PredictionServiceServicer_to_server,
    )

    class Servicer(PredictionServiceServicer):
        def Predict(self, request, context):
            spec = request.model_spec
            inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
            version = str(spec.version.value) if spec.HasField("version") else None
            try:
                outputs = models.predict(spec.name, version, spec.signature_name, inputs)
            except Refused as error:
                code = {400: "INVALID_ARGUMENT", 404: "NOT_FOUND"}[error.status]
                context.abort(getattr(grpc.StatusCode, code), str(error))
            response = PredictResponse()
            for name, array in outputs.items():
                response.outputs[name].CopyFrom(tf.make_tensor_proto(array))
            return response

    server = grpc.server(futures.ThreadPoolExecutor(1))
    add_PredictionServiceServicer_to_server(Servicer(), server)
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        yield f"localhost:{port}"
    finally:
        server.stop(None).wait()

"""A served export answers as the Python model does; an export that does not is not published."""

import contextlib
import fnmatch
import functools
import hashlib
import importlib.util
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import urllib.error
import urllib.request
import zipfile
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from filvm.cli import main
from filvm.data import Categorical, Continuous
from filvm.experiments import EXPERIMENTS, Experiment, Workspace, run_experiment
from filvm.files import beside
from filvm.lens import FILVM, ILVM, InvertibleLens, LensPipeline
from filvm.serving import cases
from filvm.serving import check as saved_model
from filvm.serving import export as serving
from filvm.serving.check import SavedModelError, ServedModel
from filvm.vae import ConvVAE, SequenceVAE
from tests.serving.stand_in_server import Models, grpc_server, rest_server

ROOT = Path(__file__).parents[2]
SIGNATURES = {"encode", "encode_with_side_information", "decode", "manipulate"}


@dataclass(frozen=True)
class Settings:
    seed: int = 0


def client():
    """The example, imported as the file it is."""
    path = ROOT / "examples" / "serving_client.py"
    spec = importlib.util.spec_from_file_location("serving_client", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def small_conv_vae():
    return ConvVAE(4, filters=(4, 8), dense_units=16)


def small_sequence_vae():
    return SequenceVAE(4, max_length=4, units=8, dense_units=8, context_units=4)


def small_lens(kind, *attributes):
    size = {"hidden_units": (16,), "num_flows": 2}
    if kind is InvertibleLens:
        size = {"num_couplings": 2, "coupling_units": (16,), "attribute_units": (16,)}
    lens = kind(4, attributes, **size)
    lens.attribute_mean.assign([0.0] * (len(attributes) - 1) + [2.6])  # as if adapted to data
    lens.attribute_scale.assign([1.0] * (len(attributes) - 1) + [0.7])
    return lens


@pytest.fixture(scope="module")
def pipeline():
    keras.utils.set_random_seed(0)
    vae = small_conv_vae()
    lens = small_lens(FILVM, Categorical("digit", 10), Continuous("thickness"))
    for model in (vae, lens):
        model.compile("adam")
        model.optimizer.build(model.trainable_variables)
    return LensPipeline(vae, lens)


@pytest.fixture(scope="module")
def runs(pipeline, tmp_path_factory):
    """A folder of runs in which filvm-mnist of the smoke profile is complete."""
    folder = tmp_path_factory.mktemp("runs")

    def train(settings, run):
        run.save_model(pipeline)

    run = Workspace("smoke", folder).run("filvm-mnist")
    run_experiment(
        Experiment("filvm-mnist", "", {"smoke": Settings()}, train, lambda settings, run: {}), run
    )
    return folder


@pytest.fixture(scope="module")
def served(runs):
    """The folder that a server is given, exported by the command line with its check."""
    arguments = ["--check", "--profile", "smoke", "--runs", str(runs)]
    assert main(["export", "filvm-mnist", *arguments]) == 0
    return runs / "smoke" / "serving"


@pytest.fixture(scope="module")
def models(served):
    """The served models, loaded once for all tests."""
    with contextlib.closing(Models(served)) as models:
        yield models


@pytest.fixture(scope="module")
def loaded(models):
    return models.find("filvm_mnist", "1")[0]


@pytest.fixture(scope="module")
def rest(models):
    """The address of a REST server."""
    with rest_server(models) as address:
        yield address


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A function: name of a kind of model -> a small model of it, and its exported version."""
    keras.utils.set_random_seed(0)
    sequence_vae = small_sequence_vae()
    folder = tmp_path_factory.mktemp("exported")
    models = {
        "conv_vae": small_conv_vae(),
        "sequence_vae": sequence_vae,
        "ilvm": small_lens(ILVM, Categorical("digit", 10), Continuous("thickness")),
        "invertible": small_lens(InvertibleLens, Categorical("digit", 10), Continuous("thickness")),
        "sequence_pipeline": LensPipeline(
            sequence_vae, small_lens(FILVM, Continuous("start"), Continuous("step"))
        ),
    }

    @functools.cache
    def export(name):
        return models[name], serving.export_model(models[name], folder / name)[0]

    return export


def images(n):
    return np.random.default_rng(1).uniform(size=(n, 28, 28, 1)).astype(np.float32)


def digest(folder):
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return hashlib.sha256(b"".join(path.read_bytes() for path in files)).hexdigest()


# What is written.


def test_an_export_is_a_version_folder_a_configuration_and_nothing_else(served):
    assert {path.name for path in served.iterdir()} == {"filvm_mnist", "models.config"}
    version = served / "filvm_mnist" / "1"
    assert (version / "saved_model.pb").is_file()
    about = json.loads((version / serving.ABOUT).read_text())
    assert (about["experiment"], about["profile"]) == ("filvm-mnist", "smoke")


def test_signatures_have_the_promised_names_types_and_free_batch(loaded):
    assert set(loaded.signatures) == SIGNATURES | {"serving_default"}
    image, row, z_star = (None, 28, 28, 1), (None,), (None, 4)
    expected = {
        "encode": ({"images": image}, {"z_star": z_star, "digit": row, "thickness": row}),
        "encode_with_side_information": (
            {"images": image, "digit": row, "thickness": row},
            {"z_star": z_star, "digit": row, "thickness": row},
        ),
        "decode": ({"z_star": z_star}, {"images": image}),
        "manipulate": ({"images": image, "dimension": row, "value": row}, {"images": image}),
    }
    expected["serving_default"] = expected["encode"]
    for name, (inputs, outputs) in expected.items():
        signature = loaded.signatures[name]
        assert {key: tuple(spec.shape) for key, spec in signature.inputs.items()} == inputs
        assert {key: tuple(spec.shape) for key, spec in signature.outputs.items()} == outputs
        for key, spec in (*signature.inputs.items(), *signature.outputs.items()):
            assert spec.dtype == (tf.int32 if key == "dimension" else tf.float32)


def test_the_exported_model_loads_in_keras_as_the_same_object(served, pipeline):
    again = keras.models.load_model(served / "filvm_mnist" / "1", compile=False)
    assert isinstance(again, LensPipeline)
    x = images(3)
    np.testing.assert_array_equal(again.encode(x), pipeline.encode(x))
    np.testing.assert_array_equal(
        again.manipulate(x, digit=3, thickness=4.0), pipeline.manipulate(x, digit=3, thickness=4.0)
    )


def test_weights_travel_once_and_without_their_optimisers(runs, served, pipeline):
    weights = sum(weight.numpy().nbytes for weight in pipeline.weights)
    exported = served / "filvm_mnist" / "1" / "variables" / "variables.data-00000-of-00001"
    assert weights < exported.stat().st_size < 2 * weights  # with Adam's moments, three times
    kept = []
    with zipfile.ZipFile(runs / "smoke" / "filvm-mnist" / "model" / "model.keras") as archive:
        weights_file = io.BytesIO(archive.read("model.weights.h5"))
    with h5py.File(weights_file) as file:
        file.visititems(lambda _, item: kept.append(getattr(item, "nbytes", 0)))
    assert weights <= sum(kept) < 2 * weights
    assert pipeline.lens.optimizer.iterations == 0  # it can go on training


def test_versions_are_added_and_never_changed(served, runs, capsys):
    arguments = ["export", "--profile", "smoke", "--runs", str(runs)]
    before = digest(served / "filvm_mnist" / "1")
    assert main([*arguments, "--only-changed"]) == 0
    assert "filvm_mnist/1: unchanged" in capsys.readouterr().out
    assert main(arguments) == 0
    assert "filvm_mnist/2: new" in capsys.readouterr().out
    assert digest(served / "filvm_mnist" / "1") == before
    assert sorted(path.name for path in (served / "filvm_mnist").iterdir()) == ["1", "2"]
    shutil.rmtree(served / "filvm_mnist" / "2")


def test_a_version_appears_whole_and_under_a_number_that_is_free(tmp_path):
    (tmp_path / "vae" / "9").mkdir(parents=True)
    (tmp_path / "vae" / "10").mkdir()
    (tmp_path / "vae" / "notes").mkdir()
    versions = []

    def publish():
        with beside(tmp_path / "vae") as staged:
            staged.mkdir()
            assert staged.parent == tmp_path  # not where a server looks
            for name in ("a", "b"):
                (staged / name).write_text(name)
            versions.append(serving._publish(staged, tmp_path / "vae"))

    threads = [threading.Thread(target=publish) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(int(path.name) for path in versions) == list(range(11, 19))
    assert all({p.name for p in version.iterdir()} == {"a", "b"} for version in versions)
    assert [path.name for path in tmp_path.iterdir()] == ["vae"]


def test_a_model_that_fails_its_check_does_not_appear(exported, tmp_path, monkeypatch):
    model, _ = exported("conv_vae")
    answers = cases.answers

    def other_answers(model, signature, inputs):
        outputs = answers(model, signature, inputs)
        return outputs if signature != "decode" else {"images": outputs["images"] + 2e-5}

    def in_this_process(command, *, input, **_):
        module, *arguments = command[2:]
        assert module == saved_model.__name__
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(input)))
        with contextlib.redirect_stdout(io.StringIO()) as output:
            status = saved_model.main(*arguments)
        return subprocess.CompletedProcess(command, status, output.getvalue().encode(), b"")

    monkeypatch.setattr(cases, "answers", other_answers)
    monkeypatch.setattr(subprocess, "run", in_this_process)  # it saves an import of TensorFlow
    with pytest.raises(serving.ServingError, match="decode, batch 1: images differs by 2e-05"):
        serving.export_model(model, tmp_path / "vae", check=True)
    assert list(tmp_path.iterdir()) == []


def test_the_configuration_lists_every_model_that_has_a_version(tmp_path):
    config = pytest.importorskip("tensorflow_serving.config.model_server_config_pb2")
    from google.protobuf import text_format

    for name in ("vae_mnist/1", "filvm_mnist/3", "empty", ".filvm_mnist.x/1"):
        (tmp_path / name).mkdir(parents=True)
    text = serving.write_config(tmp_path, "/somewhere/").read_text()
    parsed = text_format.Parse(text, config.ModelServerConfig())
    assert [(c.name, c.base_path, c.model_platform) for c in parsed.model_config_list.config] == [
        ("filvm_mnist", "/somewhere/filvm_mnist", "tensorflow"),
        ("vae_mnist", "/somewhere/vae_mnist", "tensorflow"),
    ]


def test_warm_up_records_are_requests_the_model_answers(served, loaded):
    log = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")
    asked = []
    for record in tf.data.TFRecordDataset(str(served / "filvm_mnist" / "1" / serving.WARMUP)):
        request = log.PredictionLog.FromString(record.numpy()).predict_log.request
        assert request.model_spec.name == "filvm_mnist"
        inputs = {name: tf.make_ndarray(proto) for name, proto in request.inputs.items()}
        assert loaded.run(request.model_spec.signature_name, inputs)
        asked.append(request.model_spec.signature_name)
    assert sorted(asked) == sorted(loaded.signatures)


def test_without_the_extra_there_are_no_warm_up_records_and_a_note_says_so(
    runs, served, monkeypatch, capsys
):
    for name in ("predict_pb2", "prediction_log_pb2"):
        monkeypatch.setitem(sys.modules, f"tensorflow_serving.apis.{name}", None)
    assert serving.write_warmup(runs / "warmup", "filvm_mnist", {}) is False
    assert not (runs / "warmup").exists()
    monkeypatch.setattr(serving, "WARMUP", Path("none"))
    assert main(["export", "--only-changed", "--profile", "smoke", "--runs", str(runs)]) == 0
    assert "no warm-up records (`pip install 'filvm[serving]'`)" in capsys.readouterr().out


def test_errors_name_what_cannot_be_exported(tmp_path, capsys):
    where = ["--profile", "smoke", "--runs", str(tmp_path)]
    for arguments, message in (
        (["vae_minst"], "model is vae_minst; expected some of vae_mnist, "),
        ([], f"{tmp_path}/smoke holds no complete run; expected one of a VAE or a lens"),
        (["vae-mnist"], "is not a complete run: `filvm train vae-mnist --profile smoke`"),
    ):
        assert main(["export", *arguments, *where]) == 2
        error = capsys.readouterr().err
        assert message in error
        assert error.count("\n") == 1
    (tmp_path / "file").touch()
    with pytest.raises(NotADirectoryError, match="file is a file; expected a folder"):
        serving.export_model(small_conv_vae(), tmp_path / "file" / "vae")


def test_every_vae_and_lens_of_the_experiments_is_served():
    assert set(serving.SERVED.values()) == {
        name for name in EXPERIMENTS if not name.startswith(("oracles-", "flow-density"))
    }
    assert all(name == experiment.replace("-", "_") for name, experiment in serving.SERVED.items())
    assert {"invertible_mnist_r", "filvm_mnist_morpho", "vae_mnist_16"} <= set(serving.SERVED)


# What a server gets.


def test_the_check_runs_in_a_process_that_imports_no_model(served, pipeline, tmp_path):
    right = cases.check_cases(pipeline)
    assert {key.split("/")[1] for key in right} == {"1", "7", "256"}
    np.savez(tmp_path / "right.npz", **right)
    name = "encode/7/out/thickness"
    np.savez(tmp_path / "wrong.npz", **{**right, name: right[name] + 1e-3})
    program = (
        "import sys\n"
        "from filvm.serving import check\n"
        "status = [check.main(sys.argv[1], path) for path in sys.argv[2:]]\n"
        "assert status == [0, 1], status\n"
        "ours = {name for name in sys.modules if name.startswith('filvm.')}\n"
        "assert ours == {'filvm.version', 'filvm.serving', 'filvm.serving.check'}, ours\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, served / "filvm_mnist" / "1", "right.npz", "wrong.npz"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "encode, batch 7: thickness differs by" in done.stdout
    first, _ = json.JSONDecoder().raw_decode(done.stdout)
    assert set(first["differences"]) == SIGNATURES | {"serving_default"}
    assert max(first["differences"].values()) <= saved_model.TOLERANCE


@pytest.mark.parametrize(
    "name", ["conv_vae", "sequence_vae", "ilvm", "invertible", "sequence_pipeline"]
)
def test_every_model_answers_as_in_python_at_every_batch_size(name, exported):
    model, version = exported(name)
    with ServedModel(version, threads=1) as served:
        differences, faults = saved_model.compare(served, cases.check_cases(model))
        assert faults == served.unservable() == []
        assert set(differences) == set(served.signatures)
        for signature in served.signatures.values():
            for key, spec in (*signature.inputs.items(), *signature.outputs.items()):
                assert spec.dtype == (tf.int32 if key == "dimension" else tf.float32)
                assert spec.shape[0] is None
    again = keras.models.load_model(version, compile=False)
    assert type(again) is type(model)
    signature, inputs = next(iter(cases.requests(model, 3).items()))
    expected = cases.answers(model, signature, inputs)
    for key, answer in cases.answers(again, signature, inputs).items():
        np.testing.assert_allclose(answer, expected[key], rtol=1e-6, atol=1e-6)


def test_what_a_server_cannot_run_is_found(tmp_path):
    one_number = tf.TensorSpec([None], tf.float32, "x")

    class Module(tf.Module):
        @tf.function(input_signature=[one_number])
        def python(self, x):
            y = tf.numpy_function(lambda a: a + 1, [x], tf.float32)
            return {"y": tf.ensure_shape(y, [None])}

        @tf.function(input_signature=[one_number])
        def eager_python(self, x):
            return {"y": tf.ensure_shape(tf.py_function(tf.exp, [x], tf.float32), [None])}

        @tf.function(input_signature=[one_number], jit_compile=True)
        def compiled(self, x):
            return {"y": x + 1}

        @tf.function(input_signature=[tf.TensorSpec([2], tf.float32, "x")])
        def pairs(self, x):
            return {"y": x + 1}

        @tf.function(input_signature=[one_number])
        def fine(self, x):
            return {"y": tf.math.expm1(x)}

    module = Module()
    names = ("python", "eager_python", "compiled", "pairs", "fine")
    signatures = {name: getattr(module, name) for name in names}
    folder = tmp_path / "module"
    tf.saved_model.save(module, str(folder), signatures=signatures)
    with ServedModel(folder, threads=1) as model:
        found = "\n".join(model.unservable())
        for fault in (
            "__inference_python_.*: PyFunc calls Python",
            "__inference_eager_python_.*: EagerPyFunc calls Python",
            "__inference_compiled_.*: the function is compiled by XLA",
            r"pairs: x has shape \(2,\); expected \[None, ...\]",
        ):
            assert re.search(fault, found)
        assert "_fine_" not in found
        zeros = np.zeros(2, np.float32)
        differences, faults = saved_model.compare(
            model, {"fine/2/in/x": zeros, "fine/2/out/y": zeros}
        )
        assert differences == {"fine": 0.0}
        assert faults == [
            f"{name}: the model or the cases lack this signature" for name in sorted(names[:-1])
        ]

    definition = folder / "saved_model.pb"
    content = definition.read_bytes()
    definition.write_bytes(content.replace(b"Expm1", b"Expm9"))
    with pytest.raises(SavedModelError, match="Op type not registered 'Expm9'"):
        ServedModel(folder)
    definition.write_bytes(b"no model")
    with pytest.raises(SavedModelError, match="Cannot parse file"):
        ServedModel(folder)
    with pytest.raises(SavedModelError, match=r"cannot be loaded .* file does not exist"):
        ServedModel(tmp_path)


@pytest.mark.parametrize(
    ("signature", "changes", "message"),
    [
        ("encode", {"images": images(2)[:, :27, :27]}, r"Shape.*\[2,27,27,1\].*not compatible"),
        ("encode", {"images": images(2)[..., 0]}, r"Shape.*\[2,28,28\].*not compatible"),
        ("encode", {"images": 255 * images(2)}, r"pixels in \[0, 1\]: divide them by 255"),
        ("encode", {"images": np.nan * images(2)}, r"pixels in \[0, 1\]"),
        ("manipulate", {"dimension": [0, 4]}, "dimension must hold integers from 0 to 3"),
        ("manipulate", {"dimension": [-1, 0]}, "dimension must hold integers from 0 to 3"),
        ("manipulate", {"value": [0.5]}, "value must hold one value per row of images"),
        (
            "encode_with_side_information",
            {"digit": [10, 1]},
            "digit must hold labels from 0 to 9, or -1 where missing",
        ),
        ("encode_with_side_information", {"digit": [0.5, 1]}, "digit must hold labels"),
        ("encode_with_side_information", {"thickness": [2.0]}, "thickness must hold one value per"),
        ("decode", {"z_star": np.zeros((2, 5))}, r"Shape.*\[2,5\].*not compatible"),
        (
            "encode",
            {"pictures": images(2)},
            "inputs of encode are images, pictures; expected images",
        ),
        ("enccode", {}, "signature is 'enccode'; expected one of decode, encode, "),
    ],
)
def test_the_graph_itself_refuses_malformed_requests(loaded, pipeline, signature, changes, message):
    inputs = cases.requests(pipeline, 2).get(signature, {})
    with pytest.raises(SavedModelError, match=message):
        loaded.run(signature, {**inputs, **changes})


def test_arrays_that_are_not_sequences_are_refused(exported):
    sequence = np.float32([[3, 5, 7, 0]])[..., None]
    with ServedModel(exported("sequence_vae")[1], threads=1) as model:
        assert model.run("encode", {"sequences": sequence})["z_mean"].shape == (1, 4)
        for wrong in (-sequence, sequence + np.float32(np.nan), sequence + np.float32(np.inf)):
            with pytest.raises(SavedModelError, match="sequences must hold finite numbers > 0"):
                model.run("encode", {"sequences": wrong})
        for wrong in (sequence[:, ::-1], 0 * sequence):
            with pytest.raises(SavedModelError, match="zeros only as padding after"):
                model.run("encode", {"sequences": wrong})


# A client and a server.


def post(url, body):
    """Status and content of the answer to a request's body."""
    body = body if isinstance(body, bytes) else json.dumps(body).encode()
    try:
        with urllib.request.urlopen(urllib.request.Request(url, body)) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, json.load(error)


def test_the_client_gets_over_rest_what_the_python_model_answers(rest, pipeline):
    example = client()
    for signature, inputs in cases.requests(pipeline, 3, seed=5).items():
        answer = example.predict_rest(rest, "filvm_mnist", signature, inputs, version=1)
        expected = cases.answers(pipeline, signature, inputs)
        if not isinstance(answer, dict):
            answer = {"images": answer}
        assert set(answer) == set(expected)
        for name, array in expected.items():
            np.testing.assert_allclose(answer[name], array, atol=1e-5)


def test_requests_by_row_and_malformed_ones_are_answered_as_the_rest_api_says(rest, pipeline):
    x = images(2)
    url = f"{rest}/v1/models/filvm_mnist"
    with urllib.request.urlopen(url) as response:
        assert json.load(response)["model_version_status"][0]["state"] == "AVAILABLE"
    url += ":predict"
    status, answer = post(url, {"instances": x.tolist()})  # the default signature: encode
    assert status == 200
    z_star = [row["z_star"] for row in answer["predictions"]]
    np.testing.assert_allclose(z_star, pipeline.encode(x), atol=1e-5)
    rows = [{"images": i.tolist(), "dimension": 1, "value": 0.5} for i in x]
    status, answer = post(url, {"signature_name": "manipulate", "instances": rows})
    assert status == 200
    assert np.shape(answer["predictions"]) == (2, 28, 28, 1)
    manipulate = {"signature_name": "manipulate"}
    for body, message in (
        ({"inputs": {"images": x[:, 1:].tolist()}}, "not compatible with expected shape"),
        ({"instances": [[[0.5]]]}, "not compatible with expected shape"),
        ({"inputs": {"images": [[1.0], [2.0, 3.0]]}}, "not a tensor"),
        ({**manipulate, "inputs": {"images": x.tolist()}}, "required: {dimension,value}"),
        ({**manipulate, "instances": [{"dimension": 0}]}, "required: {images,value}"),
        ({"signature_name": "manipulat", "inputs": {}}, '"manipulat" not found'),
        (b"no JSON", "JSON"),
    ):
        status, answer = post(url, body)
        assert status == 400
        assert message in answer["error"]
    assert post(f"{rest}/v1/models/filvm:predict", {"instances": []})[0] == 404
    assert post(url, {"instances": x.tolist()})[0] == 200  # and it still answers


def test_the_client_says_why_it_was_refused(rest, models):
    example = client()
    with pytest.raises(example.RequestRefused, match="400: .*\n*.*divide them by 255"):
        example.predict_rest(rest, "filvm_mnist", "encode", {"images": 255 * images(1)})
    with pytest.raises(example.RequestRefused, match="404: Servable not found"):
        example.predict_rest(rest, "filvm_mnist", "encode", {"images": images(1)}, version=7)
    with rest_server(models) as stopped:
        pass
    with pytest.raises(example.RequestRefused, match="there is no server at"):
        example.predict_rest(stopped, "filvm_mnist", "encode", {"images": images(1)})


def test_the_example_prints_attributes_and_draws_changed_images(rest, tmp_path):
    np.save(tmp_path / "digits.npy", (255 * images(2)[..., 0]).astype(np.uint8))
    script = [sys.executable, ROOT / "examples" / "serving_client.py", "--rest", rest]
    for arguments in ((), ("--images", tmp_path / "digits.npy", "--version", "1")):
        done = subprocess.run([*script, *arguments], capture_output=True, text=True, check=True)
        assert "image 0: digit " in done.stdout
        assert "with z*[1] = -2, 2:" in done.stdout
        assert len(done.stdout.splitlines()[-1]) == 3 * 28
    assert "image 1: digit " in done.stdout


def test_the_client_gets_the_same_over_grpc(models, pipeline):
    pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc")
    example = client()
    with grpc_server(models) as address:
        for signature, inputs in cases.requests(pipeline, 2, seed=6).items():
            answer = example.predict_grpc(address, "filvm_mnist", signature, inputs)
            expected = cases.answers(pipeline, signature, inputs)
            if not isinstance(answer, dict):
                answer = {"images": answer}
            for name, array in expected.items():
                np.testing.assert_allclose(answer[name], array, atol=1e-5)
        with pytest.raises(example.RequestRefused, match="INVALID_ARGUMENT: .*divide them by 255"):
            example.predict_grpc(address, "filvm_mnist", "encode", {"images": 255 * images(1)})
        with pytest.raises(example.RequestRefused, match="NOT_FOUND"):
            example.predict_grpc(address, "other", "encode", {"images": images(1)})


# Documentation.


def test_the_documentation_names_every_signature_and_every_served_model(loaded):
    text = (ROOT / "docs" / "serving.md").read_text()
    assert all(f"`{name}`" in text for name in (*loaded.signatures, "reconstruct"))
    patterns = re.findall(r"`(\w+\*?)`", text)
    for name in serving.SERVED:
        assert any(fnmatch.fnmatch(name, pattern) for pattern in patterns), name

"""ONNX graphs answer as the Python models do; what does not is not written."""

import json

import numpy as np
import pytest
import tf_keras as keras

from filvm.cli import main
from filvm.data import Categorical, Continuous
from filvm.experiments import Experiment, Workspace, run_experiment
from filvm.lens import FILVM, InvertibleLens, LensPipeline
from filvm.serving.export import ServingError
from filvm.serving.tokens import numeric_signatures
from filvm.vae import TextVAE
from tests.serving.test_serving import (
    SIGNATURES,
    Settings,
    small_conv_vae,
    small_lens,
    small_sequence_vae,
)

onnx = pytest.importorskip("onnx", reason="the extra onnx is not installed")
pytest.importorskip("tf2onnx", reason="the extra onnx is not installed")
onnxruntime = pytest.importorskip("onnxruntime", reason="the extra onnx is not installed")
from filvm.serving.onnx import (  # noqa: E402
    SMALLEST,
    check_onnx,
    convert,
    output_name,
    share_weights,
    shorten_names,
    write_graphs,
)

# tf2onnx uses names of NumPy and protobuf that will go.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def pipeline():
    keras.utils.set_random_seed(0)
    lens = small_lens(FILVM, Categorical("digit", 10), Continuous("thickness"))
    return LensPipeline(small_conv_vae(), lens)


@pytest.fixture(scope="module")
def runs(pipeline, tmp_path_factory):
    """A folder of runs in which filvm-mnist of the smoke profile is complete."""
    workspace = Workspace("smoke", tmp_path_factory.mktemp("runs"))

    def train(settings, run):
        run.save_model(pipeline)

    experiment = Experiment("filvm-mnist", "", {"smoke": Settings()}, train, lambda *_: {})
    run_experiment(experiment, workspace.run("filvm-mnist"))
    return workspace.runs


@pytest.fixture(scope="module")
def exported(runs):
    """The folder of the graphs of filvm-mnist, written and checked by the command line."""
    arguments = ["--check", "--profile", "smoke", "--runs", str(runs)]
    assert main(["export", "filvm-mnist", "--format", "onnx", *arguments]) == 0
    return runs / "smoke" / "serving" / "filvm_mnist" / "onnx"


def test_every_signature_is_a_graph_beside_the_versions(exported):
    graphs = {f"{name}.onnx" for name in SIGNATURES}
    assert {path.name for path in exported.iterdir()} == graphs | {"filvm.json"}
    assert json.loads((exported / "filvm.json").read_text())["experiment"] == "filvm-mnist"


def test_every_input_and_output_has_a_free_batch(exported):
    for path in exported.glob("*.onnx"):
        graph = onnx.load(path).graph
        for tensor in (*graph.input, *graph.output):
            first = tensor.type.tensor_type.shape.dim[0]
            assert not first.HasField("dim_value"), f"{tensor.name} of {path.name}"


def test_missing_side_information_is_inferred_and_known_side_information_kept(exported, pipeline):
    x = pipeline.vae.sample(3, seed=0)
    session = onnxruntime.InferenceSession(exported / "encode_with_side_information.onnx")
    digit, thickness = np.float32([4, -1, np.nan]), np.float32([np.nan, 2.5, np.nan])
    inputs = {"images": x, "digit": digit, "thickness": thickness}
    outputs = [output.name for output in session.get_outputs()]
    found = dict(zip(outputs, session.run(outputs, inputs), strict=True))
    inferred = pipeline.predict_side_information(x)
    np.testing.assert_array_equal(found["digit_out"], [4, *inferred["digit"][1:]])
    expected = [inferred["thickness"][0], 2.5, inferred["thickness"][2]]
    np.testing.assert_allclose(found["thickness_out"], expected, atol=1e-4)
    z_star = pipeline.encode(x, {"digit": [4, -1, -1], "thickness": thickness})
    np.testing.assert_allclose(found["z_star"], z_star, atol=1e-4)


@pytest.mark.parametrize("kind", ["invertible", "sequences", "texts"])
def test_the_graphs_of_other_models_answer_as_python_does(kind, tmp_path, caplog):
    keras.utils.set_random_seed(0)
    if kind == "sequences":
        model, signatures = small_sequence_vae(), ("encode", "decode", "reconstruct")
    elif kind == "texts":
        small = {"filters": (8,), "dense_units": 8}
        vae = TextVAE(4, tokens="abc", max_length=4, **small)
        lens = small_lens(FILVM, Categorical("language", ["de", "en"]), Continuous("length"))
        model, signatures = LensPipeline(vae, lens), ("encode", "manipulate")
    else:
        model = small_lens(InvertibleLens, Categorical("digit", 10), Continuous("thickness"))
        signatures = ("encode", "decode")
    write_graphs(model, tmp_path, signatures)
    assert "Gemm rewriter" not in caplog.text  # once for every matrix product
    differences = check_onnx(model, tmp_path)
    assert set(differences) == set(signatures)
    assert max(differences.values()) < 1e-4


def test_half_precision_halves_the_weights_and_changes_the_answers_little(
    exported, pipeline, tmp_path
):
    write_graphs(pipeline, tmp_path, ("decode",), half=True)
    assert check_onnx(pipeline, tmp_path, half=True)["decode"] < 0.005
    initializers = {
        name: onnx.load(folder / "decode.onnx").graph.initializer
        for name, folder in {"half": tmp_path, "single": exported}.items()
    }
    large = {
        name: sum(len(one.raw_data) for one in found if len(one.raw_data) > 2000)
        for name, found in initializers.items()
    }
    assert large["half"] < 0.55 * large["single"]


def test_eight_bits_round_the_columns_of_matrices(pipeline, tmp_path):
    encode = pipeline.vae.signatures()["encode"]
    x = pipeline.vae.sample(3, seed=0)
    found = {}
    for bits in (32, 8):
        path = tmp_path / f"{bits}.onnx"
        path.write_bytes(convert(encode, bits=bits).SerializeToString())
        (found[bits],) = onnxruntime.InferenceSession(path).run(["z_mean"], {"images": x})
    np.testing.assert_allclose(found[8], found[32], atol=0.02 * np.abs(found[32]).max())
    assert not np.array_equal(found[8], found[32])


def test_graphs_share_their_weights_and_answer_as_before(tmp_path):
    lens = small_lens(InvertibleLens, Categorical("digit", 10), Continuous("thickness"))
    write_graphs(lens, tmp_path, ("encode", "decode"))
    large = sum(
        len(constant.raw_data)
        for path in tmp_path.glob("*.onnx")
        for constant in onnx.load(path).graph.initializer
        if len(constant.raw_data) >= SMALLEST
    )
    share_weights(tmp_path)
    shared = large - (tmp_path / "weights.bin").stat().st_size
    assert shared > 5_000  # bytes that both graphs had
    assert max(check_onnx(lens, tmp_path).values()) < 1e-4


def test_shared_graphs_have_short_names_and_answer_as_before(tmp_path):
    # The decoder of texts has a loop, which is a graph inside the graph.
    vae = TextVAE(4, tokens="abc", max_length=4, filters=(8,), dense_units=8)
    write_graphs(vae, tmp_path, ("decode",))
    before = onnx.load(tmp_path / "decode.onnx").graph
    share_weights(tmp_path)
    after = onnx.load(tmp_path / "decode.onnx").graph
    for side in ("input", "output"):
        assert [one.name for one in getattr(after, side)] == [
            one.name for one in getattr(before, side)
        ]
    loops = [node.attribute[0].g for node in after.node if node.op_type == "Loop"]
    assert loops
    kept = {one.name for one in [*after.input, *after.output]}
    for graph in (after, *loops):
        names = {name for node in graph.node for name in [node.name, *node.input, *node.output]}
        assert all(len(name) < 6 for name in names - kept)
    assert max(check_onnx(vae, tmp_path).values()) < 1e-4


def test_a_shared_graph_has_an_order_of_its_own_not_that_of_tf2onnx():
    vae = TextVAE(4, tokens="abc", max_length=4, filters=(8,), dense_units=8)
    graph = convert(numeric_signatures(vae)["decode"]).graph
    other = onnx.GraphProto.FromString(graph.SerializeToString())
    for parts in (other.node, other.initializer):
        turned = [type(part).FromString(part.SerializeToString()) for part in reversed(parts)]
        del parts[:]
        parts.extend(turned)
    assert other.node[0].op_type != graph.node[0].op_type
    for one in (graph, other):
        shorten_names(one)
    assert other.SerializeToString() == graph.SerializeToString()


def test_an_unchanged_run_is_not_exported_again(exported, runs, capsys):
    arguments = ["--profile", "smoke", "--runs", str(runs), "--format", "onnx", "--only-changed"]
    before = (exported / "decode.onnx").stat().st_mtime_ns
    assert main(["export", "filvm-mnist", *arguments]) == 0
    assert "unchanged" in capsys.readouterr().out
    assert (exported / "decode.onnx").stat().st_mtime_ns == before


def test_graphs_of_another_model_fail_the_check(exported, pipeline):
    lens = small_lens(FILVM, Categorical("digit", 10), Continuous("thickness"))
    lens.latent_mean.assign_add([1.0] * 4)
    other = LensPipeline(pipeline.vae, lens)
    with pytest.raises(ServingError, match="differs from the Python model"):
        check_onnx(other, exported)


def test_half_precision_is_for_onnx_alone(runs, capsys):
    arguments = ["--half", "--profile", "smoke", "--runs", str(runs)]
    assert main(["export", "filvm-mnist", *arguments]) == 2
    assert "--format onnx" in capsys.readouterr().err


def test_an_output_with_the_name_of_an_input_gets_another_name():
    assert output_name("images", {"images": None}) == "images_out"
    assert output_name("z_star", {"images": None}) == "z_star"

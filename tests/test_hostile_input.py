"""Any file or array gives a documented error or a right result, and no code in it is run.

These tests fuzz the properties for a few seconds, `benchmarks/fuzz.py` for any time.
"""

import ast
import contextlib
import gzip
import io
import json
import math
import os
import re
import tempfile
import tracemalloc
import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from filvm import files
from filvm.data import MnistError, mnist, rotated, shape_tables
from filvm.data.sequences import (
    LARGEST_EXACT,
    MAX_NUMBERS,
    sequences_from_lists,
    sequences_to_lists,
)
from filvm.data.side_information import Categorical, Continuous, stack_side_information
from filvm.experiments import Experiment, RunError, Workspace, run_experiment
from filvm.runs.distributed import read_tf_config
from filvm.version import __version__

EXAMPLES = int(os.environ.get("FILVM_FUZZ_EXAMPLES", 300))  # of each property
PACKAGE = Path(files.__file__).parent
IDX = mnist.IdxFile("any", (3, 2), "0" * 64)
SMALL = {
    name: mnist.IdxFile(file.name, (2,) * len(file.shape), "0" * 64)
    for name, file in mnist.FILES.items()
}

fuzzed = settings(max_examples=EXAMPLES, deadline=None, database=None)


def spoilt(content):
    """`content` with up to six replaced parts."""
    edits = st.tuples(st.integers(0, len(content)), st.integers(0, 6), st.binary(max_size=6))

    def spoil(chosen):
        damaged = content
        for place, cut, put in chosen:
            damaged = damaged[:place] + put + damaged[place + cut :]
        return damaged

    return st.lists(edits, max_size=6).map(spoil)


@contextlib.contextmanager
def refused_or_not(*errors, match):
    """The block succeeds, or raises one of `errors` with a message that matches."""
    try:
        yield
    except errors as error:
        if not re.search(match, str(error)):
            raise AssertionError(f"{type(error).__name__}: {error}") from error


def packed(arrays, save=np.savez_compressed):
    stream = io.BytesIO()
    save(stream, **arrays)
    return stream.getvalue()


@st.composite
def npy_files(draw):
    """Bytes that begin like an .npy file, with any header."""
    shape = draw(st.lists(st.sampled_from([0, 1, 2, 3, -1, 2**31, 2**62]), max_size=3))
    descr = draw(st.sampled_from(["|u1", "<f8", "|O", "<U3", "|V0", "|S2", ",", "<M8[s]"]))
    header = f"{{'descr': {descr!r}, 'fortran_order': False, 'shape': {tuple(shape)!r}, }}"
    text = draw(st.one_of(spoilt(header.encode()), st.just(header.encode())))
    version = draw(st.sampled_from([b"\1\0", b"\1\0", b"\2\0", b"\7\0"]))
    length = draw(st.sampled_from([len(text), len(text), 3, 60000])).to_bytes(2, "little")
    content = draw(st.one_of(st.binary(max_size=24), st.just(bytes(math.prod(shape) % 99))))
    return b"\x93NUMPY" + version + length + text + content


@st.composite
def npz_files(draw):
    """Zip archives of such files, with any compression that Python supports, or damaged ones."""
    names = draw(st.lists(st.sampled_from(["x_train", "y_train", "a/../b"]), max_size=3))
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", draw(st.sampled_from([0, 8, 8, 12, 14]))) as archive:
        for name in dict.fromkeys(names):
            archive.writestr(f"{name}.npy", draw(npy_files()))
    content = stream.getvalue()
    return draw(st.one_of(st.just(content), spoilt(content)))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)

# The readers.


@fuzzed
@given(
    st.one_of(st.binary(max_size=80), spoilt(IDX.header + bytes(6))),
    st.sampled_from(["any", "any.gz", "packed.gz"]),
    st.data(),
)
def test_the_idx_reader_names_the_file(content, name, data):
    if name == "packed.gz":
        content = data.draw(spoilt(gzip.compress(content, mtime=0)))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        with pytest.raises(MnistError, match=name):
            mnist.read_mnist_file(path, IDX)


@fuzzed
@given(st.one_of(npz_files(), st.binary(max_size=80)))
def test_the_npz_reader_gives_arrays_or_names_the_file(content):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "any.npz")
        path.write_bytes(content)
        with refused_or_not(ValueError, match=r"any\.npz"):
            arrays = files.read_npz(path)
            assert all(isinstance(array, np.ndarray) for array in arrays.values())
            assert sum(array.nbytes for array in arrays.values()) <= len(content) * 1032


@fuzzed
@given(
    st.one_of(
        npz_files(),
        spoilt(packed({"x_train": np.zeros((2, 2, 2), np.uint8), "y_train": np.zeros(2)})),
    )
)
def test_a_keras_cache_with_other_content_is_named(content):
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(mnist, "FILES", SMALL)
        path = Path(folder, "mnist.npz")
        path.write_bytes(content)
        with pytest.raises(MnistError, match=r"mnist\.npz"):
            mnist._from_npz(path)


@dataclass(frozen=True)
class Settings:
    epochs: int = 3


def trained_under(folder, config):
    """Train one experiment where `config` is what config.json holds."""
    run = Workspace("smoke", Path(folder)).run("first")
    run.folder.mkdir(parents=True)
    (run.folder / "config.json").write_bytes(config)

    def train(settings, run):
        run.record_data({"source": "MNIST", "sha256": "1"})

    first = Experiment("first", "", {"smoke": Settings()}, train, lambda settings, run: {})
    return run_experiment(first, run)


CONFIG = {
    "experiment": "first",
    "profile": "smoke",
    "settings": {"epochs": 3},
    "built_on": {},
    "filvm": __version__,
}


@fuzzed
@given(
    st.one_of(
        st.binary(max_size=60),
        spoilt(json.dumps(CONFIG).encode()),
        st.dictionaries(st.sampled_from([*CONFIG, "data"]), JSON).map(
            lambda changes: json.dumps({**CONFIG, **changes}).encode()
        ),
    )
)
def test_a_config_is_that_of_the_run_or_refused(content):
    refused = refused_or_not(RunError, ValueError, match=r"config\.json|first")
    with tempfile.TemporaryDirectory() as folder, refused:
        assert trained_under(folder, content) == {}


@fuzzed
@given(st.one_of(st.binary(max_size=40), JSON.map(lambda value: json.dumps(value).encode())))
def test_metrics_are_an_object_or_refused(content):
    with tempfile.TemporaryDirectory() as folder:
        run = Workspace("smoke", Path(folder)).run("first")
        files.write_json(run.folder / "config.json", CONFIG)
        (run.folder / "metrics.json").write_bytes(content)
        (run.folder / ".done").write_text("any")
        with refused_or_not(RunError, ValueError, match=r"metrics\.json"):
            assert isinstance(run.metrics(), dict)


CLUSTER = {"chief": ["a:1"], "worker": ["b:2", "c:3"]}
TASK = {"type": "worker", "index": 1}


@fuzzed
@given(
    st.one_of(
        spoilt(json.dumps({"cluster": CLUSTER, "task": TASK}).encode()),
        st.builds(
            lambda cluster, task: json.dumps({"cluster": cluster, "task": task}).encode(),
            JSON | st.dictionaries(st.sampled_from(["chief", "worker", "ps"]), JSON),
            JSON | st.dictionaries(st.sampled_from(["type", "index"]), JSON),
        ),
    )
)
def test_a_cluster_is_one_that_lists_this_worker_or_refused(content):
    with refused_or_not(ValueError, match="TF_CONFIG"):
        workers, own = read_tf_config({"TF_CONFIG": content.decode("latin-1")})
        assert 0 <= own < len(workers)


HISTORY = "epoch,seconds,loss\n1,0.5,10.25\n2,0.5,9\n"


@fuzzed
@given(st.one_of(spoilt(HISTORY.encode()), st.binary(max_size=60)))
def test_a_history_has_a_row_of_numbers_for_every_epoch_or_is_refused(content):
    from filvm.runs.training import read_history

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "history.csv")
        path.write_bytes(content)
        with refused_or_not(RunError, match=r"history\.csv does not hold the 2 epochs"):
            rows = read_history(path, 2)
            assert [row["epoch"] for row in rows] == [1, 2]
            assert all(isinstance(value, int | float) for row in rows for value in row.values())


ROWS = "index,split,thickness\n0,train,2.5\n0,test,nan\n"


@fuzzed
@given(st.one_of(spoilt(ROWS.encode()), st.binary(max_size=60)))
def test_a_table_of_thickness_is_complete_or_made_again(content):
    rows = content.decode("latin-1")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "thickness.csv")
        path.write_bytes(f"# any{shape_tables._rows_digest(rows)}\n{rows}".encode())
        read = shape_tables._read_table(path, "# any", ("thickness",), 2)
    assert read is None or [(a.shape, a.dtype) for a in read.values()] == [((2,), np.float64)]


@fuzzed
@given(npy_files(), st.one_of(st.none(), JSON))
def test_other_arrays_are_not_accepted_as_mnist_r(content, record):
    layout = {"train_images.npy": ((2, 2), np.dtype(np.uint8))}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "train_images.npy").write_bytes(content)
        checksum = rotated._size_and_checksum(folder / "train_images.npy")
        files_noted = {"train_images.npy": checksum} if record is None else record
        (folder / "made.json").write_text(json.dumps({"files": files_noted}))
        if rotated._is_complete(folder, {}, layout):
            assert np.load(folder / "train_images.npy").shape == (2, 2)


# Arrays and lists.

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.complex_numbers(),
    st.fractions(),
    st.decimals(),
    st.text(max_size=3),
    st.binary(max_size=3),
    st.just(2**5000),
    st.just(np.array(1.0)),
    st.just(np.longdouble("1e4000")),
    st.just(object()),
)
NUMBERS = st.one_of(st.integers(-2, 12), st.floats(), st.floats(width=32))


@fuzzed
@given(
    st.dictionaries(
        st.sampled_from(["digit", "thickness", "colour"]),
        st.one_of(
            st.lists(NUMBERS, min_size=3, max_size=3),
            st.lists(NUMBERS, max_size=4).map(np.array),
            st.lists(st.one_of(ODD, st.lists(ODD, max_size=2)), max_size=4),
            ODD,
        ),
    )
)
def test_side_information_is_in_range_or_refused(values):
    attributes = [Categorical("digit", 10), Continuous("thickness")]
    with refused_or_not(TypeError, ValueError, match="digit|thickness"):
        stacked = stack_side_information(attributes, values, 3)
        assert stacked.shape == (3, 2)
        assert stacked.dtype == np.float64
        assert not np.isinf(stacked.astype(np.float32)).any()
        labels = stacked[:, 0][~np.isnan(stacked[:, 0])]
        assert np.isin(labels, np.arange(10)).all()


@fuzzed
@given(
    st.one_of(
        ODD,
        st.lists(
            st.one_of(
                st.lists(st.floats(0.5, 1e6), min_size=1, max_size=4),
                st.lists(st.one_of(NUMBERS, ODD), max_size=4),
                st.lists(NUMBERS, max_size=4).map(np.array),
                ODD,
            ),
            max_size=4,
        ),
    )
)
def test_sequences_are_the_same_after_conversion_or_refused(lists):
    with refused_or_not(TypeError, ValueError, match="sequence|lists"):
        sequences = sequences_from_lists(lists)
        assert ((sequences.numbers >= 0) & (sequences.numbers <= LARGEST_EXACT)).all()
        again = sequences_to_lists(sequences.numbers, sequences.length)
        assert [len(row) for row in again] == [len(row) for row in lists]


# Input that needs much memory, and input that runs code.


def peak_megabytes(call, error, match):
    """The memory used until `call` is refused."""
    tracemalloc.start()
    try:
        with pytest.raises(error, match=match):
            call()
        return tracemalloc.get_traced_memory()[1] / 1e6
    finally:
        tracemalloc.stop()


def test_a_header_that_claims_two_billion_images_allocates_no_memory_for_them(tmp_path):
    claims = mnist.IdxFile("claims", (2**31, 28, 28), "")
    path = tmp_path / "claims"
    path.write_bytes(claims.header + bytes(1000))
    assert peak_megabytes(lambda: mnist.read_mnist_file(path, IDX), MnistError, "begins with") < 1


def npz_that_claims(path, shape, content=b""):
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    stream = io.BytesIO()
    np.lib.format.write_array_header_1_0(stream, header)
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("x_train.npy", stream.getvalue() + content)


def test_an_npz_file_is_unpacked_only_up_to_the_bound(tmp_path, monkeypatch):
    path = tmp_path / "any.npz"
    npz_that_claims(path, (2**40,), b"few")
    with pytest.raises(ValueError, match=r"any\.npz is damaged"):
        files.read_npz(path)
    npz_that_claims(path, (10**7,), bytes(10**7))
    assert files.read_npz(path)["x_train"].shape == (10**7,)
    monkeypatch.setattr(files, "MAX_ARRAY_BYTES", 10**6)
    assert peak_megabytes(lambda: files.read_npz(path), ValueError, "more than 1000000 bytes") < 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "config.json is damaged"),
        ('{"a":' * 100_000, "config.json is damaged"),
        (" " * 2000, "more than 1000 bytes"),
        ("[1, 2]", "it holds a list.; expected a JSON object"),
        ("9" * 999, "config.json is damaged"),
        ('{"a": "\ud800"}', "config.json is damaged"),
    ],
)
def test_json_that_is_deep_long_or_of_another_kind_is_refused(tmp_path, monkeypatch, text, message):
    if len(text) == 2000:
        monkeypatch.setattr(files, "MAX_JSON_BYTES", 1000)
    path = tmp_path / "config.json"
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    with pytest.raises(ValueError, match=message):
        files.read_json(path)


def test_one_long_sequence_does_not_pad_all_others():
    lists = [[1]] * 3000 + [[1] * (MAX_NUMBERS // 3000)]
    assert peak_megabytes(lambda: sequences_from_lists(lists), ValueError, "3001 sequences") < 10


class Bomb:
    """Unpickled, it makes a folder."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_nothing_is_unpickled(tmp_path, monkeypatch):
    bomb = np.array([Bomb(tmp_path / "burst")], dtype=object)
    path = tmp_path / "any.npz"
    np.savez(path, x_train=bomb)
    with pytest.raises(ValueError, match="Object arrays cannot be loaded"):
        files.read_npz(path)
    with pytest.raises(MnistError, match="Object arrays cannot be loaded"):
        mnist._from_npz(path)
    folder = tmp_path / "mnist_r"
    folder.mkdir()
    np.save(folder / "train_images.npy", bomb)
    noted = {"train_images.npy": rotated._size_and_checksum(folder / "train_images.npy")}
    files.write_json(folder / "made.json", {"files": noted})
    assert not rotated._is_complete(folder, {}, {"train_images.npy": ((1,), np.dtype(object))})
    with pytest.raises(TypeError, match="dtype object"):
        stack_side_information([Continuous("size")], {"size": bomb}, 1)
    assert not (tmp_path / "burst").exists()


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
@pytest.mark.parametrize("save_format", ["keras", "tf", "h5"])
def test_python_code_in_a_model_is_not_run(tmp_path, monkeypatch, save_format):
    import tf_keras as keras
    from tf_keras.src.utils import generic_utils

    run = Workspace("smoke", tmp_path).run("first")
    model = keras.Sequential([keras.layers.Input([1]), keras.layers.Lambda(lambda x: x + 1)])
    run.model_folder.mkdir(parents=True)
    saved = tmp_path / ("saved.keras" if save_format == "keras" else "saved")
    model.save(saved, save_format=save_format)
    saved.rename(run.model_folder / "model.keras")
    files.write_json(run.folder / "config.json", CONFIG)
    (run.folder / ".done").write_text("any")
    called = []
    monkeypatch.setattr(generic_utils, "func_load", lambda *code, **_: called.append(code))
    with contextlib.suppress(RunError, ValueError):  # where Keras can do without the code, it does
        run.model()
    assert not called


FORBIDDEN = {"eval", "exec", "pickle", "dill", "cloudpickle", "marshal", "shelve"}


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda path: str(path.relative_to(PACKAGE))
)
def test_no_module_has_the_means_to_run_what_it_reads(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            assert not FORBIDDEN & {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert (node.module or "").split(".")[0] not in FORBIDDEN
        elif isinstance(node, ast.Name):
            assert node.id not in FORBIDDEN
        elif isinstance(node, ast.Attribute):
            assert node.attr not in {"Lambda", "enable_unsafe_deserialization", "from_pickle"}
        elif isinstance(node, ast.keyword) and node.arg in ("allow_pickle", "safe_mode"):
            assert isinstance(node.value, ast.Constant)
            assert node.value.value is (node.arg == "safe_mode")

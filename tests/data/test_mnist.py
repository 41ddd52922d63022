"""MNIST is found and verified; wrong files and failing mirrors are reported and never used."""

import gzip
import hashlib
import http.server
import json
import threading
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from filvm.data import MnistError, load_mnist, mnist, to_float


@pytest.fixture
def digits(monkeypatch, tmp_path):
    """Small files in place of the published ones, as contents by name, with FILES to match."""
    rng = np.random.default_rng(0)
    contents, files = {}, {}
    for name, file in mnist.FILES.items():
        shape = (len(name), *((4, 4) if "images" in name else ()))
        array = rng.integers(0, 10, shape, np.uint8)
        small = mnist.IdxFile(file.name, shape, "")
        content = small.header + array.tobytes()
        files[name] = mnist.IdxFile(file.name, shape, hashlib.sha256(content).hexdigest())
        contents[file.name] = content
    monkeypatch.setattr(mnist, "FILES", files)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "no_keras"))
    monkeypatch.delenv("FILVM_MNIST_DIR", raising=False)
    return contents


def put(folder, contents, *, gzipped=True, suffix=None):
    folder.mkdir(parents=True, exist_ok=True)
    suffix = suffix if suffix is not None else ".gz" if gzipped else ""
    for name, content in contents.items():
        path = folder / f"{name}{suffix}"
        path.write_bytes(gzip.compress(content) if gzipped else content)


def test_the_published_headers_are_those_of_idx():
    assert mnist.FILES["train_images"].header.hex() == "00000803" + "0000ea60" + "0000001c" * 2
    assert mnist.FILES["test_labels"].header.hex() == "00000801" + "00002710"


@pytest.mark.parametrize("gzipped", [True, False])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_plain_and_gzipped_files_hold_the_same_digits(
    digits, tmp_path, monkeypatch, gzipped, suffix
):
    monkeypatch.setenv("HOME", str(tmp_path))
    put(tmp_path / "mnist", digits, gzipped=gzipped, suffix=suffix)
    loaded = load_mnist("~", mirrors=[])
    assert (loaded.source, loaded.origin) == ("MNIST", "data/mnist")
    assert loaded.train_images.tobytes() == digits["train-images-idx3-ubyte"][16:]
    assert loaded.test_labels.tobytes() == digits["t10k-labels-idx1-ubyte"][8:]


def test_the_chosen_folder_comes_before_all_others(digits, tmp_path, monkeypatch):
    put(tmp_path / "chosen", digits)
    put(tmp_path / "mnist", dict.fromkeys(digits, b"broken"))
    monkeypatch.setenv("FILVM_MNIST_DIR", str(tmp_path / "chosen"))
    assert load_mnist(tmp_path).origin == "FILVM_MNIST_DIR"


def test_a_file_missing_from_the_chosen_folder_is_named(digits, tmp_path, monkeypatch):
    put(tmp_path, digits)
    (tmp_path / "t10k-labels-idx1-ubyte.gz").unlink()
    monkeypatch.setenv("FILVM_MNIST_DIR", str(tmp_path))
    with pytest.raises(MnistError, match=r"t10k-labels.* is missing; .*load_idx_dataset"):
        load_mnist(tmp_path)


FAULTS = {
    "truncated": (lambda content: content[:-5], "fewer than the expected"),
    "too long": (lambda content: content + b"x", "more than the expected"),
    "empty": (lambda content: b"", "begins with nothing"),
    "wrong magic": (lambda content: b"\0\0\x0d\x03" + content[4:], "begins with 00000d03"),
    "wrong count": (
        lambda content: content[:4] + b"\xff" * 4 + content[8:],
        "begins with 00000803ff",
    ),
    "wrong content": (lambda content: content[:-1] + b"\xff", "has SHA-256"),
}


@pytest.mark.parametrize("gzipped", [True, False])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_wrong_file_is_named_and_not_changed(digits, tmp_path, fault, gzipped):
    spoil, expected = FAULTS[fault]
    name = "train-images-idx3-ubyte"
    put(tmp_path / "mnist", {**digits, name: spoil(digits[name])}, gzipped=gzipped)
    before = {path: path.read_bytes() for path in (tmp_path / "mnist").iterdir()}
    with pytest.raises(MnistError, match=rf"{name}.*{expected}.*delete it or replace it"):
        load_mnist(tmp_path, mirrors=[])
    assert {path: path.read_bytes() for path in (tmp_path / "mnist").iterdir()} == before


@pytest.mark.parametrize("damage", ["torn gzip", "not gzip", "folder"])
def test_an_unreadable_file_is_named(digits, tmp_path, damage):
    put(tmp_path / "mnist", digits)
    path = tmp_path / "mnist" / "train-labels-idx1-ubyte.gz"
    if damage == "torn gzip":
        path.write_bytes(path.read_bytes()[:-9])
    elif damage == "not gzip":
        path.write_bytes(b"<html>404</html>")
    else:
        path.unlink()
        path.mkdir()
    with pytest.raises(MnistError, match=r"train-labels-idx1-ubyte\.gz cannot be used"):
        load_mnist(tmp_path, mirrors=[])


def test_a_gzip_bomb_is_not_unpacked(tmp_path):
    file = mnist.IdxFile("bomb", (3, 2), "")
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(file.header + bytes(300_000_000), 1))
    began = time.perf_counter()
    with pytest.raises(MnistError, match="more than the expected 18 bytes"):
        mnist.read_mnist_file(path, file)
    assert time.perf_counter() - began < 0.1


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80))
def test_no_content_crashes_the_idx_reader(tmp_path, content):
    file = mnist.IdxFile("any", (3, 2), "0" * 64)
    for name in ("any", "any.gz"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(MnistError, match="any"):
            mnist.read_mnist_file(tmp_path / name, file)


def npz_arrays(digits):
    keys = ("x_train", "y_train", "x_test", "y_test")
    return {
        key: np.frombuffer(digits[file.name], np.uint8, offset=len(file.header)).reshape(file.shape)
        for key, file in zip(keys, mnist.FILES.values(), strict=True)
    }


def test_the_keras_cache_is_used(digits, tmp_path, monkeypatch):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    (tmp_path / "keras" / "datasets").mkdir(parents=True)
    np.savez(tmp_path / "keras" / "datasets" / "mnist.npz", **npz_arrays(digits))
    loaded = load_mnist(tmp_path, mirrors=[])
    assert loaded.origin == "Keras cache"
    assert loaded.train_images.tobytes() == digits["train-images-idx3-ubyte"][16:]


@pytest.mark.parametrize("damage", ["pickle", "shape", "content", "torn"])
def test_a_wrong_keras_cache_is_named_and_skipped(digits, tmp_path, monkeypatch, damage):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    path = tmp_path / "keras" / "datasets" / "mnist.npz"
    path.parent.mkdir(parents=True)
    arrays = npz_arrays(digits)
    if damage == "pickle":
        arrays["x_train"] = np.array([{"a": 1}], dtype=object)
    elif damage == "shape":
        arrays["x_train"] = arrays["x_train"][1:]
    elif damage == "content":
        arrays["x_train"] = 9 - arrays["x_train"]
    np.savez(path, **arrays)
    if damage == "torn":
        path.write_bytes(path.read_bytes()[:100])
    put(tmp_path / "server", digits)
    with (
        pytest.warns(UserWarning, match=r"skipped the Keras cache: .*mnist\.npz"),
        pytest.warns(UserWarning, match="built-in sample"),
    ):
        assert load_mnist(tmp_path, mirrors=[]).is_sample


@pytest.fixture
def mirror(tmp_path):
    """Addresses on a local server: each folder fails in its own way, except "good"."""
    stop = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            _, kind, name = self.path.split("/")
            content = (tmp_path / "server" / name).read_bytes()
            if kind == "fail":
                return self.send_error(500)
            if kind == "lie":
                content = gzip.compress(b"\0" * 1000)
            if kind == "page":
                content = b"<html>sign in to the hotel network</html>"
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            if kind == "stall":
                stop.wait(10)
            elif kind == "trickle":
                for byte in content:
                    if stop.wait(0.05):
                        break
                    self.wfile.write(bytes([byte]))
            else:
                self.wfile.write(content[: len(content) // 2] if kind == "break" else content)
            return None

        def log_message(self, *arguments):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield lambda kind: f"http://127.0.0.1:{server.server_port}/{kind}/"
    stop.set()
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("kind", ["fail", "stall", "trickle", "lie", "page", "break"])
def test_the_next_mirror_takes_over_from_a_bad_one(digits, tmp_path, mirror, kind):
    put(tmp_path / "server", digits)
    loaded = load_mnist(tmp_path, mirrors=[mirror(kind), mirror("good")], timeout=0.2)
    assert loaded.origin == "download"
    assert load_mnist(tmp_path, mirrors=[]).sha256 == loaded.sha256
    assert sorted(path.name for path in (tmp_path / "mnist").iterdir()) == sorted(
        f"{name}.gz" for name in digits
    )


def test_silent_mirrors_delay_the_start_by_the_timeout_in_all(digits, tmp_path, mirror):
    put(tmp_path / "server", digits)
    began = time.perf_counter()
    failures = mnist.download(tmp_path / "mnist", mirrors=[mirror("stall")] * 3, timeout=0.9)
    assert time.perf_counter() - began < 1.5
    assert [failure.split(": ")[-1] for failure in failures] == ["no data for 0.3 s"] * 3
    assert list((tmp_path / "mnist").iterdir()) == []


def test_only_missing_files_are_downloaded(digits, tmp_path, mirror):
    put(tmp_path / "server", digits)
    put(tmp_path / "mnist", digits)
    kept = tmp_path / "mnist" / "train-images-idx3-ubyte.gz"
    before = kept.stat().st_mtime_ns
    (tmp_path / "mnist" / "t10k-labels-idx1-ubyte.gz").unlink()
    assert load_mnist(tmp_path, mirrors=[mirror("good")]).origin == "download"
    assert kept.stat().st_mtime_ns == before


def test_without_mirrors_the_sample_is_used_with_one_warning(digits, tmp_path, mirror):
    put(tmp_path / "server", digits)
    with pytest.warns(UserWarning, match="built-in sample") as caught:
        loaded = load_mnist(tmp_path, mirrors=[mirror("fail")])
    assert len(caught) == 1
    assert "500 Server Error" in str(caught[0].message)
    assert loaded.is_sample
    assert loaded.train_images.shape == (4000, 28, 28)
    assert loaded.test_images.shape == (1000, 28, 28)
    assert np.bincount(loaded.test_labels, minlength=10).min() > 70
    assert loaded.train_images.max() == 255


def test_mirrors_that_failed_are_tried_again_only_on_request(digits, tmp_path, mirror):
    put(tmp_path / "server", digits)
    with pytest.warns(UserWarning, match="built-in sample"):
        load_mnist(tmp_path, mirrors=[mirror("fail")])
    assert load_mnist(tmp_path, mirrors=[mirror("good")]).is_sample  # and nothing is said again
    assert not load_mnist(tmp_path, mirrors=[mirror("good")], retry_download=True).is_sample


def test_require_mnist_names_the_files_and_the_folder_to_fill(digits, tmp_path):
    with pytest.raises(MnistError) as caught:
        load_mnist(tmp_path, mirrors=[], require_mnist=True)
    for name in digits:
        assert f"{name}.gz" in str(caught.value)
    assert str(tmp_path / "mnist") in str(caught.value)
    assert "FILVM_MNIST_DIR" in str(caught.value)


def test_a_damaged_record_is_named(digits, tmp_path):
    (tmp_path / "mnist").mkdir()
    (tmp_path / "mnist" / "source.json").write_text("{")
    with pytest.raises(ValueError, match=r"source\.json is damaged"):
        load_mnist(tmp_path, mirrors=[])


def test_the_sample_does_not_take_the_place_of_mnist_that_was_used_before(digits, tmp_path):
    record = tmp_path / "mnist" / "source.json"
    record.parent.mkdir()
    record.write_text(json.dumps({"source": "MNIST", "origin": "FILVM_MNIST_DIR"}))
    before = record.stat().st_mtime_ns
    with pytest.raises(MnistError, match=r"found in FILVM_MNIST_DIR.*make it available again"):
        load_mnist(tmp_path, mirrors=[])
    assert record.stat().st_mtime_ns == before
    record.unlink()
    with pytest.warns(UserWarning, match="built-in sample"):
        assert load_mnist(tmp_path, mirrors=[]).is_sample


def test_the_record_names_the_data(digits, tmp_path):
    with pytest.warns(UserWarning, match="built-in sample"):
        load_mnist(tmp_path, mirrors=[])
    record = json.loads((tmp_path / "mnist" / "source.json").read_text())
    assert record["source"] == mnist.SAMPLE_SOURCE


def test_to_float_scales_to_the_unit_interval():
    images = to_float(np.arange(256, dtype=np.uint8).reshape(1, 16, 16))
    assert images.dtype == np.float32
    assert images.shape == (1, 16, 16, 1)
    np.testing.assert_allclose(images.ravel() * 255, np.arange(256), rtol=1e-6)
    with pytest.raises(ValueError, match="expected uint8"):
        to_float(np.zeros((1, 2, 2)))

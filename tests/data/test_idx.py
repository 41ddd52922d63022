"""Data sets in the format of MNIST: any type, rank, name and compression."""

import gzip
import struct
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from filvm.data import MnistError, load_idx_dataset, load_mnist, read_idx, to_float

CODES = {"u1": 8, "i1": 9, "i2": 11, "i4": 12, "f4": 13, "f8": 14}


def idx(array):
    """The content of an IDX file."""
    code = CODES[array.dtype.str[1:]]
    header = struct.pack(f">HBB{array.ndim}I", 0, code, array.ndim, *array.shape)
    return header + array.astype(array.dtype.newbyteorder(">")).tobytes()


@settings(deadline=None, max_examples=50)
@given(
    array=st.sampled_from(list(CODES)).flatmap(
        lambda code: arrays(code, array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4))
    ),
    zipped=st.booleans(),
    suffix=st.sampled_from(["", ".gz"]),
)
def test_any_type_rank_and_compression_is_read(tmp_path_factory, array, zipped, suffix):
    path = tmp_path_factory.mktemp("idx") / f"file{suffix}"
    path.write_bytes(gzip.compress(idx(array)) if zipped else idx(array))
    read = read_idx(path)
    assert read.dtype == array.dtype
    np.testing.assert_array_equal(read, array)


# Without a time: the processes of pytest-xdist must collect the same tests.
GZIPPED = gzip.compress(bytes([0, 0, 8, 1, 0, 0, 0, 1, 5]), mtime=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "begins with nothing"),
        (b"\x89PNG\r\n", "begins with 89504e47"),
        (bytes([0, 0, 7, 1, 0, 0, 0, 1, 5]), "begins with 00000701"),
        (bytes([0, 0, 8, 2, 0, 0, 0, 1]), "ends within its header; expected 2 sizes"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 2, 5]), r"fewer than the 2 bytes .* shape \[2\]"),
        (bytes([0, 0, 8, 1, 0, 0, 0, 1, 5, 5]), "more than the 1 bytes"),
        (bytes([0, 0, 14, 3]) + b"\xff" * 12, "fewer than the"),
        (GZIPPED[:-6], "cannot be read as an IDX file"),
    ],
)
def test_another_file_is_named(tmp_path, content, message):
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(
        ValueError, match=f"file cannot be read as an IDX file.*{message}|{message}"
    ):
        read_idx(tmp_path / "file")


@pytest.fixture
def other_set():
    """The content of four files, with images of 4 x 3 pixels."""
    rng = np.random.default_rng(0)
    return {
        "train-images-idx3-ubyte": rng.integers(0, 256, (6, 4, 3), np.uint8),
        "train-labels-idx1-ubyte": np.arange(6, dtype=np.uint8),
        "t10k-images-idx3-ubyte": rng.integers(0, 256, (2, 4, 3), np.uint8),
        "t10k-labels-idx1-ubyte": np.arange(2, dtype=np.uint8),
    }


NAMINGS = {
    "as published": lambda name: name,
    "gzipped": lambda name: f"{name}.gz",
    "with a dot": lambda name: name.replace("-idx", ".idx"),
    "in folders": lambda name: f"{name}/{name}",
    "in folders with a dot": lambda name: f"{name}/{name.replace('-idx', '.idx')}",
    "emnist": lambda name: "emnist-letters-" + name.replace("t10k", "test") + ".gz",
}


@pytest.mark.parametrize("naming", NAMINGS.values(), ids=NAMINGS)
def test_a_data_set_is_loaded_from_files_of_any_naming(other_set, tmp_path, monkeypatch, naming):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, array in other_set.items():
        path = tmp_path / "set" / naming(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(gzip.compress(idx(array)) if path.suffix == ".gz" else idx(array))
    loaded = load_idx_dataset("~/set")
    for array, expected in zip(asdict(loaded).values(), other_set.values(), strict=True):
        np.testing.assert_array_equal(array, expected)
    transposed = load_idx_dataset(tmp_path / "set", transpose=True)
    assert transposed.train_images.shape == (6, 3, 4)
    np.testing.assert_array_equal(transposed.test_images[0], loaded.test_images[0].T)


def test_a_set_among_several_is_chosen_by_its_prefix(other_set, tmp_path):
    for prefix in ("emnist-digits-", "emnist-letters-"):
        for name, array in other_set.items():
            (tmp_path / (prefix + name)).write_bytes(idx(array))
    with pytest.raises(ValueError, match="pass the prefix of its name"):
        load_idx_dataset(tmp_path)
    assert len(load_idx_dataset(tmp_path, prefix="emnist-letters").train_labels) == 6
    with pytest.raises(ValueError, match=r"has no file with kmnist\.\.\.train"):
        load_idx_dataset(tmp_path, prefix="kmnist")
    (tmp_path / "emnist-digits-train-labels-idx1-ubyte").write_bytes(idx(np.zeros(5, np.uint8)))
    with pytest.raises(ValueError, match=r"train images have shape \[6, 4, 3\] and the labels"):
        load_idx_dataset(tmp_path, prefix="emnist-digits")


def test_another_set_in_place_of_mnist_is_recognised(other_set, tmp_path, monkeypatch):
    for name, array in other_set.items():
        (tmp_path / name).write_bytes(idx(array))
    monkeypatch.setenv("FILVM_MNIST_DIR", str(tmp_path))
    with pytest.raises(MnistError, match=r"another data set in MNIST's format, .*load_idx_dataset"):
        load_mnist(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(b"damaged")
    with pytest.raises(MnistError, match="delete it or replace it"):
        load_mnist(tmp_path)


def test_images_of_three_colours_become_floats():
    images = np.full([2, 3, 4, 3], 51, np.uint8)
    np.testing.assert_allclose(to_float(images), np.full([2, 3, 4, 3], 0.2), rtol=1e-6)

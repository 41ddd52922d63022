"""A file is whole or not there; what stood in its place stays until then."""

import numpy as np
import pytest

from filvm.files import read_json, read_npz, replacing, write_json


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "file"
    path.write_text("old")

    def write():
        with replacing(path) as temporary:
            temporary.write_text("half of the n")
            raise RuntimeError("the disk is full")

    with pytest.raises(RuntimeError, match="disk is full"):
        write()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_replaces_a_folder(tmp_path):
    for version in ("old", "new"):
        with replacing(tmp_path / "model") as temporary:
            temporary.mkdir()
            (temporary / version).touch()
    assert [path.name for path in (tmp_path / "model").iterdir()] == ["new"]
    assert len(list(tmp_path.iterdir())) == 1


def test_json_comes_back_as_written(tmp_path):
    content = {"name": "été", "values": [1, 2.5, None]}
    write_json(tmp_path / "a" / "b.json", content)
    assert read_json(tmp_path / "a" / "b.json") == content


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_come_back_as_saved(tmp_path, save):
    arrays = {
        "number": np.array(1.5),
        "rows": np.arange(6, dtype=np.int16).reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "names": np.array(["digit", "thickness"]),
        "none": np.empty((0, 3), np.float32),
    }
    save(tmp_path / "arrays.npz", **arrays)
    kept = read_npz(tmp_path / "arrays.npz")
    assert list(kept) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(kept[name], array)
        assert (kept[name].dtype, kept[name].shape) == (array.dtype, array.shape)

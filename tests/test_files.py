"""A file is whole or not there; what stood in its place stays until then."""

import pytest

from filvm.files import read_json, replacing, write_json


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

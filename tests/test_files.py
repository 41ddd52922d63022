"""A file is whole or not there; what stood in its place stays until then."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from filvm import files
from filvm.files import discard, exclusive, read_json, read_npz, replacing, write_json


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


def a_process_that_is_gone():
    command = [sys.executable, "-c", "import os; print(os.getpid())"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_what_killed_processes_left_is_swept_and_what_live_ones_write_is_not(tmp_path):
    host, process = platform.node(), a_process_that_is_gone()
    gone = tmp_path / f".file.{host}.{process}.0.tmp"
    gone.mkdir()
    (gone / "half").touch()
    kept = [
        tmp_path / f".file.{host}.{os.getppid()}.0.tmp",  # alive
        tmp_path / f".file.{host}x.{process}.0.tmp",  # of another machine
        tmp_path / f".other.{host}.{process}.0.tmp",  # swept with `other`
    ]
    for path in kept:
        path.touch()
    with replacing(tmp_path / "file") as temporary:
        temporary.touch()
    assert set(tmp_path.iterdir()) == {tmp_path / "file", *kept}


def test_what_is_discarded_is_gone_and_no_other(tmp_path):
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    discard(tmp_path / "link")  # the link, not what it leads to
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    discard(tmp_path / "folder")
    discard(tmp_path / "never there")
    assert list(tmp_path.iterdir()) == []


def test_one_process_at_a_time_and_no_lock_outlives_a_kill(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "PATIENCE", 0.0)
    program = (
        "import sys, time; from filvm.files import exclusive\n"
        "with exclusive(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == b"held\n"
        with (
            pytest.raises(BlockingIOError, match=f"run is being made by process {holder.pid}: "),
            exclusive(tmp_path / "run"),
        ):
            pass
        with exclusive(tmp_path / "another run"):  # side by side
            pass
        holder.kill()
    with exclusive(tmp_path / "run"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["a file", "a link to nothing"])
def test_what_is_in_the_way_of_a_folder_is_named(tmp_path, kind):
    if kind == "a file":
        (tmp_path / "runs").touch()
    else:
        (tmp_path / "runs").symlink_to(tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError, match=f"runs is {kind}; expected a folder"):
        write_json(tmp_path / "runs" / "smoke" / "config.json", {})


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

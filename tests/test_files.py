"""A file is complete or absent, and the old file stays until the new one is complete."""

import os
import platform
import subprocess
import sys

import numpy as np
import pytest

from filvm import files
from filvm.files import discard, exclusive, read_json, read_npz, replacing, write_json


def test_a_failed_write_leaves_the_old_file_and_no_temporary_file(tmp_path):
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


def test_json_is_read_as_it_was_written(tmp_path):
    content = {"name": "été", "values": [1, 2.5, None]}
    write_json(tmp_path / "a" / "b.json", content)
    assert read_json(tmp_path / "a" / "b.json") == content


def id_of_an_ended_process():
    command = [sys.executable, "-c", "import os; print(os.getpid())"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_temporary_files_of_killed_processes_are_removed_and_of_running_ones_kept(tmp_path):
    host, process = platform.node(), id_of_an_ended_process()
    leftover = tmp_path / f".file.{host}.{process}.0.tmp"
    leftover.mkdir()
    (leftover / "half").touch()
    kept = [
        tmp_path / f".file.{host}.{os.getppid()}.0.tmp",  # of a running process
        tmp_path / f".file.{host}x.{process}.0.tmp",  # of another machine
        tmp_path / f".other.{host}.{process}.0.tmp",  # for another file
    ]
    for path in kept:
        path.touch()
    with replacing(tmp_path / "file") as temporary:
        temporary.touch()
    assert set(tmp_path.iterdir()) == {tmp_path / "file", *kept}


def test_discard_removes_a_link_or_a_folder_and_nothing_else(tmp_path):
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    discard(tmp_path / "link")  # the link, not its target
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
    discard(tmp_path / "folder")
    discard(tmp_path / "never there")
    assert list(tmp_path.iterdir()) == []


def test_one_process_at_a_time_holds_a_lock_and_a_kill_releases_it(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "LOCK_SECONDS", 0.0)
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
        with exclusive(tmp_path / "another run"):  # locks of other files are free
            pass
        holder.kill()
    with exclusive(tmp_path / "run"):
        pass
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kind", ["a file", "a broken link"])
def test_an_obstacle_in_the_place_of_a_folder_is_named(tmp_path, kind):
    if kind == "a file":
        (tmp_path / "runs").touch()
    else:
        (tmp_path / "runs").symlink_to(tmp_path / "nowhere")
    with pytest.raises(NotADirectoryError, match=f"runs is {kind}; expected a folder"):
        write_json(tmp_path / "runs" / "smoke" / "config.json", {})


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_arrays_are_read_as_they_were_saved(tmp_path, save):
    arrays = {
        "number": np.array(1.5),
        "rows": np.arange(6, dtype=np.int16).reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "names": np.array(["digit", "thickness"]),
        "none": np.empty((0, 3), np.float32),
    }
    save(tmp_path / "arrays.npz", **arrays)
    loaded = read_npz(tmp_path / "arrays.npz")
    assert list(loaded) == list(arrays)
    for name, array in arrays.items():
        np.testing.assert_array_equal(loaded[name], array)
        assert (loaded[name].dtype, loaded[name].shape) == (array.dtype, array.shape)

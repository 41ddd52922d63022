"""Files that appear whole or not at all, and what only one process at a time may make."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
import platform
import re
import shutil
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

try:
    import fcntl
except ImportError:  # not on Windows: there, two processes are not kept apart
    fcntl = None

MOST_JSON = 2**26  # bytes; the longest that is written here has a thousandth of it
MOST_ARRAYS = 2**30  # bytes, unpacked
PATIENCE = 3.0  # seconds in which what a killed process had started notices that it is gone

_numbers = itertools.count()  # of this process's temporary files


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` if the block succeeds.

    The block may make a file or a folder. Whatever stood at `path` stays as it was until the new
    one is complete, and stays for good if the block fails. A folder that stood there is removed
    first, so a reader may for a moment find none, but never half of one.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder) / "note.txt") as temporary:
    ...         _ = temporary.write_text("whole")
    ...     sorted(entry.name for entry in Path(folder).iterdir())
    ['note.txt']
    """
    with beside(path) as temporary:
        yield temporary
        to_disk(temporary)  # the rename must not overtake the content
        if temporary.is_dir():
            discard(path)
        os.replace(temporary, path)


@contextlib.contextmanager
def beside(path: str | Path) -> Iterator[Path]:
    """Give a temporary path on the disk of `path`, removed at the end if something is there.

    What killed processes left there when they wrote `path` is removed before.
    """
    path = Path(path)
    make_folder(path.parent)
    sweep(path)
    name = f".{path.name}.{platform.node()}.{os.getpid()}.{next(_numbers)}.tmp"
    temporary = path.with_name(name)
    _remove(temporary)  # of another process that had our number
    try:
        yield temporary
    finally:
        _remove(temporary)


def sweep(path: str | Path) -> None:
    """Remove what processes of this machine that are no more left while they wrote `path`."""
    path = Path(path)
    left = re.compile(re.escape(f".{path.name}.{platform.node()}.") + r"(\d+)\.\d+\.tmp")
    for name in os.listdir(path.parent):
        if (of := left.fullmatch(name)) and not _is_alive(int(of[1])):
            _remove(path.with_name(name))


def discard(path: str | Path) -> None:
    """Remove a file or a folder, if it is there; a kill leaves all of it at `path` or nothing."""
    with beside(path) as aside, contextlib.suppress(FileNotFoundError):
        os.rename(path, aside)


def to_disk(path: Path) -> None:
    """Wait until a file, or every file of a folder, is on the disk."""
    for part in path.rglob("*") if path.is_dir() else [path]:
        if part.is_file():
            with open(part, "rb") as written:
                os.fsync(written.fileno())


@contextlib.contextmanager
def exclusive(path: str | Path) -> Iterator[None]:
    """Have `path`, which need not be there yet, to oneself; a BlockingIOError names who has it.

    What counts is a lock on a file beside it, of which the operating system lets go when the
    process ends, whichever way: no lock outlives a kill or a power cut.
    """
    path = Path(path)
    make_folder(path.parent)
    lock = path.with_name(f".{path.name}.lock")
    give_up = time.monotonic() + PATIENCE
    while True:
        file = open(lock, "a+")  # noqa: SIM115 (it stays open, and locked, while the block runs)
        if _lock(file) and _is_same(file, lock):
            break
        file.seek(0)
        holder = file.read().strip()
        file.close()
        if time.monotonic() > give_up:
            raise BlockingIOError(
                f"{path} is being made by process {holder}: wait for it, or stop it"
            )
        time.sleep(0.1)
    with file:
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        sweep(path)
        try:
            yield
        finally:
            lock.unlink(missing_ok=True)


def _lock(file: Any) -> bool:
    if fcntl is None:
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks
    return True


def _is_same(file: Any, path: Path) -> bool:
    """Whether an open file is still the one at `path`: who held the lock before has removed it."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.stat(path))
    except FileNotFoundError:
        return False


def make_folder(path: str | Path) -> None:
    """Make a folder and those above it; a NotADirectoryError names what is in the way."""
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        above = (place for place in (path, *path.parents) if os.path.lexists(place))
        blocking = next(place for place in above if not place.is_dir())
        kind = "a link to nothing" if blocking.is_symlink() else "a file"
        raise NotADirectoryError(f"{blocking} is {kind}; expected a folder: move it away") from None


def first_line(error: BaseException) -> str:
    """What an error says, in one line: TensorFlow's go on with the operations that led there."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as indented JSON, replacing `path` in one step."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", "utf-8")


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON object; a ValueError names the file if it holds anything else, or too much."""
    try:
        with open(path, "rb") as file:
            text = file.read(MOST_JSON + 1)
        if len(text) > MOST_JSON:
            raise ValueError(f"more than {MOST_JSON} bytes")
        content = json.loads(text.decode("utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"a {type(content).__name__}, expected an object")
    except (ValueError, RecursionError) as error:
        raise ValueError(
            f"{path} does not hold JSON as expected ({error}); delete it to make it anew"
        ) from None
    return content


def read_npz(path: str | Path, most: int = MOST_ARRAYS) -> dict[str, np.ndarray]:
    """Read the arrays of an .npz file by name; a ValueError names the file if it holds none.

    Nothing is unpickled, and whatever the file claims, no more than `most` bytes are unpacked.
    """
    with open(path, "rb") as file:
        try:
            archive = zipfile.ZipFile(file)
            members = archive.infolist()
            if sum(member.file_size for member in members) > most:
                raise ValueError(f"more than {most} bytes unpacked")
            return {
                member.filename.removesuffix(".npy"): _read_npy(archive, member)
                for member in members
            }
        except Exception as error:  # zipfile and NumPy raise a dozen kinds for a damaged file
            raise ValueError(
                f"{path} does not hold arrays as expected ({error}); delete it to make it anew"
            ) from None


def _read_npy(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> np.ndarray:
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{member.filename} is packed in a way NumPy does not use")
    with archive.open(member) as stream:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise ValueError(f"{member.filename} has format version {version}")
        shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
        if dtype.hasobject:
            raise ValueError(f"{member.filename} holds Python objects")
        content = stream.read()  # never beyond what the archive's directory says
    if len(content) != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{member.filename} holds {len(content)} bytes for shape {shape}")
    array = np.frombuffer(content, dtype) if content else np.empty(0, dtype)
    return array.reshape(shape, order="F" if fortran_order else "C")


def _is_alive(process: int) -> bool:
    if fcntl is None:
        return True  # nor can this be asked
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

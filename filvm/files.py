"""Atomic writes of files and folders, locks between processes, and checked reading."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import platform
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import numpy as np

MAX_JSON_BYTES = 2**26  # the longest JSON file written here has a thousandth of it
MAX_ARRAY_BYTES = 2**30  # of all arrays of an .npz file, unpacked
LOCK_SECONDS = 3.0  # how long to wait for a lock: workers of a killed process end within it

_temporary_numbers = itertools.count()


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path next to `path`, and rename it to `path` if the block succeeds.

    The block may make a file or a folder. If the block fails, `path` stays as it was. An existing
    folder is removed just before the rename, so a reader may briefly find no folder, but never an
    incomplete one.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder) / "note.txt") as temporary:
    ...         _ = temporary.write_text("whole")
    ...     sorted(entry.name for entry in Path(folder).iterdir())
    ['note.txt']
    """
    with beside(path) as temporary:
        yield temporary
        to_disk(temporary)  # the content must be on the disk before the rename
        if temporary.is_dir():
            discard(path)
        os.replace(temporary, path)


@contextlib.contextmanager
def beside(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `path`; remove what is there when the block ends.

    First removes the temporary files that killed processes left when they wrote `path`.
    """
    path = Path(path)
    make_folder(path.parent)
    remove_leftovers(path)
    name = f".{path.name}.{platform.node()}.{os.getpid()}.{next(_temporary_numbers)}.tmp"
    temporary = path.with_name(name)
    _remove(temporary)  # an earlier process may have had the same process id
    try:
        yield temporary
    finally:
        _remove(temporary)


def remove_leftovers(path: str | Path) -> None:
    """Remove temporary files for `path` whose process ran on this machine and has ended."""
    path = Path(path)
    pattern = re.compile(re.escape(f".{path.name}.{platform.node()}.") + r"(\d+)\.\d+\.tmp")
    for name in os.listdir(path.parent):
        if (match := pattern.fullmatch(name)) and not _is_alive(int(match[1])):
            _remove(path.with_name(name))


def discard(path: str | Path) -> None:
    """Remove a file or a folder in one step, if it exists: a kill never leaves half a folder."""
    with beside(path) as temporary, contextlib.suppress(FileNotFoundError):
        os.rename(path, temporary)


def to_disk(path: Path) -> None:
    """Wait until a file, or every file of a folder, is on the disk."""
    for part in path.rglob("*") if path.is_dir() else [path]:
        if part.is_file():
            with open(part, "rb") as written:
                os.fsync(written.fileno())


@contextlib.contextmanager
def exclusive(path: str | Path) -> Iterator[None]:
    """Hold the lock for making `path`, which need not exist yet, while the block runs.

    The lock is the file `.<name>.lock` next to `path`, which holds the process id. The operating
    system releases it when the process ends for any reason, a kill or a power cut included.

    Raises:
        BlockingIOError: another process, named by its id, holds the lock.
    """
    path = Path(path)
    make_folder(path.parent)
    lock = path.with_name(f".{path.name}.lock")
    try:
        held = filelock.FileLock(lock).acquire(timeout=LOCK_SECONDS)
    except filelock.Timeout:
        raise BlockingIOError(
            f"{path} is being made by process {_text(lock)}: wait until it has finished, or stop it"
        ) from None
    with held:
        lock.write_text(str(os.getpid()))
        remove_leftovers(path)
        try:
            yield
        finally:
            with contextlib.suppress(OSError):  # Windows keeps a file that is open
                lock.unlink()  # filelock>=4 checks that the file it has locked still exists


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # released in the meantime
        return "(unknown)"


def make_folder(path: str | Path) -> None:
    """Make a folder and its parents.

    Raises:
        NotADirectoryError: a file, or a link that leads nowhere, is in the way; it is named.
    """
    path = Path(path)
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        existing = (place for place in (path, *path.parents) if os.path.lexists(place))
        blocking = next(place for place in existing if not place.is_dir())
        kind = "a broken link" if blocking.is_symlink() else "a file"
        raise NotADirectoryError(f"{blocking} is {kind}; expected a folder: move it away") from None


def first_line(error: BaseException) -> str:
    """Return the first line of an error message; TensorFlow appends lists of operations."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)


def write_text(path: str | Path, text: str) -> None:
    """Write a text in UTF-8, in one step."""
    with replacing(path) as temporary:
        temporary.write_text(text, "utf-8")


def write_json(path: str | Path, content: Any) -> None:
    """Write `content` as indented JSON, in one step."""
    write_text(path, json.dumps(content, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        ValueError: the file, which is named, is damaged, too long, or holds no JSON object.
    """
    try:
        with open(path, "rb") as file:
            text = file.read(MAX_JSON_BYTES + 1)
        if len(text) > MAX_JSON_BYTES:
            raise ValueError(f"it has more than {MAX_JSON_BYTES} bytes")
        content = json.loads(text.decode("utf-8"))
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}")
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "a JSON object", error) from None
    return content


def read_npz(path: str | Path) -> dict[str, np.ndarray]:
    """Read all arrays of an .npz file by name. Nothing is unpickled.

    Raises:
        ValueError: the file, which is named, is damaged, holds Python objects, or would unpack to
            more than `MAX_ARRAY_BYTES`.
    """
    with open(path, "rb") as file:
        try:
            with np.load(file, allow_pickle=False) as archive:
                if sum(member.file_size for member in archive.zip.infolist()) > MAX_ARRAY_BYTES:
                    raise ValueError(f"it unpacks to more than {MAX_ARRAY_BYTES} bytes")
                return {name: np.asarray(archive[name]) for name in archive.files}
        except Exception as error:  # NumPy and zipfile raise a dozen kinds for a damaged file
            raise _damaged(path, "an .npz file of plain arrays", error) from None


def _damaged(path: str | Path, expected: str, error: Exception) -> ValueError:
    return ValueError(
        f"{path} is damaged ({error}); expected {expected}: delete it, and it is made again"
    )


def _is_alive(process: int) -> bool:
    if os.name == "nt":
        return True  # Windows has no such question: signal 0 would end the process
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True  # another user's process
    return True


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)

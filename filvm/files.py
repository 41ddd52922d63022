"""Files that appear whole or not at all."""

from __future__ import annotations

import contextlib
import json
import math
import os
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

MOST_JSON = 2**26  # bytes; the longest that is written here has a thousandth of it
MOST_ARRAYS = 2**30  # bytes, unpacked


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Give a temporary path beside `path`; rename it to `path` if the block succeeds.

    The block may make a file or a folder. Whatever stood at `path` stays as it was until the new
    one is complete, and stays for good if the block fails. A folder that stood there is removed
    first, so a reader may for an instant find none, but never half of one.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     with replacing(Path(folder) / "note.txt") as temporary:
    ...         _ = temporary.write_text("whole")
    ...     sorted(entry.name for entry in Path(folder).iterdir())
    ['note.txt']
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        if temporary.is_dir():
            if path.is_dir():
                shutil.rmtree(path)
        else:
            with open(temporary, "rb") as written:
                os.fsync(written.fileno())  # the rename must not overtake the content
        os.replace(temporary, path)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


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

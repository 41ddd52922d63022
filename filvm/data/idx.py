"""IDX, the file format of MNIST: read any such file, and any data set of four such files.

    two zero bytes, the type, the rank r, r sizes of 4 bytes, the values      (all big-endian)

Fashion-MNIST, KMNIST, EMNIST and others use it. Files may be plain or gzipped.
"""

from __future__ import annotations

import gzip
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

_TYPES = {8: "u1", 9: "i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}
_CHUNK = 2**24  # bytes; a header may claim any size


def read_idx(path: str | Path) -> np.ndarray:
    """Read one IDX file, plain or gzipped, of any type and rank.

    Args:
        path: of the file, or of a folder of the same name that contains it, as some archives have
            it. `~` is the home folder.

    Returns:
        The array, in the processor's byte order.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is no IDX file, or it is cut off or too long; the message names it.
    """
    path = Path(path).expanduser()
    if path.is_dir():
        path = find_idx(path, path.name.removesuffix(".gz").replace(".idx", "-idx")) or path
    try:
        return _read(path)
    except (EOFError, zlib.error, gzip.BadGzipFile, ValueError) as error:
        raise ValueError(f"{path} cannot be read as an IDX file: {error}") from None


def open_idx(path: Path) -> BinaryIO:
    """A file for reading, unpacked if it is gzipped, whatever its name."""
    with path.open("rb") as stream:
        gzipped = stream.read(2) == b"\x1f\x8b"
    return gzip.open(path) if gzipped else path.open("rb")  # type: ignore[return-value]


def _read(path: Path) -> np.ndarray:
    with open_idx(path) as stream:
        start = stream.read(4)
        if len(start) < 4 or start[:2] != b"\0\0" or start[2] not in _TYPES:
            raise ValueError(
                f"it begins with {start.hex() or 'nothing'}; expected 0000, a type from 08 to 0e "
                "and the number of dimensions"
            )
        rank = start[3]
        sizes = stream.read(4 * rank)
        if len(sizes) < 4 * rank:
            raise ValueError(f"it ends within its header; expected {rank} sizes")
        shape = struct.unpack(f">{rank}I", sizes)
        dtype = np.dtype(_TYPES[start[2]])
        expected = dtype.itemsize
        for size in shape:
            expected *= size
        content = bytearray()
        while len(content) <= expected:
            part = stream.read(min(_CHUNK, expected + 1 - len(content)))
            if not part:
                break
            content += part
    if len(content) != expected:
        relation = "fewer" if len(content) < expected else "more"
        raise ValueError(
            f"it has {relation} than the {expected} bytes of values that its shape "
            f"{list(shape)} needs"
        )
    values = np.frombuffer(content, dtype).reshape(shape)
    return values.astype(dtype.newbyteorder("="))


def find_idx(folder: Path, name: str) -> Path | None:
    """The file `name` in a folder: plain or gzipped, with a dot before idx, or in a folder.

    Args:
        folder: where to look.
        name: as published, such as train-images-idx3-ubyte.
    """
    names = [name, name.replace("-idx", ".idx")]
    names += [f"{name}.gz" for name in names]
    for candidate in names:
        if (folder / candidate).is_file():
            return folder / candidate
    for candidate in names:
        inside = [folder / candidate / inner for inner in names]
        if found := next((path for path in inside if path.is_file()), None):
            return found
    # What has the name and is no file is found, too, so that the error names it.
    return next((folder / name for name in names if (folder / name).exists()), None)


@dataclass(frozen=True)
class ImageSet:
    """Images [n, height, width] and labels [n], of the types in the files."""

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def load_idx_dataset(folder: str | Path, *, prefix: str = "", transpose: bool = False) -> ImageSet:
    """Load the images and labels of any data set in MNIST's format, from the files in a folder.

    Args:
        folder: has four files, recognised by `images` or `labels`, and by `train`, or `t10k` or
            `test`, in their names.
        prefix: of the files' names, if the folder has several sets: "emnist-letters".
        transpose: swap rows and columns of every image: EMNIST stores them transposed.

    Raises:
        ValueError: a file is missing or is no IDX file, there are several, or there are not as many
            images as labels.
    """
    folder = Path(folder).expanduser()
    found: dict[str, np.ndarray] = {}
    for part, marks in (("train", ("train",)), ("test", ("t10k", "test"))):
        for kind in ("images", "labels"):
            path = _only(folder, prefix, kind, marks)
            found[f"{part}_{kind}"] = read_idx(path)
        images, labels = found[f"{part}_images"], found[f"{part}_labels"]
        if images.ndim != 3 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"{folder}: the {part} images have shape {list(images.shape)} and the labels "
                f"{list(labels.shape)}; expected [n, height, width] and [n]"
            )
        if transpose:
            found[f"{part}_images"] = np.ascontiguousarray(images.transpose(0, 2, 1))
    return ImageSet(**found)


def _only(folder: Path, prefix: str, kind: str, marks: tuple[str, ...]) -> Path:
    """The one file or folder in `folder` whose name has the prefix, the kind and a mark."""
    names = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    names = [
        name
        for name in names
        if name.startswith(prefix)
        and kind in name
        and "idx" in name
        and any(m in name for m in marks)
    ]
    by_file = {name.removesuffix(".gz").replace(".idx", "-idx"): name for name in names}
    if len(by_file) > 1:
        raise ValueError(
            f"{folder} has {', '.join(names)}; expected one of them: pass the prefix of its name, "
            'such as prefix="emnist-letters"'
        )
    if not by_file:
        raise ValueError(
            f"{folder} has no file with {prefix or 'a name'}...{marks[0]}...{kind}...idx...; "
            "expected four files of a data set in MNIST's format, such as train-images-idx3-ubyte"
        )
    return folder / next(iter(by_file.values()))

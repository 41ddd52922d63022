"""MNIST-R: every digit of MNIST under eight random rotations (section 3.2 of the report).

    angle ~ uniform in [-90, 90] degrees, counter-clockwise positive
    rotated(r, c) = image, interpolated bilinearly at the point that the rotation moves to (r, c)

The 480,000 training and 80,000 test images are too many to hold as floats: they are uint8 in
uncompressed `.npy` files, which are memory-mapped. Row i is a rotation of digit i // 8, so all
rotations of a digit are on the same side of a split.

    data/mnist_r/   {train,test}_{images,labels,angles,digits}.npy  made.json
"""

from __future__ import annotations

import math
import os
import zlib
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from filvm.data.mnist import Mnist, load_mnist
from filvm.data.splits import training_split
from filvm.files import exclusive, read_json, replacing, write_json

NUM_ROTATIONS = 8
MAX_ANGLE = 90.0
MAKING_VERSION = 1  # increase it when the images change: existing files are then made again

_ARRAYS = ("images", "labels", "angles", "digits")
_DIGITS_PER_TASK = 1024  # of the thread pool
_PIXELS_PER_STEP = 128 * 28 * 28  # so that the arrays of a thread stay in the processor's cache


@dataclass(frozen=True)
class RotatedMnist:
    """MNIST-R. Row i of every train array is a rotation of training digit i // num_rotations.

    `images` uint8 [n, 28, 28] are read-only memory maps; `labels` uint8 [n]; `angles` float32 [n]
    in degrees, counter-clockwise positive; `digits` int32 [n], the index of the digit in the same
    part of MNIST. `source` and `sha256` are those of the digits.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    train_angles: np.ndarray
    train_digits: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    test_angles: np.ndarray
    test_digits: np.ndarray
    num_rotations: int
    seed: int
    source: str
    sha256: str

    def training_split(self, validation: int, train_limit: int = 0) -> tuple[slice, slice]:
        """Return the rows to train on and the rows to validate on, of the train arrays.

        Args:
            validation: number of digits to validate on, each with all its rotations.
            train_limit: number of digits to train on; 0 means all the others.

        See `filvm.data.splits.training_split`.
        """
        num_digits = len(self.train_images) // self.num_rotations
        return training_split(num_digits, validation, train_limit, copies=self.num_rotations)

    def one_test_rotation_each(self, limit: int | None = None) -> np.ndarray:
        """Return rows of the test arrays: one rotation of each of the first `limit` digits.

        Digit i shows its rotation i modulo `num_rotations`, so all rotations are used equally.
        """
        digits = np.arange(len(self.test_images) // self.num_rotations)[:limit]
        return digits * self.num_rotations + digits % self.num_rotations


def load_rotated_mnist(
    mnist: Mnist | None = None,
    data_dir: str | Path = "data",
    *,
    num_rotations: int = NUM_ROTATIONS,
    seed: int = 0,
    progress: bool | None = None,
) -> RotatedMnist:
    """Return MNIST-R, memory-mapped from `mnist_r` in `data_dir`, where it is made if necessary.

    `made.json` in the same folder records the digits and settings, and the size and checksum of
    every file. If the record does not fit, or a file is damaged, the folder is made again and
    replaced in one step.

    Args:
        mnist: the digits; `load_mnist(data_dir)` by default.
        data_dir: the folder that has, or gets, `mnist_r`.
        num_rotations: rotations of every digit.
        seed: seed of the angles.
        progress: whether to show a progress bar; by default, on a terminal only.
    """
    if num_rotations < 1:
        raise ValueError(f"num_rotations is {num_rotations}; expected at least 1")
    if mnist is None:
        mnist = load_mnist(data_dir)
    folder = Path(data_dir).expanduser() / "mnist_r"
    expected = {
        "version": MAKING_VERSION,
        "source": mnist.source,
        "digits_sha256": mnist.sha256,
        "num_rotations": num_rotations,
        "max_angle": MAX_ANGLE,
        "seed": seed,
    }
    if not _is_complete(folder, expected, _layout(mnist, num_rotations)):
        with exclusive(folder), replacing(folder) as temporary:
            temporary.mkdir()
            files = _make(temporary, mnist, num_rotations, seed, progress)
            write_json(temporary / "made.json", {**expected, "files": files})
    arrays = {
        f"{split}_{name}": np.load(
            folder / f"{split}_{name}.npy",
            mmap_mode="r" if name == "images" else None,
            allow_pickle=False,
        )
        for split in ("train", "test")
        for name in _ARRAYS
    }
    return RotatedMnist(
        **arrays,
        num_rotations=num_rotations,
        seed=seed,
        source=mnist.source,
        sha256=mnist.sha256,
    )


def _layout(mnist: Mnist, num_rotations: int) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Return the shape and type of the array in each file."""
    layout = {}
    for split in ("train", "test"):
        images, labels = getattr(mnist, f"{split}_images"), getattr(mnist, f"{split}_labels")
        n = num_rotations * len(images)
        layout[f"{split}_images.npy"] = (n, *images.shape[1:]), images.dtype
        layout[f"{split}_labels.npy"] = (n,), labels.dtype
        layout[f"{split}_angles.npy"] = (n,), np.dtype(np.float32)
        layout[f"{split}_digits.npy"] = (n,), np.dtype(np.int32)
    return layout


def _is_complete(
    folder: Path, expected: dict[str, Any], layout: dict[str, tuple[tuple[int, ...], np.dtype]]
) -> bool:
    """Return whether `folder` has all files, undamaged and made as expected."""
    try:
        made = read_json(folder / "made.json")
        files = made.pop("files")
        return (
            made == expected
            and set(files) == set(layout)
            and all(_size_and_checksum(folder / name) == record for name, record in files.items())
            and all(_shape_and_type(folder / name) == layout[name] for name in layout)
        )
    except Exception:  # missing or damaged; NumPy raises a dozen kinds for a damaged header
        return False


def _shape_and_type(path: Path) -> tuple[tuple[int, ...], np.dtype]:
    """Return them from the header, for a file that is as long as its header claims.

    NumPy is not asked to map the file: some damaged headers would end the process.
    """
    with open(path, "rb") as file:
        if np.lib.format.read_magic(file) != (1, 0):
            raise ValueError(f"{path} has another format version than np.save writes")
        shape, _, dtype = np.lib.format.read_array_header_1_0(file)
        num_bytes = path.stat().st_size - file.tell()
    if dtype.hasobject or num_bytes != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{path} has {num_bytes} bytes for {dtype} {shape}")
    return shape, dtype


def _size_and_checksum(path: Path) -> dict[str, int]:
    checksum = 0
    with open(path, "rb") as file:
        while block := file.read(2**22):
            checksum = zlib.crc32(block, checksum)
    return {"bytes": path.stat().st_size, "crc32": checksum}


def _make(
    folder: Path, mnist: Mnist, num_rotations: int, seed: int, progress: bool | None
) -> dict[str, dict[str, int]]:
    """Write all arrays into `folder`; return the size and checksum of each file."""
    num_rows = num_rotations * (len(mnist.train_images) + len(mnist.test_images))
    hidden = None if progress is None else not progress
    with tqdm(total=num_rows, desc="MNIST-R", unit="image", disable=hidden) as bar:
        for number, split in enumerate(("train", "test")):
            images = getattr(mnist, f"{split}_images")
            labels = getattr(mnist, f"{split}_labels")
            angles = np.random.default_rng([seed, number]).uniform(
                -MAX_ANGLE, MAX_ANGLE, len(images) * num_rotations
            )
            angles = angles.astype(np.float32)
            digits = np.repeat(np.arange(len(images), dtype=np.int32), num_rotations)
            np.save(folder / f"{split}_labels.npy", np.repeat(labels, num_rotations))
            np.save(folder / f"{split}_angles.npy", angles)
            np.save(folder / f"{split}_digits.npy", digits)
            shape = (len(digits), *images.shape[1:])
            blocks = _rotated_blocks(images, angles, num_rotations)
            _write_npy(folder / f"{split}_images.npy", shape, blocks, bar)
    return {path.name: _size_and_checksum(path) for path in sorted(folder.glob("*.npy"))}


def _rotated_blocks(
    images: np.ndarray, angles: np.ndarray, num_rotations: int
) -> Iterator[np.ndarray]:
    """Yield blocks of rotated images in order, computed by one thread per core."""

    def rotated(first: int) -> np.ndarray:
        some = images[first : first + _DIGITS_PER_TASK]
        rows = slice(first * num_rotations, (first + len(some)) * num_rotations)
        return rotate_images(np.repeat(some, num_rotations, axis=0), angles[rows])

    num_threads = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4
    firsts = range(0, len(images), _DIGITS_PER_TASK)
    with ThreadPoolExecutor(num_threads) as pool:
        for start in range(0, len(firsts), num_threads):  # bounds the blocks in memory
            yield from pool.map(rotated, firsts[start : start + num_threads])


def _write_npy(path: Path, shape: tuple[int, ...], blocks: Iterable[np.ndarray], bar: tqdm) -> None:
    """Write uint8 blocks one by one: on a full disk this raises; a memory map would crash."""
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with open(path, "wb") as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            file.write(block)
            bar.update(len(block))


def rotate_images(
    images: np.ndarray, angles: np.ndarray, out: np.ndarray | None = None
) -> np.ndarray:
    """Rotate every image about its centre by its own angle, with bilinear interpolation.

    Args:
        images: uint8 [n, height, width].
        angles: [n], in degrees, counter-clockwise positive, with row 0 at the top.
        out: uint8 [n, height, width] to write to, for example a memory map; a new array by default.

    Returns:
        `out`. Pixels from outside the image are 0.

    Raises:
        TypeError, ValueError: an array has another type or shape, or an angle is not finite.

    >>> arrow = np.zeros([1, 5, 5], np.uint8)
    >>> arrow[0, 2, 2:] = 9
    >>> rotate_images(arrow, np.array([90.0]))[0, :3, 2]
    array([9, 9, 9], dtype=uint8)
    """
    images, angles = np.asarray(images), np.asarray(angles, np.float32)
    if images.dtype != np.uint8 or images.ndim != 3:
        raise TypeError(
            f"images are {images.dtype} {images.shape}; expected uint8 [n, height, width]"
        )
    if angles.shape != (len(images),):
        raise ValueError(
            f"angles have shape {angles.shape}; expected {(len(images),)}, one per image"
        )
    if not np.isfinite(angles).all():
        raise ValueError("angles hold nan or infinity; expected finite numbers")
    if out is None:
        out = np.empty_like(images)
    step = max(1, _PIXELS_PER_STEP // max(1, images[0].size if len(images) else 1))
    for start in range(0, len(images), step):
        part = slice(start, start + step)
        out[part] = _rotate_few(images[part], angles[part])
    return out


def _rotate_few(images: np.ndarray, angles: np.ndarray) -> np.ndarray:
    num_images, height, width = images.shape
    framed = np.zeros([num_images, height + 3, width + 3], np.float32)  # 0 outside
    framed[:, 1:-2, 1:-2] = images

    # With x to the right and y upwards from the centre, the rotated image at (x, y) is the image at
    # (x cos a + y sin a, -x sin a + y cos a). Rows run downwards: y = -(row - centre).
    radians = np.deg2rad(angles)[:, np.newaxis, np.newaxis]
    cos, sin = np.cos(radians), np.sin(radians)
    down = (np.arange(height, dtype=np.float32) - (height - 1) / 2)[:, np.newaxis]
    right = np.arange(width, dtype=np.float32) - np.float32((width - 1) / 2)
    down = down.astype(np.float32)
    rows = down * cos + right * sin + np.float32((height - 1) / 2 + 1)
    columns = right * cos - down * sin + np.float32((width - 1) / 2 + 1)
    np.clip(rows, 0, height + 1, out=rows)
    np.clip(columns, 0, width + 1, out=columns)

    row, column = rows.astype(np.int32), columns.astype(np.int32)  # not negative: rounds down
    rows -= row
    columns -= column
    row *= width + 3
    row += column
    row += (np.arange(num_images, dtype=np.int32) * framed[0].size)[:, np.newaxis, np.newaxis]
    pixels = framed.ravel()

    def neighbours(offset: int) -> np.ndarray:
        return np.take(pixels, row + offset)

    above = neighbours(0)
    above += (neighbours(1) - above) * columns
    below = neighbours(width + 3)
    below += (neighbours(width + 4) - below) * columns
    above += (below - above) * rows
    above += np.float32(0.5)
    return above.astype(np.uint8)

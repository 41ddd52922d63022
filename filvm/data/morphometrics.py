"""Shape of handwritten digits: Morpho-MNIST's measures, for whole data sets at once.

For one image (Castro et al. 2018, arXiv:1809.10780, section 3; section 3.1 of the report)

    upsampled = uint8(255 * blur(clip(cubic(image, 4x))))      # Gaussian of sigma 2 * 4 / 6
    binary    = upsampled >= (min(upsampled) + max(upsampled)) / 2
    skeleton  = medial axis of binary
    thickness = 2 * mean(distance to the background, over the skeleton) / 4
    area      = sum(binary) / 16
    length    = sum(distances between neighbours on the skeleton, of 8 each) / 4
    slant     = atan(-shear), shear = mu_xy / mu_yy, central moments of upsampled, y downwards
    width     = the middle 98 % of upsampled along x - shear (y - mean of y), / 4
    height    = the middle 98 % of upsampled along y, / 4

in pixels of the original image, its area in their squares, and the slant in degrees: a stroke that
leans to the right has a positive one. The original takes one image at a time. Here

- upsampling and blurring are linear maps of the rows and of the columns, so that a batch is a few
  matrix products;
- many binary images, cropped to their strokes and laid one below the other, go through
  `skimage.morphology.medial_axis` in one call, which pays its fixed cost of 12 ms once;
- batches go to a pool of processes.

The medial axis is not unique: where pixels are equally far from the background, scikit-image
breaks the tie at random. Here the tie is broken by the pixel's place in its image, so that an
image's thickness depends on nothing but the image. This moves a digit's thickness by 0.005 px on
average, as much as another random seed does.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import signal
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from filvm.files import exclusive, replacing

if TYPE_CHECKING:
    from filvm.data.mnist import Mnist

UPSCALE = 4
MEASURE_VERSION = 1  # raise it when the measures give other numbers: cached tables are remade
MORPHOMETRICS = ("thickness", "area", "length", "slant", "width", "height")

# What one call of medial_axis, and one task of the process pool, get: upsampled pixels. The first
# keeps the mosaic in the processor's cache, the second bounds a process's memory to about 150 MB.
_PIXELS_PER_MOSAIC = 128 * 112 * 112
_PIXELS_PER_TASK = 1024 * 112 * 112

_MOST_PER_ROW = 128  # bytes of the table; more are not read
_MIDDLE = (0.01, 0.99)  # of the brightness, from where to where width and height go


def stroke_thickness(
    images: np.ndarray, *, num_workers: int | None = None, progress: bool | None = None
) -> np.ndarray:
    """Return the mean stroke thickness of every image, in pixels: float64 array [n].

    As `measure_shapes`, which has the arguments, when asked for that measure alone. A single bright
    pixel is a stroke like any other: the blur makes it 1.118 px thick.

    Examples
    --------
    >>> import numpy as np
    >>> bar = np.zeros([28, 28], np.uint8)
    >>> bar[4:24, 12:16] = 255
    >>> stroke_thickness(np.stack([bar, np.zeros_like(bar)])).round(1)
    array([3.8, nan])
    """
    names = ("thickness",)
    return measure_shapes(images, names, num_workers=num_workers, progress=progress)["thickness"]


def measure_shapes(
    images: np.ndarray,
    names: Sequence[str] = MORPHOMETRICS,
    *,
    num_workers: int | None = None,
    progress: bool | None = None,
) -> dict[str, np.ndarray]:
    """Return measures of the shape of every image, by name.

    Parameters
    ----------
    images : uint8, or float in [0, 1], shape [n, height, width] or [n, height, width, 1]
        Bright strokes on a dark ground, of any size.
    names : which of `MORPHOMETRICS`.
    num_workers : processes to use; all cores by default. Small batches stay in this process.
    progress : show a progress bar; by default, on a terminal only.

    Returns
    -------
    float64 arrays [n]. An image without contrast (blank, or one grey all over) has no stroke: its
    measures are nan. Less than one grey level of 255 is no contrast.

    Examples
    --------
    >>> import numpy as np
    >>> bar = np.zeros([28, 28], np.uint8)
    >>> bar[4:24, 12:16] = 255
    >>> {name: values.round(0).item() for name, values in measure_shapes(bar[np.newaxis]).items()}
    {'thickness': 4.0, 'area': 80.0, 'length': 25.0, 'slant': 0.0, 'width': 5.0, 'height': 20.0}
    """
    if unknown := set(names) - set(MORPHOMETRICS):
        raise ValueError(
            f"there is no measure {', '.join(sorted(unknown))}; there are {MORPHOMETRICS}"
        )
    images = _checked_images(images)
    num_images, height, width = images.shape
    measured = np.empty([num_images, len(names)])
    if num_images == 0:
        return dict(zip(names, measured.T, strict=True))

    import joblib
    from tqdm import tqdm

    per_task = max(1, _PIXELS_PER_TASK // (UPSCALE**2 * height * width))
    starts = range(0, num_images, per_task)
    if num_workers is None:
        num_workers = joblib.cpu_count()
    if num_workers < 1:
        raise ValueError(f"num_workers must be at least 1, got {num_workers}")
    parallel = joblib.Parallel(n_jobs=min(num_workers, len(starts)), return_as="generator")
    tasks = (
        joblib.delayed(_measures_of)(images[start : start + per_task], tuple(names))
        for start in starts
    )

    hidden = None if progress is None else not progress
    with _workers_ignore_ctrl_c():
        parts = parallel(tasks)
    with tqdm(total=num_images, desc=", ".join(names), unit="image", disable=hidden) as bar:
        for start, part in zip(starts, parts, strict=True):
            measured[start : start + len(part)] = part
            bar.update(len(part))
    return dict(zip(names, measured.T, strict=True))


@contextlib.contextmanager
def _workers_ignore_ctrl_c() -> Iterator[None]:
    """Processes that start in this block ignore Ctrl-C; this process ends them.

    A terminal sends Ctrl-C to all of them, and each would print a traceback. Python allows only the
    main thread to change this; from other threads, nothing changes.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@dataclass(frozen=True)
class StrokeSteps:
    """What `stroke_thickness` does to one image, in pictures 4 times its height and width."""

    upsampled: np.ndarray  # uint8: enlarged 4x by cubic splines, then blurred
    binary: np.ndarray  # bool: at least half-way between the darkest and the brightest
    skeleton: np.ndarray  # bool: the medial axis of `binary`
    distance: np.ndarray  # float: upsampled pixels to the nearest background pixel
    thickness: float  # pixels of the original image: 2 * mean(distance[skeleton]) / 4


def stroke_steps(image: np.ndarray) -> StrokeSteps:
    """Return the intermediate pictures of the measure for one image [height, width].

    `stroke_steps(image).thickness` is `stroke_thickness(image[np.newaxis])[0]`.
    """
    image = np.asarray(image)
    if image.ndim != 2:
        raise ValueError(f"image must have shape [height, width], got {image.shape}")
    images = _checked_images(image[np.newaxis])
    upsampled = _upsample(images)
    binary = _binarise(upsampled)
    if not _has_contrast(images, upsampled)[0]:
        nothing = np.zeros(binary.shape[1:])
        return StrokeSteps(upsampled[0], nothing > 0, nothing > 0, nothing, np.nan)
    skeleton, distance = _medial_axis(binary[0], _tie_order(*binary.shape[1:])[binary[0]])
    thickness = 2.0 * distance[skeleton].mean() / UPSCALE
    return StrokeSteps(upsampled[0], binary[0], skeleton, distance, float(thickness))


@dataclass(frozen=True)
class Thickness:
    """Stroke thickness in pixels, float64, in the order of the images."""

    train: np.ndarray
    test: np.ndarray


def load_thickness(
    mnist: Mnist,
    data_dir: str | Path = "data",
    *,
    num_workers: int | None = None,
    progress: bool | None = None,
) -> Thickness:
    """Return the thickness of all of `mnist`, from `mnist/thickness.csv` if that is there and fits.

    The table is a CSV file (index, split, thickness) below one comment line with the measure's
    version and the SHA-256 of the digits and of the rows: `pandas.read_csv(path, comment="#")`
    reads it. A table of other digits, of another version of the measure, cut short or otherwise
    changed, is made again and replaced in one step.
    """
    path = Path(data_dir) / "mnist" / "thickness.csv"
    train, test = _load(mnist, path, "stroke thickness", ("thickness",), num_workers, progress)
    return Thickness(train=train["thickness"], test=test["thickness"])


def load_morphometrics(
    mnist: Mnist,
    data_dir: str | Path = "data",
    *,
    num_workers: int | None = None,
    progress: bool | None = None,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Return all `MORPHOMETRICS` of the training and of the test digits, by name.

    They are kept in `mnist/morphometrics.csv`, as `load_thickness` keeps its own.
    """
    path = Path(data_dir) / "mnist" / "morphometrics.csv"
    return _load(mnist, path, "morphometrics", MORPHOMETRICS, num_workers, progress)


def _load(
    mnist: Mnist,
    path: Path,
    title: str,
    names: tuple[str, ...],
    num_workers: int | None,
    progress: bool | None,
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    source = f"# {title}, version {MEASURE_VERSION}, of digits {mnist.sha256}"
    num_train = len(mnist.train_images)
    measured = _read_table(path, source, names, num_train + len(mnist.test_images))
    if measured is None:
        images = np.concatenate([mnist.train_images, mnist.test_images])
        with exclusive(path):
            measured = measure_shapes(images, names, num_workers=num_workers, progress=progress)
            _write_table(path, source, measured, num_train)
            # Rounded as in the table: who makes it trains with what all others will.
            measured = _read_table(path, source, names, len(images))
    train = {name: values[:num_train] for name, values in measured.items()}
    return train, {name: values[num_train:] for name, values in measured.items()}


def _rows_digest(rows: str) -> str:
    return f", rows {hashlib.sha256(rows.encode()).hexdigest()}"


def _read_table(
    path: Path, source: str, names: tuple[str, ...], num_rows: int
) -> dict[str, np.ndarray] | None:
    """Return the columns by name, or None where there is no table, another's, or a damaged one."""
    import pandas as pd

    most = len(source) + _MOST_PER_ROW * (num_rows + 8)
    try:
        with open(path, "rb") as file:
            heading, rows = file.read(most).decode("utf-8").split("\n", maxsplit=1)
        if heading != source + _rows_digest(rows):
            return None
        table = pd.read_csv(io.StringIO(rows), usecols=names, dtype=np.float64)
    except (FileNotFoundError, ValueError):  # not there; not text, a single line, or no table
        return None
    if len(table) != num_rows:
        return None
    return {name: table[name].to_numpy(copy=True) for name in names}


def _write_table(path: Path, source: str, measured: dict[str, np.ndarray], num_train: int) -> None:
    import pandas as pd

    num_test = len(next(iter(measured.values()))) - num_train
    table = pd.DataFrame(
        {
            "index": np.concatenate([np.arange(num_train), np.arange(num_test)]),
            "split": np.repeat(["train", "test"], [num_train, num_test]),
            **measured,
        }
    )
    rows = table.to_csv(index=False, float_format="%.6f", na_rep="nan", lineterminator="\n")
    with replacing(path) as temporary:
        temporary.write_bytes(f"{source}{_rows_digest(rows)}\n{rows}".encode())


def _checked_images(images: np.ndarray) -> np.ndarray:
    images = np.asarray(images)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim != 3 or 0 in images.shape[1:]:
        raise ValueError(
            "images must have shape [n, height, width] or [n, height, width, 1], "
            f"got {images.shape}"
        )
    if images.dtype == np.uint8:
        return images
    if not np.issubdtype(images.dtype, np.floating):
        raise TypeError(
            f"images must be uint8, or floats in [0, 1], got {images.dtype}: convert them"
        )
    if images.size and not (images.min() >= 0 and images.max() <= 1):  # nan fails both
        raise ValueError(
            f"float images must lie in [0, 1], got {images.min()} to {images.max()}: "
            "divide by 255, or pass uint8"
        )
    return images


@lru_cache(maxsize=8)
def _upsampling_maps(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (enlarge [4 size, size], blur [4 size, 4 size]), each the matrix of one linear map.

    They are what `skimage.transform.pyramid_expand(order=3, upscale=4)` does along one axis,
    applied to the unit vectors: its enlargement mirrors at the edge pixel, its blur before it.
    """
    from scipy import ndimage

    enlarge = ndimage.zoom(np.eye(size), (UPSCALE, 1), order=3, mode="mirror", grid_mode=True)
    blur = ndimage.gaussian_filter1d(
        np.eye(UPSCALE * size), sigma=2 * UPSCALE / 6, axis=0, mode="reflect"
    )
    return enlarge.astype(np.float32), blur.astype(np.float32)


def _upsample(images: np.ndarray) -> np.ndarray:
    """Return images [n, h, w] enlarged 4x and blurred, as uint8 [n, 4h, 4w]."""
    scale = 255.0 if images.dtype == np.uint8 else 1.0
    images = images.astype(np.float32) / np.float32(scale)
    enlarge_rows, blur_rows = _upsampling_maps(images.shape[1])
    enlarge_columns, blur_columns = _upsampling_maps(images.shape[2])
    large = enlarge_rows @ (images @ enlarge_columns.T)
    darkest, brightest = (f(images, axis=(1, 2), keepdims=True) for f in (np.min, np.max))
    np.clip(large, darkest, brightest, out=large)
    return (255 * (blur_rows @ (large @ blur_columns.T))).clip(0, 255).astype(np.uint8)


def _binarise(upsampled: np.ndarray) -> np.ndarray:
    darkest = upsampled.min(axis=(1, 2), keepdims=True).astype(np.float64)
    brightest = upsampled.max(axis=(1, 2), keepdims=True).astype(np.float64)
    return upsampled >= (darkest + brightest) / 2


def _has_contrast(images: np.ndarray, upsampled: np.ndarray) -> np.ndarray:
    """Return whether there is anything to binarise [n]: rounding alone must not make a stroke."""
    one_level = 1 if images.dtype == np.uint8 else 0.999 / 255
    return (np.ptp(images, axis=(1, 2)) >= one_level) & (np.ptp(upsampled, axis=(1, 2)) >= 1)


class _TiesByOrder(np.random.Generator):
    """Gives `medial_axis` the tie-breakers it would draw: those of the foreground, row by row."""

    def __init__(self, order: np.ndarray) -> None:
        super().__init__(np.random.PCG64(0))
        self._order = order

    def permutation(self, x: np.ndarray, axis: int = 0) -> np.ndarray:
        return self._order


@lru_cache(maxsize=8)
def _tie_order(height: int, width: int) -> np.ndarray:
    """Return a fixed random rank for every place of an upsampled image, int32 [height, width]."""
    ranks = np.random.default_rng(0).permutation(height * width)
    return ranks.reshape(height, width).astype(np.int32)


def _medial_axis(binary: np.ndarray, ties: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from skimage.morphology import medial_axis

    return medial_axis(binary, return_distance=True, rng=_TiesByOrder(ties))


def _measures_of(images: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Return the measures of one task's images (checked: [n, h, w]), [n, len(names)]."""
    upsampled = _upsample(images)
    binary = _binarise(upsampled)
    has_contrast = np.flatnonzero(_has_contrast(images, upsampled))
    found = {name: np.full(len(images), np.nan) for name in MORPHOMETRICS}
    if "area" in names:
        found["area"][has_contrast] = binary[has_contrast].sum(axis=(1, 2)) / UPSCALE**2
    if {"thickness", "length"} & set(names):
        found["thickness"][has_contrast], found["length"][has_contrast] = _of_skeletons(
            binary[has_contrast]
        )
    if {"slant", "width", "height"} & set(names):
        for one in has_contrast:
            slant, width, height = _of_parallelogram(upsampled[one])
            found["slant"][one], found["width"][one], found["height"][one] = slant, width, height
    return np.stack([found[name] for name in names], axis=1)


def _of_skeletons(binary: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return thickness and length of images [n, h, w] that have a foreground."""
    thickness, length = np.empty(len(binary)), np.empty(len(binary))

    # Outside its borders an image has no background, in a mosaic it would: these few go alone.
    on_border = binary[:, [0, -1], :].any(axis=(1, 2)) | binary[:, :, [0, -1]].any(axis=(1, 2))
    ties = _tie_order(*binary.shape[1:])
    for i in np.flatnonzero(on_border):
        skeleton, distance = _medial_axis(binary[i], ties[binary[i]])
        thickness[i] = 2.0 * distance[skeleton].mean() / UPSCALE
        length[i] = _length(skeleton[np.newaxis]).item()

    # The others by the width of their strokes' box: a narrow 1 beside a wide 0 would waste space.
    inside = np.flatnonzero(~on_border)
    inside = inside[np.argsort(binary[inside].any(axis=1).sum(axis=1), kind="stable")]
    per_mosaic = max(1, _PIXELS_PER_MOSAIC // ties.size)
    for start in range(0, len(inside), per_mosaic):
        chosen = inside[start : start + per_mosaic]
        thickness[chosen], length[chosen] = _in_mosaic(binary[chosen])
    return thickness, length


def _length(skeletons: np.ndarray) -> np.ndarray:
    """Return the length of skeletons [n, h, w]: every pair of neighbours counts its distance."""
    pairs = (
        (1.0, skeletons[:, :, :-1] & skeletons[:, :, 1:]),
        (1.0, skeletons[:, :-1] & skeletons[:, 1:]),
        (np.sqrt(2.0), skeletons[:, :-1, :-1] & skeletons[:, 1:, 1:]),
        (np.sqrt(2.0), skeletons[:, :-1, 1:] & skeletons[:, 1:, :-1]),
    )
    return sum(distance * pair.sum(axis=(1, 2)) for distance, pair in pairs) / UPSCALE


def _of_parallelogram(upsampled: np.ndarray) -> tuple[float, float, float]:
    """Return slant, width and height of one image [h, w] that is not black all over."""
    weight = upsampled / upsampled.sum(dtype=np.float64)
    height, width = weight.shape
    x, y = np.arange(width), np.arange(height)
    of_rows, of_columns = weight.sum(axis=1), weight.sum(axis=0)
    mean_x, mean_y = of_columns @ x, of_rows @ y
    mu_xy, mu_yy = (y - mean_y) @ weight @ (x - mean_x), of_rows @ (y - mean_y) ** 2
    shear = mu_xy / mu_yy if mu_yy > 0 else 0.0

    # The share of each share of x below 0, 1, 2, ...; what is beyond the last is never below it.
    sheared = x + 0.5 - shear * (y[:, np.newaxis] - mean_y)
    bins = np.clip(np.floor(sheared).astype(np.int64) + 1, 0, width)
    below_x = np.bincount(bins.ravel(), weight.ravel(), width + 1)[:width].cumsum()
    below_y = np.concatenate([[0.0], of_rows.cumsum()[:-1]])
    left, right = np.interp(_MIDDLE, below_x, x)
    top, bottom = np.interp(_MIDDLE, below_y, y)
    slant = np.degrees(np.arctan(-shear))
    return float(slant), float(right - left) / UPSCALE, float(bottom - top) / UPSCALE


def _in_mosaic(binary: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return thickness and length of images [n, h, w] whose foreground is clear of the border.

    Every image is cropped to a window that holds its foreground; the windows, all of the size of
    the largest, are laid one below the other with a line of background around each. Neither the
    distances nor the neighbourhoods in a window reach across that line.
    """
    num_images, height, width = binary.shape
    top, box_height = _extent(binary.any(axis=2))
    left, box_width = _extent(binary.any(axis=1))
    window_height, window_width = box_height.max(), box_width.max()
    rows = np.minimum(top, height - window_height)[:, np.newaxis] + np.arange(window_height)
    columns = np.minimum(left, width - window_width)[:, np.newaxis] + np.arange(window_width)
    rows, columns = rows[:, :, np.newaxis], columns[:, np.newaxis, :]
    windows = binary[np.arange(num_images)[:, np.newaxis, np.newaxis], rows, columns]

    mosaic = np.zeros([1 + num_images * (window_height + 1), window_width + 2], bool)
    cells = [num_images, window_height + 1, window_width + 2]
    mosaic[1:].reshape(cells)[:, :-1, 1:-1] = windows
    ties = _tie_order(height, width)[rows, columns][windows]
    skeleton, distance = _medial_axis(mosaic, ties)
    skeleton, distance = skeleton[1:].reshape(cells), distance[1:].reshape(cells)
    on_skeleton = np.sum(distance, axis=(1, 2), where=skeleton)
    thickness = 2.0 * on_skeleton / skeleton.sum(axis=(1, 2)) / UPSCALE
    return thickness, _length(skeleton)


def _extent(occupied: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (first, length) of the span of True in every row of `occupied` [n, size]."""
    first = occupied.argmax(axis=1)
    end = occupied.shape[1] - occupied[:, ::-1].argmax(axis=1)
    return first, end - first

"""The shape of handwritten digits: the measures of Morpho-MNIST, for whole data sets at once.

For one image (Castro et al. 2018, arXiv:1809.10780, section 3; section 3.1 of the report)

    upsampled = uint8(255 * blur(clip(cubic(image, 4x))))      # Gaussian of sigma 2 * 4 / 6
    binary    = upsampled >= (min(upsampled) + max(upsampled)) / 2
    skeleton  = medial axis of binary
    thickness = 2 * mean(distance to the background, over the skeleton) / 4
    area      = sum(binary) / 16
    length    = sum(distances between neighbours on the skeleton, of 8 each) / 4
    slant     = atan(-shear), shear = mu_xy / mu_yy, central moments of upsampled, y downwards
    width     = extent of the middle 98 % of upsampled along x - shear (y - mean of y), / 4
    height    = extent of the middle 98 % of upsampled along y, / 4

Lengths are in pixels of the original image, the area in square pixels, and the slant in degrees,
positive if the digit leans to the right. Morpho-MNIST measures one image at a time. Here

- upsampling and blurring are linear maps of the rows and of the columns, so a batch takes a few
  matrix products;
- one call of `skimage.morphology.medial_axis`, which has a fixed cost of 12 ms, gets a mosaic of
  many binary images, cropped to their strokes;
- batches are measured in parallel processes;
- an image with a stroke that runs along the border for more than 5 px gets a margin of background
  first. The upsampling continues the image beyond the border, which is right for a stroke that
  ends there, but makes a bar of 4 px along the border 8 px thick. In MNIST, 797 digits reach the
  border, and none runs along it for more than 4 px.

The medial axis is not unique: where pixels are equally far from the background, scikit-image
breaks the tie at random. Here the position of the pixel breaks the tie, so the thickness depends
on the image alone. This changes the thickness of a digit by 0.005 px on average, as much as
another random seed does.
"""

from __future__ import annotations

import contextlib
import signal
import threading
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import joblib
import numpy as np
import scipy  # loads ndimage when it is used
from tqdm import tqdm

from filvm.data.columns import plain_array
from filvm.data.skeletons import UPSCALE, measure_skeletons, skeleton_and_distance, tie_order

MORPHOMETRICS = ("thickness", "area", "length", "slant", "width", "height")

_PIXELS_PER_TASK = 1024 * 112 * 112  # upsampled, so that a process needs at most about 150 MB

_MARGIN = 6  # pixels of background around a stroke at the border, more than the blur reaches

_MIDDLE = (0.01, 0.99)  # shares of the brightness that bound width and height


def stroke_thickness(
    images: np.ndarray, *, num_workers: int | None = None, progress: bool | None = None
) -> np.ndarray:
    """Return the mean stroke thickness of every image, in pixels: float64 array [n].

    Calls `measure_shapes`, which explains the arguments. A single bright pixel also counts as a
    stroke: the blur makes it 1.118 px thick.

    >>> bar = np.zeros([28, 28], np.uint8)
    >>> bar[4:24, 12:16] = 255
    >>> stroke_thickness(np.stack([bar, np.zeros_like(bar)])).round(1)
    array([3.8, nan])
    """
    names = ("thickness",)
    return measure_shapes(images, names, num_workers=num_workers, progress=progress)["thickness"]


def measure_shapes(
    images: np.ndarray,
    names: str | Sequence[str] = MORPHOMETRICS,
    *,
    num_workers: int | None = None,
    progress: bool | None = None,
) -> dict[str, np.ndarray]:
    """Return measures of the shape of every image, by name.

    Args:
        images: bright strokes on a dark ground, uint8 or float in [0, 1], of shape
            [n, height, width] or [n, height, width, 1].
        names: one of `MORPHOMETRICS`, or several.
        num_workers: number of processes; all cores by default. Small batches stay in this process.
        progress: whether to show a progress bar; by default, on a terminal only.

    Returns:
        Arrays float64 [n]. An image without contrast (less than one grey level of 255) has no
        stroke, and its measures are nan.

    Raises:
        ValueError, TypeError: a name is unknown, or the images have another shape, type or range.

    Warns:
        UserWarning: images have a bright ground.

    >>> bar = np.zeros([28, 28], np.uint8)
    >>> bar[4:24, 12:16] = 255
    >>> {name: values.round(0).item() for name, values in measure_shapes(bar[np.newaxis]).items()}
    {'thickness': 4.0, 'area': 80.0, 'length': 25.0, 'slant': 0.0, 'width': 5.0, 'height': 20.0}
    """
    several = hasattr(names, "__iter__") and not isinstance(names, str)
    names = tuple(names) if several else (names,)
    if not names or any(name not in MORPHOMETRICS for name in names):
        raise ValueError(f"names are {list(names)}; expected some of {MORPHOMETRICS}")
    images = _checked_images(images)
    _warn_of_bright_ground(images)
    num_images, height, width = images.shape
    measured = np.empty([num_images, len(names)])
    if num_images == 0:
        return dict(zip(names, measured.T, strict=True))

    per_task = max(1, _PIXELS_PER_TASK // (UPSCALE**2 * height * width))
    starts = range(0, num_images, per_task)
    if num_workers is None:
        num_workers = joblib.cpu_count()
    if not isinstance(num_workers, int | np.integer) or num_workers < 1:
        raise ValueError(f"num_workers is {num_workers!r}; expected an integer >= 1")
    parallel = joblib.Parallel(n_jobs=min(num_workers, len(starts)), return_as="generator")
    tasks = (joblib.delayed(_measure)(images[start : start + per_task], names) for start in starts)

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
    """The intermediate results of `stroke_thickness` for one image, 4 times as high and wide."""

    upsampled: np.ndarray  # uint8: enlarged 4x by cubic splines, then blurred
    binary: np.ndarray  # bool: at least half-way between darkest and brightest
    skeleton: np.ndarray  # bool: the medial axis of `binary`
    distance: np.ndarray  # float: upsampled pixels to the nearest background pixel
    thickness: float  # pixels of the original image: 2 * mean(distance[skeleton]) / 4


def stroke_steps(image: np.ndarray) -> StrokeSteps:
    """Return the intermediate results of `stroke_thickness` for one image [height, width]."""
    image = np.asarray(image)
    if image.ndim != 2:
        raise ValueError(f"image has shape {image.shape}; expected [height, width]")
    images = _checked_images(image[np.newaxis])
    upsampled = _upsample(images)
    binary = _binarise(upsampled)
    if _along_border(binary)[0] and _has_contrast(images, upsampled)[0]:
        steps = stroke_steps(_with_margin(images)[0])
        inside = (slice(_MARGIN * UPSCALE, -_MARGIN * UPSCALE),) * 2
        parts = (steps.upsampled, steps.binary, steps.skeleton, steps.distance)
        return StrokeSteps(*(part[inside] for part in parts), steps.thickness)
    if not _has_contrast(images, upsampled)[0]:
        zeros = np.zeros(binary.shape[1:])
        return StrokeSteps(upsampled[0], zeros > 0, zeros > 0, zeros, np.nan)
    skeleton, distance = skeleton_and_distance(binary[0], tie_order(*binary.shape[1:])[binary[0]])
    thickness = 2.0 * distance[skeleton].mean() / UPSCALE
    return StrokeSteps(upsampled[0], binary[0], skeleton, distance, float(thickness))


def _checked_images(images: np.ndarray) -> np.ndarray:
    images = plain_array("images", images)
    if images.ndim == 4 and images.shape[3] == 1:
        images = images[..., 0]
    if images.ndim != 3 or 0 in images.shape[1:]:
        raise ValueError(
            f"images have shape {images.shape}; expected [n, height, width] or "
            "[n, height, width, 1]"
        )
    if images.dtype == np.uint8:
        return images
    if not np.issubdtype(images.dtype, np.floating):
        raise TypeError(
            f"images are {images.dtype}; expected uint8, or floats in [0, 1]: convert them"
        )
    if images.size and not (images.min() >= 0 and images.max() <= 1):  # nan fails both
        raise ValueError(
            f"float images range from {images.min()} to {images.max()}; expected [0, 1]: divide "
            "by 255, or pass uint8"
        )
    return images


def _warn_of_bright_ground(images: np.ndarray) -> None:
    """Warn if the median pixel on the border is bright, in images with contrast.

    An untrained VAE generates grey images of little contrast, which are not inverted.
    """
    if not len(images):
        return
    dark, bright = images.min(axis=(1, 2)).astype(float), images.max(axis=(1, 2)).astype(float)
    edges = [images[:, 0], images[:, -1], images[:, :, 0], images[:, :, -1]]
    border = np.median(np.concatenate(edges, axis=1), axis=1)
    contrast, largest_contrast = bright - dark, 255 if images.dtype == np.uint8 else 1
    has_ground = (contrast > largest_contrast / 4) & (border > dark + 0.75 * contrast)
    inverted = np.flatnonzero(has_ground)
    if len(inverted):
        largest = "255 - images" if images.dtype == np.uint8 else "1 - images"
        warnings.warn(
            f"{len(inverted)} of {len(images)} images have a bright ground, the first is number "
            f"{inverted[0]}: measures are of bright strokes on a dark ground, so pass {largest}",
            stacklevel=3,
        )


def _along_border(binary: np.ndarray) -> np.ndarray:
    """Return bool [n]: whether more than 5 px of one side of the image are foreground, in a row."""
    sides = [binary[:, 0], binary[:, -1], binary[:, :, 0], binary[:, :, -1]]
    length = 5 * UPSCALE + 1
    found = np.zeros(len(binary), bool)
    for side in sides:
        if side.shape[1] >= length:
            runs = np.lib.stride_tricks.sliding_window_view(side, length, axis=1)
            found |= runs.all(axis=2).any(axis=1)
        else:  # an image of at most 5 px
            found |= side.all(axis=1)
    return found


def _with_margin(images: np.ndarray) -> np.ndarray:
    """Return images [n, h, w] with a margin of each one's darkest value."""
    n, height, width = images.shape
    shape = [n, height + 2 * _MARGIN, width + 2 * _MARGIN]
    padded = np.broadcast_to(images.min(axis=(1, 2), keepdims=True), shape).copy()
    padded[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = images
    return padded


@lru_cache(maxsize=8)
def _upsampling_maps(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Return (enlarge [4 size, size], blur [4 size, 4 size]), each the matrix of one linear map.

    Together they equal `skimage.transform.pyramid_expand(order=3, upscale=4)` along one axis. Its
    enlargement mirrors at the centre of the edge pixel, its blur at the edge.
    """
    enlarge = scipy.ndimage.zoom(np.eye(size), (UPSCALE, 1), order=3, mode="mirror", grid_mode=True)
    blur = scipy.ndimage.gaussian_filter1d(
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
    """Return bool [n]: whether the contrast is more than rounding."""
    one_level = 1 if images.dtype == np.uint8 else 0.999 / 255
    return (np.ptp(images, axis=(1, 2)) >= one_level) & (np.ptp(upsampled, axis=(1, 2)) >= 1)


def _measure(images: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Return the measures of checked images [n, h, w] as [n, len(names)]."""
    upsampled = _upsample(images)
    along_border = _along_border(_binarise(upsampled)) & _has_contrast(images, upsampled)
    measured = np.empty([len(images), len(names)])
    measured[~along_border] = _measure_inside(
        images[~along_border], upsampled[~along_border], names
    )
    if along_border.any():
        padded = _with_margin(images[along_border])
        measured[along_border] = _measure_inside(padded, _upsample(padded), names)
    return measured


def _measure_inside(
    images: np.ndarray, upsampled: np.ndarray, names: tuple[str, ...]
) -> np.ndarray:
    """Return the measures of images [n, h, w] as they are, as [n, len(names)]."""
    binary = _binarise(upsampled)
    has_contrast = np.flatnonzero(_has_contrast(images, upsampled))
    found = {name: np.full(len(images), np.nan) for name in MORPHOMETRICS}
    if "area" in names:
        found["area"][has_contrast] = binary[has_contrast].sum(axis=(1, 2)) / UPSCALE**2
    if {"thickness", "length"} & set(names):
        found["thickness"][has_contrast], found["length"][has_contrast] = measure_skeletons(
            binary[has_contrast]
        )
    if {"slant", "width", "height"} & set(names):
        for i in has_contrast:
            extents = _measure_parallelogram(upsampled[i])
            found["slant"][i], found["width"][i], found["height"][i] = extents
    return np.stack([found[name] for name in names], axis=1)


def _measure_parallelogram(upsampled: np.ndarray) -> tuple[float, float, float]:
    """Return slant, width and height of one upsampled image [h, w] that is not entirely black."""
    weight = upsampled / upsampled.sum(dtype=np.float64)
    height, width = weight.shape
    x, y = np.arange(width), np.arange(height)
    row_sums, column_sums = weight.sum(axis=1), weight.sum(axis=0)
    mean_x, mean_y = column_sums @ x, row_sums @ y
    mu_xy, mu_yy = (y - mean_y) @ weight @ (x - mean_x), row_sums @ (y - mean_y) ** 2
    shear = mu_xy / mu_yy if mu_yy > 0 else 0.0

    # The share of the weight below x = 0, 1, 2, ... and below y = 0, 1, 2, ...
    sheared = x + 0.5 - shear * (y[:, np.newaxis] - mean_y)
    bins = np.clip(np.floor(sheared).astype(np.int64) + 1, 0, width)
    below_x = np.bincount(bins.ravel(), weight.ravel(), width + 1)[:width].cumsum()
    below_y = np.concatenate([[0.0], row_sums.cumsum()[:-1]])
    left, right = np.interp(_MIDDLE, below_x, x)
    top, bottom = np.interp(_MIDDLE, below_y, y)
    slant = np.degrees(np.arctan(-shear))
    return float(slant), float(right - left) / UPSCALE, float(bottom - top) / UPSCALE

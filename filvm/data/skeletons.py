"""Thickness and length of strokes, by the medial axes of many upsampled binary images at once."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import skimage  # loads morphology when it is used

UPSCALE = 4  # the images are so many times as high and wide as the original ones

# Pixels per call of medial_axis, so that a mosaic fits in the processor's cache.
_PIXELS_PER_MOSAIC = 128 * 112 * 112


class _TiesByOrder(np.random.Generator):
    """A generator that gives `medial_axis` fixed tie-breakers for the foreground, row by row."""

    def __init__(self, order: np.ndarray) -> None:
        super().__init__(np.random.PCG64(0))
        self._order = order

    def permutation(self, x: np.ndarray, axis: int = 0) -> np.ndarray:
        return self._order


@lru_cache(maxsize=8)
def tie_order(height: int, width: int) -> np.ndarray:
    """Return a fixed random rank for every pixel of an upsampled image, int32 [height, width]."""
    ranks = np.random.default_rng(0).permutation(height * width)
    return ranks.reshape(height, width).astype(np.int32)


def skeleton_and_distance(binary: np.ndarray, ties: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return skimage.morphology.medial_axis(binary, return_distance=True, rng=_TiesByOrder(ties))


def measure_skeletons(binary: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return thickness and length of binary images [n, h, w] that have a foreground."""
    thickness, length = np.empty(len(binary)), np.empty(len(binary))

    # A mosaic adds background outside the border, which changes distances from strokes on the
    # border: these few images are measured alone.
    on_border = binary[:, [0, -1], :].any(axis=(1, 2)) | binary[:, :, [0, -1]].any(axis=(1, 2))
    ties = tie_order(*binary.shape[1:])
    for i in np.flatnonzero(on_border):
        skeleton, distance = skeleton_and_distance(binary[i], ties[binary[i]])
        thickness[i] = 2.0 * distance[skeleton].mean() / UPSCALE
        length[i] = _length(skeleton[np.newaxis]).item()

    # Sorted by the width of the strokes, because all windows of a mosaic are as wide as the widest.
    inside = np.flatnonzero(~on_border)
    inside = inside[np.argsort(binary[inside].any(axis=1).sum(axis=1), kind="stable")]
    per_mosaic = max(1, _PIXELS_PER_MOSAIC // ties.size)
    for start in range(0, len(inside), per_mosaic):
        chosen = inside[start : start + per_mosaic]
        thickness[chosen], length[chosen] = _measure_mosaic(binary[chosen])
    return thickness, length


def _length(skeletons: np.ndarray) -> np.ndarray:
    """Return the length of skeletons [n, h, w]: the sum of distances between neighbours."""
    pairs = (
        (1.0, skeletons[:, :, :-1] & skeletons[:, :, 1:]),
        (1.0, skeletons[:, :-1] & skeletons[:, 1:]),
        (np.sqrt(2.0), skeletons[:, :-1, :-1] & skeletons[:, 1:, 1:]),
        (np.sqrt(2.0), skeletons[:, :-1, 1:] & skeletons[:, 1:, :-1]),
    )
    return sum(distance * pair.sum(axis=(1, 2)) for distance, pair in pairs) / UPSCALE


def _measure_mosaic(binary: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return thickness and length of binary images [n, h, w] without foreground on the border.

    Every image is cropped to a window around its foreground. The windows, all as large as the
    largest, are stacked in one image with a line of background around each, which separates their
    distances and neighbourhoods.
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
    ties = tie_order(height, width)[rows, columns][windows]
    skeleton, distance = skeleton_and_distance(mosaic, ties)
    skeleton, distance = skeleton[1:].reshape(cells), distance[1:].reshape(cells)
    on_skeleton = np.sum(distance, axis=(1, 2), where=skeleton)
    thickness = 2.0 * on_skeleton / skeleton.sum(axis=(1, 2)) / UPSCALE
    return thickness, _length(skeleton)


def _extent(occupied: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return (first, length) of the span of True in every row of `occupied` [n, size]."""
    first = occupied.argmax(axis=1)
    end = occupied.shape[1] - occupied[:, ::-1].argmax(axis=1)
    return first, end - first

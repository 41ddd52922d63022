"""Are generated samples as diverse as real ones? Precision and recall in features of a network.

    precision = share of generated samples that lie in the manifold of the real ones
    recall    = share of real samples that lie in the manifold of the generated ones

Kynkaanniemi et al. 2019, arXiv:1904.06991, equations 1 to 3: the manifold of a set is the union of
balls around its points, each with the distance to the k-th nearest other point as its radius. One
prototype in place of many samples has a high precision and no recall.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

NEIGHBOURS = 3  # k, as in the paper


def precision_and_recall(
    real: np.ndarray, generated: np.ndarray, neighbours: int = NEIGHBOURS
) -> tuple[float, float]:
    """Precision and recall of generated samples.

    Args:
        real, generated: features [n, f] and [m, f], with more than `neighbours` rows. Both depend
            on n and m, so compare values of the same numbers only.
        neighbours: k.

    >>> rng = np.random.default_rng(0)
    >>> points = rng.normal(size=(500, 2))
    >>> precision_and_recall(points, points)
    (1.0, 1.0)
    >>> precision_and_recall(points, 0.01 * rng.normal(size=(500, 2)))[1] < 0.05
    True
    """
    real, generated = np.asarray(real, np.float64), np.asarray(generated, np.float64)
    for name, features in (("real", real), ("generated", generated)):
        if features.ndim != 2 or len(features) <= neighbours:
            raise ValueError(
                f"{name} has shape {list(features.shape)}; expected features [n, f], "
                f"n > {neighbours}"
            )
    between = _squared_distances(real, generated)
    covers_generated = between <= _squared_radii(real, neighbours)[:, np.newaxis]
    covers_real = between <= _squared_radii(generated, neighbours)
    return float(covers_generated.any(axis=0).mean()), float(covers_real.any(axis=1).mean())


def diversity_by_class(
    features: Callable[[np.ndarray], np.ndarray],
    real: Sequence[np.ndarray],
    compared: dict[str, Sequence[np.ndarray]],
    *,
    most: int = 1000,
) -> dict[str, float]:
    """Precision and recall of several sets against real samples, class by class, their means.

    Args:
        features: images [n, ...] -> [n, f].
        real: real images of every class.
        compared: name -> images of every class, such as the requested digits, and other real
            samples, which show what can be reached.
        most: at most so many images of a class; every set has the same number.

    Returns:
        `<name>_precision` and `<name>_recall`, means over the classes; `samples`, images of a class
        in each set, and `neighbours`.
    """
    count = min(most, *(len(part) for sets in (real, *compared.values()) for part in sets))
    neighbours = max(1, min(NEIGHBOURS, count - 1))  # of short profiles, with few images

    def of_classes(parts: Sequence[np.ndarray]) -> np.ndarray:
        together = features(np.concatenate([part[:count] for part in parts]))  # in full batches
        return together.reshape(len(parts), count, -1)

    reference = of_classes(real)
    found: dict[str, float] = {}
    for name, sets in compared.items():
        pairs = [
            precision_and_recall(known, made, neighbours)
            for known, made in zip(reference, of_classes(sets), strict=True)
        ]
        precision, recall = np.mean(pairs, axis=0)
        found |= {f"{name}_precision": float(precision), f"{name}_recall": float(recall)}
    return {**found, "samples": count, "neighbours": neighbours}


def _squared_distances(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    squared = (x**2).sum(axis=1)[:, np.newaxis] + (y**2).sum(axis=1) - 2 * x @ y.T
    return np.maximum(squared, 0.0)


def _squared_radii(x: np.ndarray, neighbours: int) -> np.ndarray:
    distances = _squared_distances(x, x)
    np.fill_diagonal(distances, 0.0)
    return np.partition(distances, neighbours, axis=1)[:, neighbours]  # the point itself is 0th

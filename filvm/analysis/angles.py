"""Angles in the measures: factors that start again after a period, and the codes that hold them.

A lens gives a `Circular` attribute two dimensions of z*, on which it is the angle
atan2(c_second, c_first). Measures of single dimensions are taken of that angle in their place
(`join_circles`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from filvm.data.side_information import check_period

Assigned = Mapping[str, int | tuple[int, ...]]  # name of a factor -> its dimension, or its two


@dataclass(frozen=True)
class Angles:
    """Values of a factor that is an angle: `{"angle": Angles(degrees, 360.0)}`.

    Attributes:
        values: [n], of any size; nan where missing.
        period: in their unit.
    """

    values: Any
    period: float = 360.0

    def __post_init__(self) -> None:
        check_period("period", self.period)


def angular_difference(first: Any, second: Any, period: float = 360.0) -> np.ndarray:
    """The smallest distance of two angles, from 0 to period / 2, in their unit.

    >>> angular_difference([350.0, 90.0], [10.0, 85.0]).tolist()
    [20.0, 5.0]
    """
    difference = np.asarray(first, np.float64) - np.asarray(second, np.float64)
    return np.abs((difference + period / 2) % period - period / 2)


def circle(values: np.ndarray, period: float) -> np.ndarray:
    """Cosine and sine of angles [n]: [n, 2]."""
    radians = 2 * np.pi / period * np.mod(values, period)
    return np.stack([np.cos(radians), np.sin(radians)], axis=-1)


def join_circles(codes: np.ndarray, assigned: Assigned) -> tuple[np.ndarray, dict[str, int]]:
    """Codes in which one dimension, an angle in radians, replaces the two of a circular factor.

    Args:
        codes: [n, d].
        assigned: name -> dimension, or two dimensions.

    Returns:
        Codes [n, d - number of pairs], with the angle in the place of the first of the two; and the
        dimension of each name in them.

    >>> codes, assigned = join_circles(np.array([[5.0, 0.0, 1.0]]), {"size": 0, "angle": (1, 2)})
    >>> codes.round(2).tolist(), assigned
    ([[5.0, 1.57]], {'size': 0, 'angle': 1})
    """
    joined, second_dimensions = np.array(codes, np.float64), []
    for dimensions in assigned.values():
        if np.size(dimensions) == 2:
            first, second = dimensions
            joined[:, first] = np.arctan2(codes[:, second], codes[:, first])
            second_dimensions.append(second)
    kept = np.setdiff1d(np.arange(codes.shape[1]), second_dimensions)
    firsts = {name: np.atleast_1d(dimensions)[0] for name, dimensions in assigned.items()}
    return joined[:, kept], {n: int(np.searchsorted(kept, first)) for n, first in firsts.items()}

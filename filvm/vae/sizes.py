"""Settings of models, checked before a layer is made: sizes, weights and seeds.

A layer of 0 units is no error for Keras; the first call would end the process. A weight of nan
would be no error before the first epoch's losses.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

LARGEST = 65_536


def check_sizes(**sizes: Any) -> None:
    """Raise a ValueError with the first name and value that is no size, nor several.

    A size is an integer from 1 to 65,536: TensorFlow ends the process if it gets no memory.

    >>> check_sizes(latent_dim=8, filters=(32, 64))
    >>> check_sizes(latent_dim=0)
    Traceback (most recent call last):
    ValueError: latent_dim is 0; expected an integer >= 1
    """
    for name, value in sizes.items():
        several = isinstance(value, Sequence) and not isinstance(value, str)
        for size in value if several else (value,):
            whole = isinstance(size, int | np.integer) and not isinstance(size, bool)
            if not whole or not 1 <= size <= LARGEST:
                noun = "integers >= 1" if several else "an integer >= 1"
                noun += f" and <= {LARGEST}" if whole and size > LARGEST else ""
                raise ValueError(f"{name} is {value!r}; expected {noun}")


def size_list(name: str, sizes: Any) -> list[int]:
    """Sizes of several layers as a list of integers >= 1.

    >>> size_list("hidden_units", (64, 32))
    [64, 32]
    """
    if isinstance(sizes, str) or not hasattr(sizes, "__iter__"):
        raise TypeError(f"{name} is {sizes!r}; expected a list of integers >= 1, such as [64]")
    sizes = tuple(sizes)
    check_sizes(**{name: sizes})
    return [int(size) for size in sizes]


def check_at_least(name: str, value: Any, least: float) -> None:
    """Raise a TypeError or ValueError with the name of the setting, unless least <= value < inf."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise TypeError(f"{name} is {value!r}; expected a number >= {least}")
    if not least <= value < math.inf:
        finite = "finite " if value == math.inf else ""
        raise ValueError(f"{name} is {value!r}; expected a {finite}number >= {least}")


def check_seed(seed: Any) -> None:
    """Raise a TypeError or ValueError unless NumPy and TensorFlow can use the seed."""
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer):
        raise TypeError(f"seed is {seed!r}; expected an integer: the default is 0")
    if not 0 <= seed < 2**31:
        raise ValueError(f"seed is {seed}; expected an integer from 0 to {2**31 - 1}")

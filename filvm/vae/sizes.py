"""Sizes of networks: integers of at least 1, checked before a layer is made.

A layer of 0 units is no error for Keras; the first call would end the process.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np


def check_sizes(**sizes: Any) -> None:
    """Raise a ValueError with the first name and value that is no integer >= 1, nor several.

    >>> check_sizes(latent_dim=8, filters=(32, 64))
    >>> check_sizes(latent_dim=0)
    Traceback (most recent call last):
    ValueError: latent_dim is 0; expected an integer >= 1
    """
    for name, value in sizes.items():
        several = isinstance(value, Sequence) and not isinstance(value, str)
        for size in value if several else (value,):
            whole = isinstance(size, int | np.integer) and not isinstance(size, bool)
            if not whole or size < 1:
                noun = "integers >= 1" if several else "an integer >= 1"
                raise ValueError(f"{name} is {value!r}; expected {noun}")

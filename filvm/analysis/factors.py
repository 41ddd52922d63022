"""Known factors v_j that codes are compared with: their kind and their known values.

Columns are read by `filvm.data.columns`, so a factor may be an array, a list, a Series or a tensor.
Integers, booleans, strings and pandas categories are categorical; floats are continuous. Missing
are masked values, None, nan, NA, and -1 among integers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from filvm.data.columns import named_columns, read_column


@dataclass(frozen=True)
class Factor:
    """One factor, with its known values."""

    name: str
    categorical: bool
    known: np.ndarray  # bool [n]
    values: np.ndarray  # [known.sum()]: class indices 0..k-1, or floats

    @property
    def varies(self) -> bool:
        """Whether it has at least two different values."""
        return self.values.size > 0 and bool(np.any(self.values != self.values[0]))


def checked(codes: Any, factors: Any) -> tuple[np.ndarray, list[Factor]]:
    """Check codes and factors; return the codes as float64 [n, d] and a list of factors.

    Args:
        codes: [n, d], an array or a DataFrame.
        factors: name -> values [n], a dictionary or a DataFrame.

    Raises:
        ValueError, TypeError: codes or factors have the wrong shape, type or values.
    """
    try:
        codes = np.ma.filled(np.ma.asarray(codes, dtype=np.float64), np.nan)
    except (TypeError, ValueError):  # such as strings
        raise TypeError("codes are no array of numbers; expected floats [n, d]") from None
    if codes.ndim != 2 or codes.shape[0] < 2 or codes.shape[1] < 1:
        raise ValueError(
            f"codes have shape {list(codes.shape)}; expected [samples, dimensions], with at least "
            "two samples"
        )
    if not np.isfinite(codes).all():
        row = int(np.flatnonzero(~np.isfinite(codes).all(axis=1))[0])
        raise ValueError(f"codes hold nan or infinity in row {row}; expected finite numbers")
    columns = named_columns(factors, "factors", "factors by name, such as {'digit': labels}")
    if not columns:
        raise ValueError("factors are empty; expected arrays by name, such as {'digit': labels}")
    return codes, [_checked(name, values, len(codes)) for name, values in columns.items()]


def plain_arrays(factors: list[Factor]) -> dict[str, np.ndarray]:
    """Factors as arrays [n] by name: class indices (-1: missing), or floats (nan: missing)."""
    arrays = {}
    for factor in factors:
        missing = -1 if factor.categorical else np.nan
        arrays[factor.name] = np.full(len(factor.known), missing)
        arrays[factor.name][factor.known] = factor.values
    return arrays


def check_assigned(assigned: Mapping[str, int], factors: list[Factor], num_dimensions: int) -> None:
    """Raise a ValueError if a name is not one of the factors, or a dimension does not exist."""
    unknown = sorted(set(assigned) - {factor.name for factor in factors})
    if unknown:
        raise ValueError(f"assigned names {unknown}; expected names of factors")
    for name, dimension in assigned.items():
        if not 0 <= dimension < num_dimensions:
            raise ValueError(
                f"factor {name!r} is assigned dimension {dimension}; expected 0 to "
                f"{num_dimensions - 1}"
            )


def varying(codes: np.ndarray) -> np.ndarray:
    """Return bool [d]: dimensions that vary by more than rounding (1e-12 of their size)."""
    return np.ptp(codes, axis=0) > 1e-12 * np.abs(codes).max(axis=0)


def _checked(name: str, values: Any, num_samples: int) -> Factor:
    column = read_column(f"factor {name!r}", values, num_samples)
    known = ~column.missing
    if column.kind == "floats" and not column.is_category:
        if not np.isfinite(column.values[known]).all():
            raise ValueError(f"factor {name!r} is infinite; expected numbers, or nan if missing")
        return Factor(name, False, known, column.values[known].astype(np.float64))
    if column.kind == "integers":
        known &= column.values != -1
    return Factor(name, True, known, np.unique(column.values[known], return_inverse=True)[1])

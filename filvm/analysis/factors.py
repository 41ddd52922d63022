"""Known factors v_j that codes are compared with: their kind and their known values."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


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


def checked(
    codes: np.ndarray, factors: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, list[Factor]]:
    """Check codes and factors; return the codes as float64 [n, d] and a list of factors.

    Integers, booleans and strings are categories, with -1 if missing; floats are continuous, with
    nan if missing.

    Raises:
        ValueError, TypeError: codes or factors have the wrong shape, type or values.
    """
    codes = np.asarray(codes, dtype=np.float64)
    if codes.ndim != 2 or codes.shape[0] < 2 or codes.shape[1] < 1:
        raise ValueError(
            f"codes have shape {list(codes.shape)}; expected [samples, dimensions], with at least "
            "two samples"
        )
    if not np.isfinite(codes).all():
        row = int(np.flatnonzero(~np.isfinite(codes).all(axis=1))[0])
        raise ValueError(f"codes hold nan or infinity in row {row}; expected finite numbers")
    if not factors:
        raise ValueError("factors are empty; expected arrays by name, such as {'digit': labels}")
    return codes, [_checked(name, np.asarray(v), len(codes)) for name, v in factors.items()]


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


def _checked(name: str, values: np.ndarray, num_samples: int) -> Factor:
    if values.shape != (num_samples,):
        raise ValueError(
            f"factor {name!r} has shape {list(values.shape)}; expected [{num_samples}], one value "
            "per code"
        )
    if values.dtype.kind == "f":
        known = ~np.isnan(values)
        present = values[known].astype(np.float64)
        if not np.isfinite(present).all():
            raise ValueError(f"factor {name!r} is infinite; expected numbers, or nan if missing")
        return Factor(name, False, known, present)
    if values.dtype.kind not in "iubUS":
        raise TypeError(f"factor {name!r} has dtype {values.dtype}; expected integers or floats")
    known = values != -1 if values.dtype.kind == "i" else np.ones(num_samples, bool)
    return Factor(name, True, known, np.unique(values[known], return_inverse=True)[1])

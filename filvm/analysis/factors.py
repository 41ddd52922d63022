"""Known factors v_j that codes are compared with: their kind and their known values.

Columns are read by `filvm.data.columns`, so a factor may be an array, a list, a Series or a tensor.
Integers, booleans, strings and pandas categories are categorical; floats are continuous;
`filvm.analysis.angles.Angles` are circular. Missing are masked values, None, nan, NA, and -1 among
integers.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from filvm.analysis.angles import Angles, Assigned, circle
from filvm.data.columns import named_columns, read_column


@dataclass(frozen=True)
class Factor:
    """One factor, with its known values."""

    name: str
    categorical: bool
    known: np.ndarray  # bool [n]
    values: np.ndarray  # [known.sum()]: class indices 0..k-1, or floats
    period: float | None = None  # of an angle, whose values lie in [0, period)

    @property
    def ordered(self) -> bool:
        """Whether it is a number with an order: neither categorical nor an angle."""
        return not self.categorical and self.period is None

    @property
    def targets(self) -> np.ndarray:
        """What a model predicts: the values, or cosine and sine of an angle, [known.sum(), 2]."""
        return self.values if self.period is None else circle(self.values, self.period)

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


def plain_columns(factors: list[Factor], rows: Any = slice(None)) -> dict[str, Any]:
    """Factors as columns by name, of all rows or some: class indices (-1: missing), floats or
    `Angles` (nan: missing)."""
    columns = {}
    for factor in factors:
        values = np.full(len(factor.known), -1 if factor.categorical else np.nan)
        values[factor.known] = factor.values
        angle = factor.period is not None
        columns[factor.name] = Angles(values[rows], factor.period) if angle else values[rows]
    return columns


def own_dimensions(assigned: Assigned, name: str) -> list[int]:
    """The one dimension, or the two, that a factor is assigned."""
    return np.atleast_1d(assigned[name]).tolist()


def check_assigned(assigned: Assigned, factors: list[Factor], num_dimensions: int) -> None:
    """Raise a ValueError if a name is not one of the factors, or a dimension does not exist."""
    unknown = sorted(set(assigned) - {factor.name for factor in factors})
    if unknown:
        raise ValueError(f"assigned names {unknown}; expected names of factors")
    angles = {factor.name for factor in factors if factor.period is not None}
    for name in assigned:
        dimensions = own_dimensions(assigned, name)
        for dimension in dimensions:
            if not 0 <= dimension < num_dimensions:
                raise ValueError(
                    f"factor {name!r} is assigned dimension {dimension}; expected 0 to "
                    f"{num_dimensions - 1}"
                )
        if len(dimensions) != 1 and not (name in angles and len(set(dimensions)) == 2):
            raise ValueError(
                f"factor {name!r} is assigned the dimensions {dimensions}; expected one, or two "
                "different ones for an angle: pass its values as Angles(values, period)"
            )


def varying(codes: np.ndarray) -> np.ndarray:
    """Return bool [d]: dimensions that vary by more than rounding (1e-12 of their size)."""
    return np.ptp(codes, axis=0) > 1e-12 * np.abs(codes).max(axis=0)


def _checked(name: str, values: Any, num_samples: int) -> Factor:
    if isinstance(values, Angles):
        return _checked_angles(name, values, num_samples)
    column = read_column(f"factor {name!r}", values, num_samples)
    known = ~column.missing
    if column.kind == "floats" and not column.is_category:
        if not np.isfinite(column.values[known]).all():
            raise ValueError(f"factor {name!r} is infinite; expected numbers, or nan if missing")
        return Factor(name, False, known, column.values[known].astype(np.float64))
    if column.kind == "integers":
        known &= column.values != -1
    return Factor(name, True, known, np.unique(column.values[known], return_inverse=True)[1])


def _checked_angles(name: str, angles: Angles, num_samples: int) -> Factor:
    column = read_column(f"factor {name!r}", angles.values, num_samples)
    known = ~column.missing
    if column.kind == "strings" or not np.isfinite(column.values[known].astype(np.float64)).all():
        raise ValueError(f"factor {name!r} is no angle; expected finite numbers, nan if missing")
    values = np.mod(column.values[known].astype(np.float64), angles.period)
    return Factor(name, False, known, values, float(angles.period))

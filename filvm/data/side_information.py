"""Side information s: known attributes of a sample (report, sections 2.3 and 3).

Attribute j belongs to dimension j of z*. Any value of any sample may be missing: -1 for a
`Categorical`, nan for a `Continuous`. Users work with labels, pixels and degrees; the input of a
network is (value - mean) / scale, with mean and scale of the training data.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

# Argument names of the methods and serving signatures of lens models.
RESERVED_NAMES = frozenset(
    {"z", "z_star", "x", "images", "sequences", "dimension", "value", "seed", "sampled", "lengths"}
)


@dataclass(frozen=True)
class Categorical:
    """An attribute with `num_classes` labels 0, 1, ...; -1 where the label is missing.

    >>> Categorical("digit", 10).width
    10
    """

    name: str
    num_classes: int

    def __post_init__(self) -> None:
        _check_name(self.name)
        if isinstance(self.num_classes, bool) or not isinstance(self.num_classes, int | np.integer):
            raise TypeError(
                f"num_classes of {self.name!r} is {self.num_classes!r}; expected an integer >= 2"
            )
        if self.num_classes < 2:
            raise ValueError(
                f"num_classes of {self.name!r} is {self.num_classes}; expected at least 2"
            )

    @property
    def width(self) -> int:
        """Number of network inputs: one per class."""
        return int(self.num_classes)


@dataclass(frozen=True)
class Continuous:
    """An attribute that is a real number, in any unit; nan where it is missing.

    >>> Continuous("thickness").width
    1
    """

    name: str

    def __post_init__(self) -> None:
        _check_name(self.name)

    @property
    def width(self) -> int:
        """Number of network inputs."""
        return 1


Attribute = Categorical | Continuous


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise TypeError(f"an attribute's name is {name!r}; expected a string")
    if not name.isidentifier() or name in RESERVED_NAMES:
        raise ValueError(
            f"an attribute's name is {name!r}; expected a valid name for a Python variable, other "
            f"than {sorted(RESERVED_NAMES)}"
        )


def check_attributes(attributes: Sequence[Attribute], latent_dim: int) -> tuple[Attribute, ...]:
    """Return the attributes as a tuple.

    Raises:
        TypeError, ValueError: a lens with `latent_dim` dimensions cannot have these attributes.
    """
    attributes = tuple(attributes)
    for attribute in attributes:
        if not isinstance(attribute, Categorical | Continuous):
            raise TypeError(
                f"side_information holds {attribute!r}; "
                "expected Categorical(name, num_classes) or Continuous(name)"
            )
    names = [attribute.name for attribute in attributes]
    if not names:
        raise ValueError("side_information is empty; expected at least one attribute")
    if len(set(names)) < len(names):
        raise ValueError(f"side_information has the names {names}; expected different names")
    if len(names) > latent_dim:
        raise ValueError(
            f"side_information has {len(names)} attributes; expected at most {latent_dim}, the "
            "number of latent dimensions"
        )
    return attributes


def attributes_to_config(attributes: Sequence[Attribute]) -> list[dict[str, Any]]:
    """Convert attributes to dictionaries for JSON; `attributes_from_config` is the inverse.

    >>> attributes_to_config([Categorical("digit", 10), Continuous("thickness")])
    [{'name': 'digit', 'num_classes': 10}, {'name': 'thickness'}]
    """
    return [
        {"name": attribute.name, "num_classes": attribute.width}
        if isinstance(attribute, Categorical)
        else {"name": attribute.name}
        for attribute in attributes
    ]


def attributes_from_config(config: Sequence[Mapping[str, Any]]) -> tuple[Attribute, ...]:
    """Convert the dictionaries of `attributes_to_config` to attributes."""
    return tuple(
        Categorical(entry["name"], entry["num_classes"])
        if "num_classes" in entry
        else Continuous(entry["name"])
        for entry in config
    )


def stack_side_information(
    attributes: Sequence[Attribute], values: Mapping[str, Any], n: int, *, require_all: bool = False
) -> np.ndarray:
    """Check side information and stack it to a matrix.

    Args:
        attributes: in the order of the columns.
        values: name -> array [n] of labels (integers, -1 if missing) or numbers (nan if missing).
        n: number of samples.
        require_all: whether an absent name is an error (in training) or means that all its values
            are missing (in inference).

    Returns:
        float32 [n, number of attributes], in the attributes' own units, nan where missing.

    Raises:
        TypeError, ValueError: a value is wrong; the attribute and the first wrong row are named.

    >>> stack_side_information([Categorical("digit", 10)], {"digit": [3, -1]}, 2)
    array([[ 3.],
           [nan]], dtype=float32)
    """
    if not isinstance(values, Mapping):
        raise TypeError(
            f"side information is a {type(values).__name__}; expected a dictionary of arrays "
            f"with the names {[a.name for a in attributes]}"
        )
    names = [attribute.name for attribute in attributes]
    unknown = sorted(set(values) - set(names), key=str)
    if unknown:
        raise ValueError(f"side information has the names {unknown}; expected some of {names}")
    absent = [name for name in names if name not in values]
    if absent and require_all:
        raise ValueError(
            f"side information lacks {absent}; expected an array for each of {names}: mark missing "
            "values with -1 (categorical) or nan (continuous)"
        )
    stacked = np.full([n, len(names)], np.nan, np.float32)
    for column, attribute in enumerate(attributes):
        if attribute.name in values:
            stacked[:, column] = attribute_values(attribute, values[attribute.name], n)
    return stacked


def attribute_values(attribute: Attribute, values: Any, n: int | None = None) -> np.ndarray:
    """Check the values of one attribute and return them as float32 [n], nan where missing."""
    try:
        array = np.asarray(values)
    except ValueError:  # rows of different lengths
        raise ValueError(f"{attribute.name!r} is no array; expected one value per sample") from None
    if array.ndim != 1 or (n is not None and len(array) != n):
        raise ValueError(
            f"{attribute.name!r} has shape {list(array.shape)}; "
            f"expected [{'n' if n is None else n}], one value per sample"
        )
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{attribute.name!r} has dtype {array.dtype}; expected numbers")
    if isinstance(attribute, Continuous):
        with np.errstate(over="ignore"):
            numbers = array.astype(np.float32)
        infinite = np.isinf(numbers)
        if infinite.any():
            raise ValueError(
                f"{attribute.name!r} is infinite at row {int(infinite.argmax())}, or too large for "
                "float32; expected finite numbers, or nan for missing values"
            )
        return numbers
    array = array.astype(np.float64)
    missing = (array == -1) | np.isnan(array)
    wrong = ~missing & ((array < 0) | (array >= attribute.width) | (array != np.floor(array)))
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"{attribute.name!r} is {array[row]:g} at row {row}; expected a label from 0 to "
            f"{attribute.width - 1}, or -1 if it is missing"
        )
    return np.where(missing, np.nan, array).astype(np.float32)


def attribute_scaling(
    attributes: Sequence[Attribute], stacked: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and scale of the known values in each column of `stack_side_information`.

    The scale is the standard deviation, or 1 for a constant attribute. Labels have mean 0 and
    scale 1.

    Returns:
        Two float32 arrays [number of attributes].

    Raises:
        ValueError: all values of an attribute are missing.

    >>> attribute_scaling([Continuous("t")], np.float32([[1.0], [np.nan], [3.0]]))
    (array([2.], dtype=float32), array([1.], dtype=float32))
    """
    mean, scale = np.zeros(len(attributes)), np.ones(len(attributes))
    for column, attribute in enumerate(attributes):
        known = stacked[:, column][np.isfinite(stacked[:, column])].astype(np.float64)
        if not len(known):
            raise ValueError(
                f"every value of {attribute.name!r} is missing; expected some known values: add "
                "them, or remove the attribute from side_information"
            )
        if isinstance(attribute, Continuous):
            mean[column] = known.mean()
            # A constant column has a small spread from rounding, relative to its mean.
            spread = known.std()
            scale[column] = spread if spread > max(1e-6 * abs(mean[column]), 1e-30) else 1.0
    return mean.astype(np.float32), scale.astype(np.float32)

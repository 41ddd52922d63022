"""Side information s: known attributes of a sample (report, sections 2.3 and 3).

The attributes own the first dimensions of z*, in order: a label or a number owns one, an angle two
(`owned_slices`). Any value of any sample may be missing: nan, None, a mask, or -1 for a
`Categorical`. Users work with labels, pixels and degrees; the input of a network is
(value - mean) / scale, with mean and scale of the training data, computed in float64.
"""

from __future__ import annotations

import hashlib
import itertools
import keyword
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from filvm.data.columns import Column, named_columns, read_column

# Names in the graphs of the lenses: inputs of the signatures, layers, and parts of the losses.
_INPUTS = ("z", "z_star", "x", "images", "sequences", "texts", "dimension", "value", "lengths")
_LAYERS = ("mean", "log_var", "w", "u", "b", "z_and_s", "z_star_and_read")
RESERVED_KEYS = frozenset({*_INPUTS, *_LAYERS, "loss", "self"})


def graph_key(name: str) -> str:
    """The name of an attribute in graphs, signatures and loss names: an ASCII identifier.

    It is the name itself, unless that is reserved. A reserved word gets an underscore; what is no
    identifier keeps its letters and gets a part of its hash, so that no two names share a key.

    >>> [graph_key(name) for name in ("digit", "class", "mean", "stroke width", "Größe")]
    ['digit', 'class_', 'mean_', 'stroke_width_b29e0b', 'Grosse_aedc3f']
    """
    if re.fullmatch(r"[A-Za-z]([A-Za-z0-9_]*[A-Za-z0-9])?", name):
        reserved = name in RESERVED_KEYS or re.fullmatch(r"hidden_\d+", name)
        return f"{name}_" if reserved or keyword.iskeyword(name) else name
    letters = unicodedata.normalize("NFKD", name.replace("ß", "ss"))
    letters = letters.encode("ascii", "ignore").decode()
    letters = re.sub(r"[^A-Za-z0-9]+", "_", letters).strip("_")
    letters = letters if letters[:1].isalpha() else f"attribute_{letters}".strip("_")
    digest = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()
    return f"{letters}_{digest[:6]}"


@dataclass(frozen=True)
class Categorical:
    """An attribute with one of several labels; -1, nan, None or a mask where it is missing.

    Args:
        name: any non-empty string.
        classes: the number of labels 0, 1, ..., or all labels in order: strings, or integers, or
            False and True. Users read and write the labels; networks and served models number them
            from 0.

    >>> Categorical("digit", 10).num_classes
    10
    >>> Categorical("colour", ["red", "green", "blue"]).labels.tolist()
    ['red', 'green', 'blue']
    """

    name: str
    classes: int | Sequence[str] | Sequence[int]
    dimensions: ClassVar[int] = 1  # of z*, which it owns

    def __post_init__(self) -> None:
        _check_name(self.name)
        object.__setattr__(self, "classes", _checked_classes(self.name, self.classes))

    @property
    def key(self) -> str:
        """The name in graphs: see `graph_key`."""
        return graph_key(self.name)

    @property
    def num_classes(self) -> int:
        """Number of labels."""
        return self.classes if isinstance(self.classes, int) else len(self.classes)

    @property
    def labels(self) -> np.ndarray:
        """All labels, in the order of their indices: [num_classes]."""
        return np.array(range(self.classes) if isinstance(self.classes, int) else self.classes)

    @property
    def width(self) -> int:
        """Number of network inputs: one per class."""
        return self.num_classes


@dataclass(frozen=True)
class Continuous:
    """An attribute that is a real number, in any unit; nan, None or a mask where it is missing.

    Args:
        name: any non-empty string.
        scaling: how training data gives its mean and scale: "standard" takes the mean and the
            standard deviation, "robust" the median and the interquartile range / 1.349, which is
            the standard deviation of a normal distribution, for data with outliers.

    >>> Continuous("thickness").width
    1
    """

    name: str
    scaling: str = "standard"
    dimensions: ClassVar[int] = 1  # of z*, which it owns
    width: ClassVar[int] = 1  # number of network inputs

    def __post_init__(self) -> None:
        _check_name(self.name)
        if self.scaling not in ("standard", "robust"):
            raise ValueError(
                f"scaling of {self.name!r} is {self.scaling!r}; expected 'standard' or 'robust'"
            )

    @property
    def key(self) -> str:
        """The name in graphs: see `graph_key`."""
        return graph_key(self.name)


@dataclass(frozen=True)
class Circular:
    """An attribute that is an angle, or another number that starts again after a period.

    It owns two dimensions of z*, on which its values lie on a circle: the first is high where the
    cosine of the angle is high, the second where the sine is. Networks get

        sqrt(2) cos(2 pi value / period), sqrt(2) sin(2 pi value / period)

    each of variance 1 for angles that are uniform. nan, None or a mask mark a missing value.

    Args:
        name: any non-empty string.
        period: in the unit of the values, such as 360 degrees, 180 for the slope of a line, 24
            hours or 12 months. Values may be of any size; those that are read lie in [0, period).

    >>> Circular("hour", 24.0).dimensions
    2
    """

    name: str
    period: float = 360.0
    dimensions: ClassVar[int] = 2  # of z*, which it owns
    width: ClassVar[int] = 2  # number of network inputs

    def __post_init__(self) -> None:
        _check_name(self.name)
        check_period(f"period of {self.name!r}", self.period)
        object.__setattr__(self, "period", float(self.period))

    @property
    def key(self) -> str:
        """The name in graphs: see `graph_key`."""
        return graph_key(self.name)


Attribute = Categorical | Continuous | Circular


def owned_slices(attributes: Sequence[Attribute]) -> list[slice]:
    """The dimensions of z* that each attribute owns: the first ones, in order.

    >>> owned_slices([Categorical("digit", 10), Circular("angle"), Continuous("size")])
    [slice(0, 1, None), slice(1, 3, None), slice(3, 4, None)]
    """
    ends = list(itertools.accumulate(attribute.dimensions for attribute in attributes))
    return [slice(begin, end) for begin, end in itertools.pairwise([0, *ends])]


def num_owned(attributes: Sequence[Attribute]) -> int:
    """Number of dimensions of z* that attributes own; the others are free."""
    return sum(attribute.dimensions for attribute in attributes)


def check_period(what: str, period: Any) -> None:
    """Raise a TypeError or ValueError that starts with `what`, unless `period` is a number > 0."""
    if isinstance(period, bool) or not isinstance(period, int | float | np.number):
        raise TypeError(f"{what} is {period!r}; expected a number > 0, such as 360")
    if not 0 < period < np.inf:
        raise ValueError(f"{what} is {period}; expected a number > 0, such as 360")


def _check_name(name: Any) -> None:
    if not isinstance(name, str):
        raise TypeError(f"an attribute's name is {name!r}; expected a string")
    if not name.strip():
        raise ValueError(f"an attribute's name is {name!r}; expected a string that is not empty")


def _checked_classes(name: str, classes: Any) -> int | tuple[Any, ...]:
    """The number of classes, or their labels as a tuple; labels 0, 1, ... are a number."""
    if isinstance(classes, str | bytes | bool | float | Mapping | set) or classes is None:
        raise TypeError(
            f"classes of {name!r} is {classes!r}; expected an integer >= 2, or a list of labels"
        )
    if np.ndim(classes) == 0 and isinstance(classes, int | np.integer):
        if not 2 <= classes <= 65_536:
            raise ValueError(f"classes of {name!r} is {classes}; expected 2 to 65536")
        return int(classes)
    column = read_column(f"classes of {name!r}", list(classes))
    if column.kind == "floats" or column.missing.any():
        raise TypeError(
            f"classes of {name!r} are {list(classes)!r}; expected strings, integers or booleans, "
            "none of them missing"
        )
    labels = tuple(column.values.tolist())
    if len(set(labels)) < max(len(labels), 2):
        raise ValueError(f"classes of {name!r} are {labels}; expected two or more different labels")
    return (
        len(labels) if column.kind == "integers" and labels == tuple(range(len(labels))) else labels
    )


def check_attributes(attributes: Sequence[Attribute], latent_dim: int) -> tuple[Attribute, ...]:
    """Return the attributes as a tuple.

    Raises:
        TypeError, ValueError: a lens with `latent_dim` dimensions cannot have these attributes.
    """
    if isinstance(attributes, Attribute | str) or not hasattr(attributes, "__iter__"):
        raise TypeError(
            f"side_information is {attributes!r}; expected a list of attributes: "
            "put a single one in brackets, [...]"
        )
    attributes = tuple(attributes)
    for attribute in attributes:
        if not isinstance(attribute, Attribute):
            raise TypeError(
                f"side_information holds {attribute!r}; "
                "expected Categorical(name, classes), Continuous(name) or Circular(name, period)"
            )
    names = [attribute.name for attribute in attributes]
    if not names:
        raise ValueError("side_information is empty; expected at least one attribute")
    if len(set(names)) < len(names):
        raise ValueError(f"side_information has the names {names}; expected different names")
    keys = [attribute.key for attribute in attributes]
    if len(set(keys)) < len(keys):
        raise ValueError(
            f"the names {names} become {keys} in graphs; expected different ones: rename one"
        )
    if num_owned(attributes) > latent_dim:
        angles = ", of which an angle counts twice" if num_owned(attributes) > len(names) else ""
        raise ValueError(
            f"side_information has {len(names)} attributes{angles}; expected at most {latent_dim}, "
            "the number of latent dimensions"
        )
    return attributes


def attributes_to_config(attributes: Sequence[Attribute]) -> list[dict[str, Any]]:
    """Convert attributes to dictionaries for JSON; `attributes_from_config` is the inverse.

    >>> attributes_to_config([Categorical("digit", 10), Continuous("thickness")])
    [{'name': 'digit', 'num_classes': 10}, {'name': 'thickness'}]
    >>> attributes_to_config([Categorical("colour", ["red", "blue"])])
    [{'name': 'colour', 'classes': ['red', 'blue']}]
    """
    return [_to_config(attribute) for attribute in attributes]


def _to_config(attribute: Attribute) -> dict[str, Any]:
    if isinstance(attribute, Categorical):
        if isinstance(attribute.classes, int):
            return {"name": attribute.name, "num_classes": attribute.classes}
        return {"name": attribute.name, "classes": list(attribute.classes)}
    if isinstance(attribute, Circular):
        return {"name": attribute.name, "period": attribute.period}
    if attribute.scaling != "standard":
        return {"name": attribute.name, "scaling": attribute.scaling}
    return {"name": attribute.name}


def attributes_from_config(config: Sequence[Mapping[str, Any]]) -> tuple[Attribute, ...]:
    """Convert the dictionaries of `attributes_to_config` to attributes."""
    attributes: list[Attribute] = []
    for entry in config:
        classes = entry.get("classes", entry.get("num_classes"))
        if classes is not None:
            attributes.append(Categorical(entry["name"], classes))
        elif "period" in entry:
            attributes.append(Circular(entry["name"], entry["period"]))
        else:
            attributes.append(Continuous(entry["name"], entry.get("scaling", "standard")))
    return tuple(attributes)


def stack_side_information(
    attributes: Sequence[Attribute], values: Any, n: int, *, require_all: bool = False
) -> np.ndarray:
    """Check side information and stack it to a matrix.

    Args:
        attributes: in the order of the columns.
        values: labels and numbers by name: a dictionary of columns [n], or a DataFrame. A column is
            an array, a list, a Series or a tensor; see `filvm.data.columns`.
        n: number of samples.
        require_all: whether an absent name is an error (in training) or means that all its values
            are missing (in inference).

    Returns:
        float64 [n, number of attributes]: indices of labels, and numbers in their own units; nan
        where missing.

    Raises:
        TypeError, ValueError: a value is wrong; the attribute and the first wrong row are named.

    >>> stack_side_information([Categorical("digit", 10)], {"digit": [3, -1]}, 2)
    array([[ 3.],
           [nan]])
    """
    names = [attribute.name for attribute in attributes]
    columns = named_columns(values, "side information", f"the names {names}")
    unknown = sorted(set(columns) - set(names), key=str)
    if unknown:
        advice = "" if isinstance(values, Mapping) else f": select the columns, frame[{names}]"
        raise ValueError(
            f"side information has the names {unknown}; expected some of {names}{advice}"
        )
    absent = [name for name in names if name not in columns]
    if absent and require_all:
        raise ValueError(
            f"side information lacks {absent}; expected an array for each of {names}: mark missing "
            "values with -1 (categorical) or nan (continuous)"
        )
    stacked = np.full([n, len(names)], np.nan)
    for j, attribute in enumerate(attributes):
        if attribute.name in columns:
            stacked[:, j] = attribute_values(attribute, columns[attribute.name], n)
    return stacked


def attribute_values(attribute: Attribute, values: Any, n: int | None = None) -> np.ndarray:
    """Check the values of one attribute: float64 [n], labels as indices, nan where missing.

    >>> attribute_values(Categorical("colour", ["red", "blue"]), ["blue", None])
    array([ 1., nan])
    """
    column = read_column(repr(attribute.name), values, n)
    if isinstance(attribute, Categorical):
        return _label_indices(attribute, column)
    if column.kind == "strings" and not column.missing.all():
        row = int((~column.missing).argmax())
        raise TypeError(
            f"{attribute.name!r} is {str(column.values[row])!r} at row {row}; expected numbers: "
            "convert them, or use Categorical with the list of all labels"
        )
    values = column.values if column.kind != "strings" else np.zeros(len(column.values))
    with np.errstate(over="ignore"):
        infinite = np.isinf(values.astype(np.float32)) & ~column.missing
    if infinite.any():
        raise ValueError(
            f"{attribute.name!r} is infinite at row {int(infinite.argmax())}, or too large for "
            "float32; expected finite numbers, or nan for missing values"
        )
    return np.where(column.missing, np.nan, values.astype(np.float64))


def _label_indices(attribute: Categorical, column: Column) -> np.ndarray:
    """Indices of labels, float64 [n], nan where missing."""
    labels, values, missing = attribute.labels, column.values, column.missing.copy()
    strings = labels.dtype.kind == "U"
    if column.kind != "strings" and -1 not in labels.tolist():
        missing |= values == -1
    expected = f"one of {labels.tolist()}, or {None if strings else -1} if it is missing"
    if isinstance(attribute.classes, int):
        expected = f"a label from 0 to {attribute.num_classes - 1}, or -1 if it is missing"
    if strings != (column.kind == "strings") and not missing.all():
        row = int((~missing).argmax())
        advice = "" if strings else ": give the list of all labels to Categorical, or convert them"
        raise TypeError(
            f"{attribute.name!r} is {values[row].item()!r} at row {row}; expected "
            f"{expected}{advice}"
        )
    if strings != (column.kind == "strings"):
        return np.full(len(values), np.nan)
    if labels.dtype.kind == "b" or column.kind == "booleans":
        labels, values = labels.astype(np.int64), values.astype(np.float64)
    order = np.argsort(labels)
    places = np.minimum(np.searchsorted(labels[order], values), len(labels) - 1)
    indices = order[places]
    wrong = ~missing & (labels[indices] != values)
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"{attribute.name!r} is {_shown(values[row])} at row {row}; expected {expected}"
        )
    return np.where(missing, np.nan, indices)


def _shown(value: Any) -> str:
    return repr(str(value)) if isinstance(value, str) else f"{value:g}"

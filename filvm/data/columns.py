"""Columns of values as users hold them -> plain NumPy arrays and a mask of missing values.

A column is a list, a NumPy array (also masked), a pandas Series of any type, a tensor, or anything
else that NumPy converts to an array [n]. Missing are: masked values, None, nan, pandas' NA and NaT.
"""

from __future__ import annotations

import datetime
import decimal
import numbers
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Column:
    """The values of one variable.

    Attributes:
        values: [n], of booleans, integers, floats or strings; any value where missing.
        missing: bool [n].
        is_category: whether the column had a categorical type of pandas.
    """

    values: np.ndarray
    missing: np.ndarray
    is_category: bool = False

    @property
    def kind(self) -> str:
        """`booleans`, `integers`, `floats` or `strings`."""
        kinds = {"b": "booleans", "i": "integers", "u": "integers", "f": "floats", "U": "strings"}
        return kinds[self.values.dtype.kind]


def plain_array(name: str, values: Any) -> np.ndarray:
    """Values as an array without a mask; numbers that are Python or pandas objects as float64.

    Raises:
        ValueError: a value is masked: where every value counts, none can be missing.

    >>> plain_array("z", np.ma.masked_array([[1.0, 2.0]], [[0, 1]]))
    Traceback (most recent call last):
    ValueError: z is masked at row 0; expected numbers: remove the row, or fill it in
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.getmaskarray(values).any():
        row = int(np.argwhere(np.ma.getmaskarray(values))[0, 0])
        raise ValueError(
            f"{name} is masked at row {row}; expected numbers: remove the row, or fill it in"
        )
    array = np.asarray(values)
    if array.dtype == object and all(_kind(value) == "numbers" for value in array.ravel()):
        return array.astype(np.float64)
    return array


def named_columns(values: Any, what: str, names: str) -> dict[Any, Any]:
    """The columns of a dictionary, a DataFrame or a structured array, by name.

    Args:
        values: a mapping, a DataFrame or a NumPy array with named fields.
        what: of the error's message, such as "side information".
        names: of the error's message: the names that are expected.

    Raises:
        TypeError, ValueError: `values` is something else, or two columns have the same name.

    >>> named_columns(np.array([(3, 2.5)], [("digit", int), ("size", float)]), "s", "names")
    {'digit': array([3]), 'size': array([2.5])}
    """
    if isinstance(values, Mapping):
        return dict(values)
    if isinstance(values, np.ndarray) and values.dtype.names:
        return {name: values[name] for name in values.dtype.names}
    if not (hasattr(values, "columns") and hasattr(values, "__getitem__")):
        raise TypeError(
            f"{what} has type {type(values).__name__}; expected a dictionary of arrays, or a "
            f"DataFrame, with {names}"
        )
    columns = list(values.columns)
    if twice := [name for name in columns if columns.count(name) > 1]:
        raise ValueError(f"{what} has {columns.count(twice[0])} columns {twice[0]!r}; expected one")
    return {name: values[name] for name in columns}


def read_column(name: str, values: Any, n: int | None = None) -> Column:
    """Check the shape and the type of one column.

    Args:
        name: of the errors' messages, such as "'digit'".
        values: see the module.
        n: number of values, if it is known.

    Raises:
        TypeError, ValueError: the column has another shape, or values of another type or of several
            types; the message has the first wrong row.

    >>> read_column("colour", ["red", None, "blue"])
    Column(values=array(['red', '', 'blue'], dtype='<U4'), missing=array([False,  True, False]), \
is_category=False)
    """
    if hasattr(getattr(values, "dtype", None), "categories") and (
        hasattr(values, "cat") or hasattr(values, "codes")
    ):
        return _read_category(name, values, n)
    array = _array(name, values)
    _check_shape(name, array, n)
    missing = np.ma.getmaskarray(array).copy()
    array = np.ma.getdata(array)
    if array.dtype.name == "bfloat16":  # a type of its own for NumPy
        array = array.astype(np.float32)
    kind = array.dtype.kind
    if kind == "f":
        return Column(array, missing | np.isnan(array))
    if kind in "biuU":
        return Column(array, missing)
    if kind in "OS" or getattr(array.dtype, "na_object", None) is not None or kind == "T":
        objects = array.astype(object)
        return _read_objects(name, objects, missing | [_is_missing(value) for value in objects])
    if kind in "mM":
        raise TypeError(f"{name} has dtype {array.dtype}; {_NO_TIMES}")
    raise TypeError(f"{name} has dtype {array.dtype}; expected numbers, booleans or strings")


_NO_TIMES = (
    "expected numbers: convert times, for example to seconds since the first, "
    "(t - t.min()) / np.timedelta64(1, 's')"
)


def _array(name: str, values: Any) -> np.ndarray:
    if isinstance(values, np.ma.MaskedArray):
        return values
    if isinstance(values, set | frozenset | Mapping):
        raise TypeError(
            f"{name} has type {type(values).__name__}; expected an array or a list, one value per "
            "sample"
        )
    try:
        array = np.asarray(values)
        if isinstance(values, list | tuple) and array.dtype.kind in "US":
            array = np.asarray(values, object)  # NumPy turns [1, "a", None] into strings
        return array
    except (ValueError, TypeError, NotImplementedError):  # such as rows of different lengths
        raise ValueError(f"{name} is no array; expected one value per sample") from None


def _check_shape(name: str, array: Any, n: int | None) -> None:
    if array.ndim == 1 and (n is None or len(array) == n):
        return
    advice = ""
    if array.ndim == 2 and array.shape[1] == 1:
        advice = ": pass its only column, such as values[:, 0]"
    elif array.ndim == 2 and n == len(array):
        advice = ": pass labels for one-hot rows, values.argmax(axis=1), or one column"
    raise ValueError(
        f"{name} has shape {list(array.shape)}; "
        f"expected [{'n' if n is None else n}], one value per sample{advice}"
    )


def _read_category(name: str, values: Any, n: int | None) -> Column:
    """A pandas categorical: its categories may be of any type, and some of them unused."""
    codes = np.asarray(getattr(values, "cat", values).codes)
    _check_shape(name, codes, n)
    categories = values.dtype.categories
    try:
        labels = read_column(name, np.asarray(categories)).values
    except TypeError:  # such as the intervals of pandas.cut
        labels = np.array([str(category) for category in categories])
    if not len(labels):
        labels = np.zeros(1)
    return Column(labels[np.maximum(codes, 0)], codes < 0, True)


def _read_objects(name: str, objects: np.ndarray, missing: np.ndarray) -> Column:
    """Python objects that are strings, booleans or numbers, all of one kind."""
    rows = np.flatnonzero(~missing)
    kinds = [_kind(objects[row]) for row in rows]
    for row, kind in zip(rows, kinds, strict=True):
        value = objects[row]
        if kind == "times":
            raise TypeError(f"{name} is {value!r} at row {row}; {_NO_TIMES}")
        if kind not in ("strings", "booleans", "numbers"):
            raise TypeError(
                f"{name} has type {type(value).__name__} at row {row} (dtype object); expected "
                "numbers, booleans or strings"
            )
        if kind != kinds[0]:
            raise TypeError(
                f"{name} has {kinds[0]} and {kind} (dtype object): {objects[rows[0]]!r} at row "
                f"{rows[0]}, {value!r} at row {row}; expected values of one type"
            )
    present = objects[rows]
    if not len(rows):
        plain = np.zeros(0)
    elif kinds[0] == "strings":
        plain = np.array([_text(name, row, objects[row]) for row in rows], dtype=str)
    elif kinds[0] == "booleans":
        plain = present.astype(bool)
    elif all(isinstance(value, numbers.Integral) for value in present):
        plain = _numbers(name, present, rows, np.int64)
    else:
        plain = _numbers(name, present, rows, np.float64)
    values = np.zeros(len(objects), plain.dtype)
    values[rows] = plain
    return Column(values, missing)


def _is_missing(value: Any) -> bool:
    """Whether an object is None, a nan of any type, or pandas' NA or NaT."""
    if value is None or type(value).__name__ in ("NAType", "NaTType"):
        return True
    if isinstance(value, decimal.Decimal):
        return value.is_nan()
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return isinstance(value, numbers.Number) and bool(value != value)


def _kind(value: Any) -> str:
    if isinstance(value, str | bytes):
        return "strings"
    if isinstance(value, bool | np.bool_):
        return "booleans"
    if isinstance(value, datetime.date | datetime.time | datetime.timedelta):
        return "times"
    if isinstance(value, np.datetime64 | np.timedelta64) or type(value).__name__ == "Period":
        return "times"
    if isinstance(value, numbers.Number) and not isinstance(value, complex | np.complexfloating):
        return "numbers"
    return type(value).__name__


def _text(name: str, row: int, value: Any) -> str:
    try:
        return value.decode() if isinstance(value, bytes) else str(value)
    except UnicodeDecodeError:
        raise ValueError(f"{name} is {value!r} at row {row}; expected text in UTF-8") from None


def _numbers(name: str, values: np.ndarray, rows: np.ndarray, dtype: Any) -> np.ndarray:
    try:
        return values.astype(dtype)
    except OverflowError:
        if dtype is np.int64:
            return _numbers(name, values, rows, np.float64)
        row, value = next(
            (row, value) for row, value in zip(rows, values, strict=True) if abs(value) > 10**308
        )
        raise ValueError(
            f"{name} is too large for float32 at row {row} ({str(value)[:20]}); expected "
            "finite numbers"
        ) from None

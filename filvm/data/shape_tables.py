"""Measures of all digits of MNIST, kept in CSV files: `thickness.csv` and `morphometrics.csv`.

A table has one comment line, then one row per digit: index, split, measures.
`pandas.read_csv(path, comment="#")` reads it. The comment has the version of the measures and the
SHA-256 of the digits and of the rows. A table of other digits or another version, and a damaged
table, is made again and replaced in one step.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from filvm.data.mnist import Mnist
from filvm.data.morphometrics import MORPHOMETRICS, measure_shapes
from filvm.files import exclusive, replacing

MEASURE_VERSION = 1  # increase it when the measures change: existing tables are then made again
_MAX_ROW_BYTES = 128  # longer rows are not read

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Thickness:
    """Stroke thickness in pixels, float64, in the order of the images."""

    train: np.ndarray
    test: np.ndarray


def load_thickness(
    mnist: Mnist,
    data_dir: str | Path = "data",
    *,
    num_workers: int | None = None,
    progress: bool | None = None,
) -> Thickness:
    """Return the thickness of all digits, from `mnist/thickness.csv` in `data_dir`.

    Args:
        mnist: the digits.
        data_dir: the folder of the table, which is made if it is missing or does not fit.
        num_workers: as for `measure_shapes`.
        progress: as for `measure_shapes`.
    """
    path = Path(data_dir).expanduser() / "mnist" / "thickness.csv"
    train, test = _load(mnist, path, "stroke thickness", ("thickness",), num_workers, progress)
    return Thickness(train=train["thickness"], test=test["thickness"])


def load_morphometrics(
    mnist: Mnist,
    data_dir: str | Path = "data",
    *,
    num_workers: int | None = None,
    progress: bool | None = None,
) -> tuple[Columns, Columns]:
    """Return all `MORPHOMETRICS` of the training digits and of the test digits, by name.

    They are kept in `mnist/morphometrics.csv`; the arguments are those of `load_thickness`.
    """
    path = Path(data_dir).expanduser() / "mnist" / "morphometrics.csv"
    return _load(mnist, path, "morphometrics", MORPHOMETRICS, num_workers, progress)


def _load(
    mnist: Mnist,
    path: Path,
    title: str,
    names: tuple[str, ...],
    num_workers: int | None,
    progress: bool | None,
) -> tuple[Columns, Columns]:
    source = f"# {title}, version {MEASURE_VERSION}, of digits {mnist.sha256}"
    num_train = len(mnist.train_images)
    measured = _read_table(path, source, names, num_train + len(mnist.test_images))
    if measured is None:
        images = np.concatenate([mnist.train_images, mnist.test_images])
        with exclusive(path):
            measured = measure_shapes(images, names, num_workers=num_workers, progress=progress)
            _write_table(path, source, measured, num_train)
            # Read back, because the table is rounded: the first run must not differ from the next.
            measured = _read_table(path, source, names, len(images))
    train = {name: values[:num_train] for name, values in measured.items()}
    return train, {name: values[num_train:] for name, values in measured.items()}


def _rows_digest(rows: str) -> str:
    return f", rows {hashlib.sha256(rows.encode()).hexdigest()}"


def _read_table(path: Path, source: str, names: tuple[str, ...], num_rows: int) -> Columns | None:
    """Return the columns by name, or None if the table is missing, damaged or from elsewhere."""
    import pandas as pd  # `filvm list` answers without it

    max_bytes = len(source) + _MAX_ROW_BYTES * (num_rows + 8)
    try:
        with open(path, "rb") as file:
            heading, rows = file.read(max_bytes).decode("utf-8").split("\n", maxsplit=1)
        if heading != source + _rows_digest(rows):
            return None
        table = pd.read_csv(io.StringIO(rows), usecols=names, dtype=np.float64)
    except (FileNotFoundError, ValueError):  # missing, or not text, a single line, or no table
        return None
    if len(table) != num_rows:
        return None
    return {name: table[name].to_numpy(copy=True) for name in names}


def _write_table(path: Path, source: str, measured: Columns, num_train: int) -> None:
    import pandas as pd  # see _read_table

    num_test = len(next(iter(measured.values()))) - num_train
    table = pd.DataFrame(
        {
            "index": np.concatenate([np.arange(num_train), np.arange(num_test)]),
            "split": np.repeat(["train", "test"], [num_train, num_test]),
            **measured,
        }
    )
    rows = table.to_csv(index=False, float_format="%.6f", na_rep="nan", lineterminator="\n")
    with replacing(path) as temporary:
        temporary.write_bytes(f"{source}{_rows_digest(rows)}\n{rows}".encode())

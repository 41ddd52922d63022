"""Hostile input for as long as one likes: the properties of tests/test_hostile_input.py.

    python benchmarks/fuzz.py [--examples 2000] [PROPERTY ...]
    python benchmarks/fuzz.py --seconds 60 [PROPERTY ...]          with atheris

The first has hypothesis draw the input. The second, where atheris is installed (the extra `fuzz`),
has libFuzzer search for input that reaches new branches of the readers, each property in a process
of its own. What fails is printed, as small as it could be made, and the exit status is not 0.
"""

from __future__ import annotations

import argparse
import importlib
import os
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))
READERS = ("filvm.files", "filvm.data", "filvm.runs.run", "zipfile", "gzip", "json.decoder")


def properties() -> dict:
    module = importlib.import_module("tests.test_hostile_input")
    return {name: test for name, test in vars(module).items() if hasattr(test, "hypothesis")}


def with_hypothesis(name: str) -> bool:
    began = time.perf_counter()
    try:
        properties()[name]()
    except Exception:
        traceback.print_exc()
        return False
    print(f"{name}: nothing found, {time.perf_counter() - began:.1f} s", flush=True)
    return True


def with_atheris(name: str, seconds: int) -> None:
    import atheris

    with atheris.instrument_imports(include=list(READERS)):
        test = properties()[name]
    atheris.Setup(
        [
            sys.argv[0],
            f"-max_total_time={seconds}",
            "-print_final_stats=1",
            "-rss_limit_mb=2048",
            f"-artifact_prefix={tempfile.gettempdir()}/",
        ],
        test.hypothesis.fuzz_one_input,
    )
    atheris.Fuzz()  # ends the process


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("property", nargs="*")
    parser.add_argument("--examples", type=int, default=2000)
    parser.add_argument("--seconds", type=int, default=0, help="of each property, with atheris")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.alone:
        with_atheris(arguments.property[0], arguments.seconds)
    os.environ["FILVM_FUZZ_EXAMPLES"] = str(arguments.examples)
    failed = []
    for name in arguments.property or properties():
        if not arguments.seconds:
            good = with_hypothesis(name)
        else:
            command = [sys.executable, __file__, "--alone", "--seconds", str(arguments.seconds)]
            done = subprocess.run([*command, name], capture_output=True, text=True, check=False)
            runs = [line for line in done.stderr.splitlines() if "number_of_executed" in line]
            good = done.returncode == 0 and bool(runs)
            print(
                f"{name}: {' '.join(runs) if good else (done.stdout + done.stderr)[-4000:]}",
                flush=True,
            )
        if not good:
            failed.append(name)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

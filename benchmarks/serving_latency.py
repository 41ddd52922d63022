"""Time a server takes per request: every signature of an exported FILVM, at batch 1 and 64.

    python benchmarks/serving_latency.py [runs/full/serving/filvm_mnist/1]

Without a version folder it exports the MNIST pipeline at full size, untrained: the time does not
depend on the weights. The SavedModel is loaded as a server loads it and runs on one core with one
thread; HTTP or gRPC takes additional time. The aim is a median of 5 ms for `encode` and
`manipulate` at batch 1, and an export of at most 15 MB.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np

from filvm.serving.check import ServedModel

EXPORT = """
import sys
from filvm.experiments.catalogue import MNIST
from filvm.experiments.digits import MNIST_ATTRIBUTES
from filvm.lens import LensPipeline
from filvm.serving.export import export_model
from filvm.vae import ConvVAE
lens = MNIST.build(8, MNIST_ATTRIBUTES)
export_model(LensPipeline(ConvVAE(8), lens), sys.argv[1], check=True)
"""


def example(model: ServedModel, signature: str, batch: int) -> dict[str, np.ndarray]:
    """Inputs of the right shapes: noise, digit 0 and dimension 0."""
    rng = np.random.default_rng(0)
    return {
        name: np.zeros(batch, spec.dtype.as_numpy_dtype)
        if name in ("digit", "dimension")
        else rng.uniform(size=(batch, *spec.shape[1:])).astype(np.float32)
        for name, spec in model.signatures[signature].inputs.items()
    }


def latencies(model: ServedModel, signature: str, batch: int, seconds: float) -> np.ndarray:
    """Milliseconds of each request, of as many requests as `seconds` allow (at least 20)."""
    inputs = example(model, signature, batch)
    for _ in range(5):
        model.run(signature, inputs)
    taken = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken) < 20:
        began = time.perf_counter()
        model.run(signature, inputs)
        taken.append(1e3 * (time.perf_counter() - began))
    return np.array(taken)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("version", nargs="?", type=Path, help="a version folder")
    parser.add_argument("--seconds", type=float, default=2.0, help="per signature and batch size")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = arguments.version
        if folder is None:
            subprocess.run([sys.executable, "-c", EXPORT, f"{scratch}/filvm_mnist"], check=True)
            folder = Path(scratch, "filvm_mnist", "1")
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        began = time.perf_counter()
        with ServedModel(folder, threads=1) as model:
            loading = time.perf_counter() - began
            print(f"export of {size / 1e6:.1f} MB, loaded in {loading:.2f} s; one core")
            print(f"{'signature':30}{'batch':>6}{'requests':>10}{'p50 ms':>9}{'p99 ms':>9}")
            for signature in model.signatures:
                for batch in (1, 64):
                    taken = latencies(model, signature, batch, arguments.seconds)
                    p50, p99 = np.percentile(taken, [50, 99])
                    print(f"{signature:30}{batch:6}{len(taken):10}{p50:9.2f}{p99:9.2f}")


if __name__ == "__main__":
    main()

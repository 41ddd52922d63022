"""How the cost of a training step grows with batch, latents, image side, length and flows.

    python benchmarks/growth.py

Every size runs in a process of its own, which trains a model on random data and prints the samples
per second and the memory beyond the start of TensorFlow. The arithmetic of a step is counted from
the layers' shapes. docs/growth.png has both: where the measured time lies on or below the line, the
time does not grow faster than the arithmetic.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import matplotlib.pyplot as plt
import numpy as np
import tensorflow as tf
import tf_keras as keras
from vae_training import machine, operations_per_image

from filvm.data.side_information import Categorical, Continuous
from filvm.lens import FILVM
from filvm.vae import ConvVAE, SequenceVAE

BATCH = 128
SIZES = {
    "batch": (32, 128, 512, 1024, 4096),
    "latents": (2, 8, 32, 128, 256),
    "image side": (28, 56, 96, 128),
    "length": (30, 60, 120, 250, 500),
    "flows": (1, 4, 16, 64),
}
MODELS = {
    "batch": "ConvVAE, 28 x 28, 8 latents",
    "latents": "ConvVAE, 28 x 28, batch 128",
    "image side": "ConvVAE, 8 latents, batch 128",
    "length": "SequenceVAE, 4 latents, batch 128",
    "flows": "FILVM, 8 latents, batch 128",
}


def step_of(what: str, size: int) -> tuple[Callable[[], Any], int, float]:
    """A compiled training step, its batch size, and its floating point operations."""
    draw = np.random.default_rng(0)
    batch = size if what == "batch" else BATCH
    if what == "length":
        model = SequenceVAE(4, max_length=size)
        lengths = np.full(batch, size, np.int32)
        data: Any = (draw.uniform(1, 2000, (batch, size, 1)).astype(np.float32), lengths)
        # The GRUs, which run once per step; the other layers are small beside them.
        operations = 6.0 * batch * size * _weights(model, recurrent=True)
        arguments: Any = ((data,),)
    elif what == "flows":
        attributes = [Categorical("digit", 10), Continuous("thickness")]
        model = FILVM(8, attributes, num_flows=size)
        z = draw.normal(size=(batch, 8)).astype(np.float32)
        side = {"digit": draw.integers(0, 10, batch), "thickness": draw.normal(2.6, 0.6, batch)}
        model.adapt(z, side)
        columns = np.stack([side["digit"], side["thickness"]], axis=1).astype(np.float32)
        operations = 6.0 * batch * _weights(model)
        arguments = ((tf.constant(z), tf.constant(columns)),)
    else:
        side_length = size if what == "image side" else 28
        shape = (side_length, side_length, 1)
        model = ConvVAE(size if what == "latents" else 8, image_shape=shape)
        images = draw.uniform(0, 1, (batch, *shape)).astype(np.float32)
        operations = batch * operations_per_image(model)
        arguments = ((tf.constant(images),),)
    model.compile(keras.optimizers.Adam(1e-4))
    model.optimizer.build(model.trainable_variables)
    if what == "length":
        return (lambda: model.train_on_batch(data)), batch, operations
    step = tf.function(model.train_step)
    return (lambda: step(*arguments)), batch, operations


def _weights(model: keras.Model, *, recurrent: bool = False) -> int:
    """Numbers in the matrices of the model: of all layers, or of its GRUs alone."""
    return sum(
        math.prod(weight.shape)
        for weight in model.trainable_variables
        if len(weight.shape) == 2 and (not recurrent or "gru" in weight.name.lower())
    )


def measured(what: str, size: int, seconds: float) -> dict[str, float]:
    """Samples per second (the best of three parts of `seconds`), memory, operations."""
    tf.matmul(tf.ones([64, 64]), tf.ones([64, 64]))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    step, batch, operations = step_of(what, size)
    for _ in range(2):
        step()
    rates = []
    for _ in range(3):
        began, steps = time.perf_counter(), 0
        while time.perf_counter() - began < seconds / 3 or not steps:
            result = step()
            steps += 1
        np.asarray(next(iter(result.values())) if isinstance(result, dict) else result)
        rates.append(batch * steps / (time.perf_counter() - began))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "samples_per_second": max(rates),
        "memory_mib": (peak - before) / 1024,
        "operations_per_sample": operations / batch,
    }


def draw(results: dict[str, dict[int, dict[str, float]]], path: Path) -> None:
    """Seconds per sample and the arithmetic's line through the first point; memory below."""
    figure, axes = plt.subplots(2, len(results), figsize=(3 * len(results), 5.4), sharex="col")
    for (above, below), (what, rows) in zip(axes.T, results.items(), strict=True):
        sizes = list(rows)
        micro = [1e6 / row["samples_per_second"] for row in rows.values()]
        arithmetic = [row["operations_per_sample"] for row in rows.values()]
        line = [micro[0] * a / arithmetic[0] for a in arithmetic]
        above.loglog(sizes, line, "--", color="0.6", label="arithmetic")
        above.loglog(sizes, micro, "o-", color="C0", label="measured")
        above.set_title(MODELS[what], fontsize=9)
        below.loglog(sizes, [row["memory_mib"] for row in rows.values()], "o-", color="C1")
        below.set_xlabel(what)
        below.set_xticks(sizes, [str(size) for size in sizes])
        below.minorticks_off()
        for axis in (above, below):
            low, high = axis.get_ylim()
            if high < 4 * low:  # otherwise noise would look like growth
                middle = math.sqrt(low * high)
                axis.set_ylim(middle / 2, 2 * middle)
            axis.grid(alpha=0.3)
    axes[0, 0].set_ylabel("microseconds per sample")
    axes[1, 0].set_ylabel("memory, MiB")
    axes[0, 0].legend(fontsize=8)
    figure.suptitle(f"Cost of a training step; {machine()}", fontsize=10)
    figure.tight_layout()
    figure.savefig(path, dpi=150)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--one", nargs=2, metavar=("WHAT", "SIZE"), help="measure one size")
    parser.add_argument("--seconds", type=float, default=3.0, help="of measurement, per size")
    parser.add_argument("--figure", type=Path, default=Path("docs/growth.png"))
    arguments = parser.parse_args()
    if arguments.one:
        print(json.dumps(measured(arguments.one[0], int(arguments.one[1]), arguments.seconds)))
        return
    results: dict[str, dict[int, dict[str, float]]] = {}
    print("| what | size | samples/s | memory, MiB | MFLOP per sample | GFLOP/s |")
    print("|---|---|---|---|---|---|")
    for what, sizes in SIZES.items():
        results[what] = {}
        for size in sizes:
            command = [sys.executable, __file__, "--one", what, str(size)]
            command += ["--seconds", str(arguments.seconds)]
            out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
            row = results[what][size] = json.loads(out.splitlines()[-1])
            speed = row["samples_per_second"] * row["operations_per_sample"] / 1e9
            print(
                f"| {what} | {size} | {row['samples_per_second']:.0f} | {row['memory_mib']:.0f} | "
                f"{row['operations_per_sample'] / 1e6:.2f} | {speed:.1f} |",
                flush=True,
            )
    draw(results, arguments.figure)


if __name__ == "__main__":
    main()

"""Images per second of the convolutional VAE with one worker and with two, one core each.

    python benchmarks/scaling.py

Workers are processes on this machine that `MultiWorkerMirroredStrategy` connects over the loopback
interface. Each has one thread, and a core of its own where the system supports it. One worker
trains without a strategy. Two workers process less than twice its images because they exchange
gradients and metrics after every step; this costs the same for any batch size, so large batches
lose less. On a busy machine, the CPU time of a step (of one worker) still shows the cost.
docs/large_data.md has the conclusions.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import socket
import subprocess
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")


def train(core: int, batch_size: int, steps: int, rounds: int) -> None:
    """Train on random images as one worker; print times and memory as JSON."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})
    import numpy as np
    import tensorflow as tf
    import tf_keras as keras

    from filvm.runs.batches import shuffled_batches
    from filvm.runs.distributed import make_strategy
    from filvm.runs.training import cosine_adam
    from filvm.vae import ConvVAE

    tf.config.threading.set_intra_op_parallelism_threads(1)
    several = "TF_CONFIG" in os.environ
    strategy = make_strategy("multi-worker") if several else tf.distribute.get_strategy()
    with strategy.scope():
        vae = ConvVAE(8, beta=0.5)
        vae.compile(cosine_adam(1e-3, steps * rounds))
    images = np.random.default_rng(0).integers(0, 256, (batch_size * steps, 28, 28, 1), np.uint8)
    batches = shuffled_batches(
        images,
        batch_size,
        seed=0,
        first_step=0,
        steps=steps * (rounds + 1),
        transform=lambda pixels: tf.cast(pixels, tf.float32) / 255.0,
    )
    ends: list[tuple[float, float]] = []
    clock = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: ends.append((time.perf_counter(), time.process_time()))
    )
    vae.fit(batches, epochs=rounds + 1, steps_per_epoch=steps, verbose=0, callbacks=[clock])
    # The first round compiles; the quickest of the others is the least disturbed.
    step, cpu = np.diff(ends, axis=0).min(axis=0) / steps
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024**2
    weights = sum(weight.nbytes for weight in vae.get_weights()) / 1e6
    print(json.dumps({"step": step, "cpu": cpu, "peak": peak, "weights": weights}))


def measure(workers: int, cores: list[int], batch_size: int, rounds: int) -> dict[str, float]:
    """Start the workers; return the measurements of the first."""
    steps = max(2, 1536 // (batch_size // workers))
    sockets = [socket.socket() for _ in range(workers)]
    for bound in sockets:
        bound.bind(("127.0.0.1", 0))
    addresses = [f"127.0.0.1:{bound.getsockname()[1]}" for bound in sockets]
    for bound in sockets:
        bound.close()
    processes = []
    for index in range(workers):
        environment = {name: value for name, value in os.environ.items() if name != "TF_CONFIG"}
        if workers > 1:
            task = {"type": "worker", "index": index}
            environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": addresses}, "task": task})
        numbers = [cores[index % len(cores)], batch_size, steps, rounds]
        processes.append(
            subprocess.Popen(
                [sys.executable, __file__, "--worker", *map(str, numbers)],
                env=environment,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
    answers = [process.communicate() for process in processes]
    if any(process.returncode for process in processes):
        raise SystemExit("\n".join(errors for _, errors in answers))
    return json.loads(answers[0][0].splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batches", type=int, nargs="+", default=[64, 128, 512], help="per worker")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--worker", type=int, nargs=4, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        train(*arguments.worker)
        return
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else [0]
    print(f"{len(cores)} cores")
    print(
        "| workers | global batch | ms a step | of them CPU | images/s | times one worker | GiB |\n"
        "|---|---|---|---|---|---|---|"
    )
    for share in arguments.batches:
        alone = None
        for workers in (1, 2):
            found = measure(workers, cores, share * workers, arguments.rounds)
            rate = share * workers / found["step"]
            alone = alone or rate
            print(
                f"| {workers} | {share * workers} | {1000 * found['step']:.0f} | "
                f"{1000 * found['cpu']:.0f} | {rate:.0f} | {rate / alone:.2f} | "
                f"{found['peak']:.2f} |",
                flush=True,
            )
    print(f"weights: {found['weights']:.1f} MB")


if __name__ == "__main__":
    main()

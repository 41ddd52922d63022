"""float32 or bfloat16 for the inner layers of networks in a training, chosen by a measured step.

With bfloat16, layers multiply numbers of 8 significant bits and add up in float32 (Keras' policy
mixed_bfloat16). Weights, outputs of networks, sums, flows, log-determinants and losses are float32,
and so is the saved model.
"""

from __future__ import annotations

import contextlib
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf
import tf_keras as keras

from filvm.files import write_json
from filvm.runs.run import Run, RunError

FASTER = 1.1  # bfloat16 is used if a step is at least so many times faster
ENOUGH_STEPS = 2_000  # of a training; a shorter one is over before the measurement has paid
ROUNDS, STEPS = 15, 3  # of the measurement


def has_bfloat16(cpuinfo: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor multiplies bfloat16, by its flags avx512_bf16 or amx_bf16 (Linux)."""
    try:
        lines = cpuinfo.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return False
    flags = next((line for line in lines if line.startswith("flags")), "").split()
    return "avx512_bf16" in flags or "amx_bf16" in flags


@contextlib.contextmanager
def layers_in(precision: str) -> Iterator[None]:
    """Create the models inside this context with inner layers in "float32" or "bfloat16"."""
    before = keras.mixed_precision.global_policy()
    keras.mixed_precision.set_global_policy(
        "mixed_bfloat16" if precision == "bfloat16" else "float32"
    )
    try:
        yield
    finally:
        keras.mixed_precision.set_global_policy(before)


def choose_precision(
    asked: str, run: Run, steps: int, build: Callable[[], keras.Model], batch: Any
) -> str:
    """The precision of a training, which `config.json` records.

    Args:
        asked: the setting: "float32", "bfloat16", or "auto": bfloat16 if the processor has it and
            if it makes a training step at least `FASTER` times as fast. "auto" is float32 for
            deterministic and distributed trainings, and for those of less than `ENOUGH_STEPS`.
        run: a run that was interrupted continues with its recorded precision.
        steps: of the training.
        build: -> a new compiled model.
        batch: data of one training step.

    Returns:
        "float32" or "bfloat16".

    Raises:
        RunError: bfloat16 is asked for in a deterministic or distributed training.
    """
    path = run.folder / "config.json"
    config = run.config() if path.is_file() else {}
    if "precision" in config:
        return config["precision"]
    exact = config.get("deterministic", False) or run.workspace.strategy is not None
    if asked == "bfloat16" and exact:
        raise RunError(
            f"{run.name}: precision is 'bfloat16' with --deterministic or --strategy; expected "
            "'auto' or 'float32'"
        )
    chosen, ratio = "float32" if asked == "auto" else asked, None
    if asked == "auto" and not exact and steps >= ENOUGH_STEPS and has_bfloat16():
        ratio = speed_of_bfloat16(build, batch)
        chosen = "bfloat16" if ratio >= FASTER else "float32"
        print(
            f"{run.name}: trains in {chosen}: a step in bfloat16 is {ratio:.2f} times as fast as "
            "in float32",
            flush=True,
        )
    if config and run.workspace.writes:
        measured = {} if ratio is None else {"speed_of_bfloat16": round(ratio, 2)}
        write_json(path, {**config, "precision": chosen, **measured})
    return chosen


def speed_of_bfloat16(build: Callable[[], keras.Model], batch: Any) -> float:
    """Seconds of training steps in float32 divided by those in bfloat16: the median of rounds."""
    steps = {}
    for precision in ("float32", "bfloat16"):
        with layers_in(precision):
            model = build()
        model.optimizer.build(model.trainable_variables)
        steps[precision] = tf.function(model.train_step)
        steps[precision](batch)

    def seconds(precision: str) -> float:
        began = time.perf_counter()
        for _ in range(STEPS):
            steps[precision](batch)
        return time.perf_counter() - began

    # Both take turns, because other processes slow the machine down for a while.
    return statistics.median(seconds("float32") / seconds("bfloat16") for _ in range(ROUNDS))

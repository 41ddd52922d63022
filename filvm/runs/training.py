"""Training that continues after an interruption at any moment.

After every epoch, the weights, the optimiser and the history are saved. The order of the samples is
a function of the seed and the epoch, and the noise is a function of the seed and the step. So a
continued run gets the same batches and the same noise as an uninterrupted run.
"""

from __future__ import annotations

import csv
import itertools
import math
import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import tensorflow as tf
import tf_keras as keras

from filvm.analysis.reconstruction import squared_errors
from filvm.files import first_line, replacing
from filvm.runs.batches import batch_options, shuffled_batches
from filvm.runs.distributed import PartDone, check_same, copy_state, make_replica
from filvm.runs.run import Run, RunError
from filvm.vae import VAE
from filvm.vae.adam import FusedAdam


class TrainingDiverged(ArithmeticError):
    """The loss is nan or infinite."""


def cosine_adam(
    learning_rate: float,
    steps: int,
    final_fraction: float = 0.01,
    *,
    beta_2: float = 0.999,
    clip_norm: float = 0.0,
) -> Any:
    """Adam with a learning rate that falls along half a cosine.

        rate(t) = learning_rate * ((1 - f) * (1 + cos(pi * t / steps)) / 2 + f)

    Args:
        learning_rate: at step 0.
        steps: the number of steps until the lowest rate.
        final_fraction: f, the lowest rate divided by the first.
        beta_2: the decay of Adam's second moments.
        clip_norm: the largest norm of the gradient of all weights together; 0 for no limit.

    Returns:
        A `FusedAdam`.
    """
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps, alpha=final_fraction)
    return FusedAdam(schedule, beta_2=beta_2, global_clipnorm=clip_norm or None)


def steps_per_call(steps: int) -> int:
    """`steps_per_execution` of a training of so many steps.

    Several steps per call run faster but take twice as long to trace, so short trainings use 1.
    """
    return 32 if steps > 2_000 else 1


def read_history(path: Path, epochs: int) -> list[dict[str, float]]:
    """Read the first rows of a `history.csv`.

    Args:
        path: of the file.
        epochs: the number of rows, one per epoch.

    Returns:
        One dictionary per epoch: column -> value.

    Raises:
        RunError: the file does not hold these epochs.
    """
    try:
        with open(path, encoding="utf-8", newline="") as file:
            rows = [
                {name: float(value or "nan") for name, value in row.items()}
                for row in itertools.islice(csv.DictReader(file), epochs)
            ]
    except (OSError, ValueError, TypeError, csv.Error):
        rows = []
    if [row.get("epoch") for row in rows] != list(range(1, epochs + 1)):
        raise RunError(
            f"{path} does not hold the {epochs} epochs that were trained; expected one row for "
            "each: pass `--restart` to train again"
        )
    return [{**row, "epoch": int(row["epoch"])} for row in rows]


class _Checkpoints(keras.callbacks.Callback):
    """Saves history, best weights and checkpoint after every epoch, in an order safe from kills."""

    def __init__(self, run: Run, model: keras.Model, monitor: str) -> None:
        super().__init__()
        self.writes = run.workspace.writes
        self.path = run.folder / "history.csv"
        self.monitor = monitor
        self.epochs_done = tf.Variable(0, dtype=tf.int64, trainable=False)
        self.best = tf.Variable(tf.float64.max, dtype=tf.float64, trainable=False)
        folder = run.folder / "checkpoint"
        for unfinished in folder.glob("*/*_temp") if run.workspace.writes else ():
            # TensorFlow leaves them after a kill or on a full disk.
            shutil.rmtree(unfinished)
        self.best_weights = tf.train.CheckpointManager(
            tf.train.Checkpoint(model=model), str(folder / "best"), max_to_keep=1
        )
        self.last = tf.train.CheckpointManager(
            tf.train.Checkpoint(model=model, epochs_done=self.epochs_done, best=self.best),
            str(folder / "last"),
            max_to_keep=1,
        )
        for manager in (self.best_weights, self.last):
            # Created now: under a strategy, all workers must create it, and only the chief saves.
            _ = manager.checkpoint.save_counter
        self.history: list[dict[str, float]] = []

    def restore(self) -> int:
        """Restore the last checkpoint, if there is one; return its number of epochs."""
        try:
            restored = self.last.restore_or_initialize()
        except (tf.errors.OpError, ValueError) as error:  # for example after a power cut
            raise RunError(
                f"{self.last.directory} cannot be read ({first_line(error)}); expected a "
                "checkpoint: pass `--restart` to train again"
            ) from error
        if restored:
            self.history = read_history(self.path, int(self.epochs_done))
        return len(self.history)

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self.began = time.perf_counter()

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        values = {name: float(value) for name, value in (logs or {}).items()}
        if not math.isfinite(values["loss"]):
            raise TrainingDiverged(
                f"loss is {values['loss']} in epoch {epoch + 1}; expected a finite number: a lower "
                "learning_rate usually helps (the epoch before is kept)"
            )
        seconds = time.perf_counter() - self.began
        self.history.append({"epoch": epoch + 1, "seconds": round(seconds, 3), **values})
        if not self.writes:
            return
        with replacing(self.path) as temporary:
            pd.DataFrame(self.history).to_csv(temporary, index=False)
        if values[self.monitor] < float(self.best):
            self.best.assign(values[self.monitor])
            self.best_weights.save(checkpoint_number=epoch + 1)
        self.epochs_done.assign(epoch + 1)
        self.last.save(checkpoint_number=epoch + 1)


def _progress_lines(run: Run, checkpoints: _Checkpoints, epochs: int) -> keras.callbacks.Callback:
    """Prints one line per epoch: the experiment, the epoch, its losses and its seconds."""

    def print_line(epoch: int, logs: dict[str, float] | None) -> None:
        row = checkpoints.history[-1]
        losses = ", ".join(f"{name} {row[name]:.4f}" for name in ("loss", checkpoints.monitor))
        print(
            f"{run.name}: epoch {epoch + 1} of {epochs}: {losses}, {row['seconds']:.1f} s",
            flush=True,
        )

    return keras.callbacks.LambdaCallback(on_epoch_end=print_line)


class ReconstructionError(keras.callbacks.Callback):
    """Adds `val_mse` to every epoch: the mean squared error, through z_mean, on held-out images."""

    def __init__(self, vae: VAE, images: np.ndarray) -> None:
        super().__init__()
        self.vae = vae
        self.images = images

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        if logs is not None:
            reconstructed = self.vae.reconstruct(self.images)
            logs["val_mse"] = float(squared_errors(self.images, reconstructed).mean())


def seconds_to_reach(history: list[dict[str, float]], name: str, level: float) -> float | None:
    """The seconds of training until `name` was at most `level`; None if it never was."""
    seconds = 0.0
    for row in history:
        seconds += row["seconds"]
        if row[name] <= level:
            return round(seconds, 1)
    return None


def fit_samples(
    model: keras.Model,
    samples: Any,
    settings: Any,
    *,
    run: Run,
    validation: tf.data.Dataset,
    monitor: str = "val_loss",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    **changes: Callable[..., Any] | None,
) -> list[dict[str, float]]:
    """Train a compiled model in `run`, or continue; restore the weights with the best validation.

    Args:
        model: compiled.
        samples: the arrays of `shuffled_batches`.
        settings: has `batch_size` and `seed`; `steps` of the optimiser in all, and `epochs`, equal
            parts of them, each of which ends with validation and a checkpoint.
        run: keeps the checkpoints and `history.csv`.
        validation: batches, never of the test split.
        monitor: the quantity that the best weights minimise.
        callbacks: called before the checkpoint; what they add to the logs is saved.
        changes: `transform` and `distort` of `shuffled_batches`.

    Returns:
        One row per epoch, as in `history.csv`.

    Raises:
        TrainingDiverged: the loss is nan or infinite.
        PartDone: this worker is not the chief, and its work for the run is done.
    """
    epochs, steps = settings.epochs, settings.steps
    if not 1 <= epochs <= steps:
        raise RunError(f"epochs is {epochs}; expected 1 to {steps}, the number of steps")
    per_epoch = steps // epochs
    model.optimizer.build(model.trainable_variables)
    checkpoints = _Checkpoints(run, model, monitor)
    strategy = run.workspace.strategy
    trained = model if strategy is None else make_replica(model, strategy)
    first = checkpoints.restore()
    callbacks = [*callbacks, checkpoints]  # last: it saves the logs of all others
    if strategy is not None:
        check_same(strategy, first, "the number of epochs done")
        check_same(strategy, steps, "its data")
        copy_state(model, trained)
        copy_back = keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: copy_state(trained, model)
        )
        callbacks.insert(0, copy_back)
    # make runs several trainings in one terminal: there, each prints lines with its name.
    bar = "ipykernel" in sys.modules or (sys.stdout.isatty() and "MAKELEVEL" not in os.environ)
    if run.workspace.writes and not bar:
        callbacks.append(_progress_lines(run, checkpoints, epochs))
    if run.workspace.writes and first:
        print(f"{run.name}: continues after epoch {first} of {epochs}", flush=True)
    if first < epochs:
        batches = shuffled_batches(
            samples,
            settings.batch_size,
            seed=settings.seed,
            first_step=first * per_epoch,
            steps=steps,
            **changes,
        )
        trained.fit(
            batches,
            epochs=epochs,
            initial_epoch=first,
            steps_per_epoch=per_epoch,
            validation_data=validation.with_options(batch_options()),
            callbacks=callbacks,
            verbose=1 if run.workspace.writes and bar else 0,
        )
    if not run.workspace.writes:
        raise PartDone(run.name)
    best = checkpoints.best_weights
    best.checkpoint.restore(best.latest_checkpoint).expect_partial()
    return checkpoints.history

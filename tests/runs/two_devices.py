"""Trains one model of each kind on one device and on two; prints the loss curves as JSON.

A process of its own, since how many CPU devices there are is fixed once TensorFlow runs.
"""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import tensorflow as tf
import tf_keras as keras

from filvm.data import Categorical, Continuous
from filvm.data.sequences import make_sequences
from filvm.experiments import Workspace
from filvm.lens import FILVM
from filvm.runs.distributed import make_strategy
from filvm.runs.training import cosine_adam, fit_samples
from filvm.vae import ConvVAE, SequenceVAE

N, BATCH, EPOCHS = 192, 32, 3
# Of validation in batches of 100, the last leaves nothing for the second device.
TRAIN, HELD_OUT = slice(0, N), slice(N, N + 120)


def vae(strategy):
    model = ConvVAE(4, filters=(4, 8), dense_units=16)
    model.compile(cosine_adam(1e-3, EPOCHS * N // BATCH))
    rng = np.random.default_rng(0)
    return model, lambda part: (rng.random((2 * N, 28, 28, 1)) < 0.1).astype(np.float32)[part]


def sequences(strategy):
    model = SequenceVAE(2, max_length=6, units=8, dense_units=8, annealing_steps=0, last_sd=50.0)
    # XLA draws other noise, and is left out under a strategy.
    model.compile(cosine_adam(1e-3, EPOCHS * N // BATCH), jit_compile=strategy is not None)
    numbers = make_sequences(2 * N, length=(3, 6)).numbers
    return model, lambda part: numbers[part]


def lens(strategy):
    model = FILVM(
        4, [Categorical("digit", 3), Continuous("width")], hidden_units=(16,), num_flows=1
    )
    rng = np.random.default_rng(0)
    digit, z = rng.integers(-1, 3, 2 * N), rng.standard_normal((2 * N, 4)).astype(np.float32)
    known = {"digit": digit, "width": z[:, 0] + z[:, 1]}
    model.adapt(z, known)
    model.compile(cosine_adam(1e-3, EPOCHS * N // BATCH), steps_per_execution=3)
    return model, lambda part: (z[part], {name: s[part] for name, s in known.items()})


def curve(make, run):
    """Loss and validation loss of every epoch."""
    keras.utils.set_random_seed(0)
    model, samples = make(run.workspace.strategy)
    budget = SimpleNamespace(batch_size=BATCH, seed=0, epochs=EPOCHS, steps=EPOCHS * N // BATCH)
    history = fit_samples(
        model,
        samples(TRAIN),
        budget,
        run=run,
        validation=tf.data.Dataset.from_tensor_slices(samples(HELD_OUT)).batch(100),
    )
    return [[row["loss"], row["val_loss"]] for row in history]


if __name__ == "__main__":
    cpu = tf.config.list_physical_devices("CPU")[0]
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
    strategies = {"one": None, "two": make_strategy("mirrored")}
    assert strategies["two"].num_replicas_in_sync == 2
    curves = {
        make.__name__: {
            devices: curve(
                make,
                Workspace(devices, Path(sys.argv[1]), strategy=strategy).run(make.__name__),
            )
            for devices, strategy in strategies.items()
        }
        for make in (vae, sequences, lens)
    }
    print(json.dumps(curves))

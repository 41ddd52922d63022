"""vae-sequences: the recurrent VAE on toy sequences (section 5.1.2, Figure 5)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from filvm.data.sequences import Sequences, SequenceSplits, split_sequences
from filvm.runs.run import Experiment, Run

if TYPE_CHECKING:
    import tensorflow as tf


@dataclass(frozen=True)
class Settings:
    latent_dim: int = 4  # the report's
    units: int = 64  # of both GRUs
    dense_units: int = 128  # of the dense layers around z
    context_units: int = 16  # what the decoder cell is told of z
    first_sd: float = 50.0  # of the likelihood, in the numbers' units; its logarithm falls evenly
    last_sd: float = 0.3
    annealing: float = 0.8  # of all training steps; the rest is at last_sd
    length_weight: float = 30.0  # of the length's likelihood, which the numbers' would drown
    balanced: bool = True  # the numbers of short sequences count as much as those of long ones
    beta: float = 1.0  # of the KL term
    epochs: int = 14
    batch_size: int = 128  # more steps are worth more than surer ones
    learning_rate: float = 1e-2  # falls along a cosine to a thousandth
    beta_2: float = 0.98  # Adam's: gradients grow as the sd falls, so it must forget early ones
    sequences: int = 250_000  # to train on
    validation: int = 10_000  # these choose the weights
    test: int = 10_000  # these are reported; no two splits share a sequence
    jit_compile: bool = False  # by XLA: on one core 1.1 times faster, after 18 s
    seed: int = 0


PROFILES = {
    "full": Settings(),
    "quick": Settings(epochs=3, sequences=20_000),
    "smoke": Settings(
        epochs=2,
        sequences=512,
        validation=128,
        test=128,
        units=8,
        dense_units=16,
        batch_size=64,
    ),
}


def splits(settings: Settings) -> SequenceSplits:
    """The sequences of this experiment; a function of its settings alone."""
    return split_sequences(
        settings.sequences, settings.validation, settings.test, seed=settings.seed
    )


def splits_of(run: Run) -> SequenceSplits:
    """The sequences a run of this experiment was made from."""
    return splits(Settings(**run.config()["settings"]))


def train(settings: Settings, run: Run) -> dict[str, Any]:
    """Train, save, and measure on the test sequences."""
    import tensorflow as tf
    import tf_keras as keras

    from filvm.analysis.sequences import sequence_report
    from filvm.runs.training import cosine_adam, fit, shuffled_batches, steps_per_epoch
    from filvm.vae import SequenceVAE

    sequences = splits(settings)
    steps = steps_per_epoch(len(sequences.train), settings.batch_size)
    all_steps = settings.epochs * steps

    keras.utils.set_random_seed(settings.seed)
    vae = SequenceVAE(
        settings.latent_dim,
        max_length=sequences.train.numbers.shape[1],
        units=settings.units,
        dense_units=settings.dense_units,
        context_units=settings.context_units,
        first_sd=settings.first_sd,
        last_sd=settings.last_sd,
        annealing_steps=int(settings.annealing * all_steps),
        length_weight=settings.length_weight,
        balanced=settings.balanced,
        beta=settings.beta,
        seed=settings.seed,
    )
    vae.compile(
        cosine_adam(settings.learning_rate, all_steps, final_fraction=1e-3, beta_2=settings.beta_2),
        jit_compile=settings.jit_compile,
    )

    def batches(first_epoch: int) -> tf.data.Dataset:
        return shuffled_batches(
            sequences.train.numbers,
            settings.batch_size,
            seed=settings.seed,
            first_epoch=first_epoch,
            epochs=settings.epochs,
        )

    held_out = tf.data.Dataset.from_tensor_slices(sequences.validation.numbers)
    history = fit(
        vae,
        batches,
        run=run,
        epochs=settings.epochs,
        steps=steps,
        validation=held_out.batch(min(1000, settings.validation), drop_remainder=True),
        monitor="val_absolute_error",
    )
    run.save_model(vae)
    return {
        "test": sequence_report(vae, sequences.test),
        "training_seconds": sum(row["seconds"] for row in history),
    }


def reconstruction_examples(run: Run, count: int = 4) -> tuple[Sequences, np.ndarray, np.ndarray]:
    """For Figure 5: test sequences, and the numbers and lengths the trained VAE makes of them.

    The first test sequences whose lengths are nearest to those the report shows.
    """
    test = splits_of(run).test
    shown = (20, 24, 7, 13)[:count]
    chosen = np.array([int(np.argmin(np.abs(test.length - length))) for length in shown])
    return test[chosen], *run.model().reconstruct(test[chosen])


EXPERIMENT = Experiment(
    "vae-sequences", "recurrent VAE on toy sequences (Figure 5)", PROFILES, train
)

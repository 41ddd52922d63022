"""VAEs of digits, sequences (section 5.1, Figures 3 to 5) and words: training and measures."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import tensorflow as tf
import tf_keras as keras

from filvm.analysis.reconstruction import pca_mse, reconstruction_report
from filvm.analysis.sequences import sequence_report
from filvm.analysis.words import text_report
from filvm.data import Mnist, RotatedMnist, to_float
from filvm.experiments.measures import Metrics
from filvm.experiments.sequences import sequence_splits
from filvm.experiments.settings import (
    DISTORTED_OF_FEW,
    FEW_DIGITS,
    THICKEN_FEW,
    ImageVaeSettings,
    SequenceVaeSettings,
    TextVaeSettings,
)
from filvm.experiments.words import word_splits
from filvm.runs.batches import distorted
from filvm.runs.precision import choose_precision, layers_in
from filvm.runs.run import Run
from filvm.runs.training import (
    ReconstructionError,
    cosine_adam,
    fit_samples,
    seconds_to_reach,
    steps_per_call,
)
from filvm.vae import ConvVAE, SequenceVAE, TextVAE

REPORT_MSE = {"mnist": 0.01904, "mnist-r": 0.01879}  # section 5.1.1


@dataclass(frozen=True)
class ImageVaeMetrics:
    """What `metrics.json` holds of a VAE of images.

    Attributes:
        test: errors and KL on test images (`reconstruction_report`).
        pca_mse: error of PCA with as many components.
        training_seconds: of all epochs.
        seconds_to_report_mse: of training, until the report's error was passed on validation data.
    """

    test: dict[str, Any]
    pca_mse: float
    training_seconds: float
    seconds_to_report_mse: float | None


def train(task_name: str, settings: Any, run: Run) -> None:
    """Train a VAE, and save it."""
    if task_name == "sequences":
        train_on_sequences(settings, run)
    elif task_name == "words":
        train_on_words(settings, run)
    else:
        train_on_images(task_name, settings, run)


def measure(task_name: str, settings: Any, run: Run) -> Metrics | ImageVaeMetrics:
    """Measure the saved VAE on test data."""
    vae = run.saved_model()
    if task_name == "words":
        return Metrics(text_report(vae, word_splits(settings).test.text), run.training_seconds())
    if task_name == "sequences":
        test = sequence_report(vae, sequence_splits(settings).test)
        return Metrics(test, run.training_seconds())
    digits = digit_images(task_name, run)
    rows, _ = digits.training_split(settings.validation, settings.train_limit)
    each = copies_of(digits)  # of each digit, one image: PCA holds all of them as floats
    test_images = digits.test_images[: settings.test_limit or None]
    return ImageVaeMetrics(
        reconstruction_report(vae, test_images),
        pca_mse(digits.train_images[rows][::each], digits.test_images[::each], settings.latent_dim),
        run.training_seconds(),
        seconds_to_reach(run.history().to_dict("records"), "val_mse", REPORT_MSE[task_name]),
    )


def digit_images(task_name: str, run: Run) -> Mnist | RotatedMnist:
    """The digits of a task; `config.json` records which they are."""
    digits = run.mnist()
    return run.workspace.rotated_mnist() if task_name == "mnist-r" else digits


def copies_of(digits: Mnist | RotatedMnist) -> int:
    """Rows per digit."""
    return digits.num_rotations if isinstance(digits, RotatedMnist) else 1


def distortion(num_digits: int, share: float = 0.0) -> dict[str, float]:
    """The arguments of `distorted` in a training on so many digits; empty if none is distorted."""
    if num_digits < FEW_DIGITS:
        return {"share": max(share, DISTORTED_OF_FEW), "thicken": THICKEN_FEW}
    return {"share": share} if share else {}


def train_on_images(task_name: str, settings: ImageVaeSettings, run: Run) -> None:
    """Train a ConvVAE on uint8 images [n, height, width], which may be a memory map."""
    digits = digit_images(task_name, run)
    rows, validation = digits.training_split(settings.validation, settings.train_limit)
    images = digits.train_images[rows]
    num_digits = len(images) // copies_of(digits)
    if num_digits < FEW_DIGITS:
        settings = replace(
            settings,
            steps=round(settings.steps * settings.steps_for_few),
            batch_size=min(settings.batch_size, settings.batch_for_few),
        )

    def build() -> ConvVAE:
        keras.utils.set_random_seed(settings.seed)
        vae = ConvVAE(settings.latent_dim, beta=settings.beta, seed=settings.seed)
        vae.compile(
            cosine_adam(settings.learning_rate, settings.steps),
            steps_per_execution=steps_per_call(settings.steps),
        )
        return vae

    some = tf.constant(to_float(images[: settings.batch_size]))
    precision = choose_precision(settings.precision, run, settings.steps, build, (some,))
    with layers_in(precision):
        vae = build()

    distort = distortion(num_digits, settings.distorted)
    held_out = to_float(digits.train_images[validation])
    fit_samples(
        vae,
        images,
        settings,
        run=run,
        validation=tf.data.Dataset.from_tensor_slices(held_out).batch(1000),
        transform=lambda pixels: tf.cast(pixels[..., tf.newaxis], tf.float32) / 255.0,
        distort=partial(distorted, **distort) if distort else None,
        callbacks=[ReconstructionError(vae, held_out)],
    )
    run.save_model(vae)


def train_on_sequences(settings: SequenceVaeSettings, run: Run) -> None:
    """Train a SequenceVAE on toy sequences."""
    sequences = sequence_splits(settings)
    keras.utils.set_random_seed(settings.seed)
    vae = SequenceVAE(
        settings.latent_dim,
        max_length=sequences.train.numbers.shape[1],
        units=settings.units,
        dense_units=settings.dense_units,
        context_units=settings.context_units,
        differences=settings.differences,
        first_sd=settings.first_sd,
        last_sd=settings.last_sd,
        annealing_steps=int(settings.annealing * settings.steps),
        length_weight=settings.length_weight,
        balanced=settings.balanced,
        beta=settings.beta,
        seed=settings.seed,
    )
    vae.compile(
        cosine_adam(
            settings.learning_rate, settings.steps, final_fraction=1e-3, beta_2=settings.beta_2
        ),
        jit_compile=settings.jit_compile,
    )

    held_out = tf.data.Dataset.from_tensor_slices(sequences.validation.numbers)
    fit_samples(
        vae,
        sequences.train.numbers,
        settings,
        run=run,
        validation=held_out.batch(min(1000, settings.validation), drop_remainder=True),
        monitor="val_absolute_error",
    )
    run.save_model(vae)


def train_on_words(settings: TextVaeSettings, run: Run) -> None:
    """Train a TextVAE on words of five languages."""
    words = word_splits(settings)
    keras.utils.set_random_seed(settings.seed)
    vae = TextVAE(
        settings.latent_dim,
        max_length=int(words.train.length.max()),
        lower=True,
        filters=settings.filters,
        dense_units=settings.dense_units,
        beta=settings.beta,
        warm_up_steps=int(settings.warm_up * settings.steps),
        seed=settings.seed,
    )
    vae.compile(
        cosine_adam(settings.learning_rate, settings.steps),
        steps_per_execution=steps_per_call(settings.steps),
    )
    held_out = tf.data.Dataset.from_tensor_slices(vae.tokens_array(words.validation.text))
    fit_samples(
        vae,
        vae.tokens_array(words.train.text),
        settings,
        run=run,
        validation=held_out.batch(1000),
        monitor="val_full_loss",
    )
    run.save_model(vae)

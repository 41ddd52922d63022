"""Lenses on the latents of a trained VAE (sections 5.3 and 6): training and measures."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tf_keras as keras

from filvm.data.side_information import Attribute, stack_side_information
from filvm.experiments.measures import LensMetrics, Samples
from filvm.experiments.seeds import same_seed
from filvm.experiments.settings import Recipe
from filvm.experiments.tasks import TASKS
from filvm.lens import Lens, LensPipeline
from filvm.runs.precision import choose_precision, layers_in
from filvm.runs.run import Run
from filvm.runs.training import cosine_adam, fit_samples, steps_per_call


def train(task_name: str, recipe: Recipe, run: Run) -> None:
    """Train a lens on latents; save VAE and lens as one model."""
    task = TASKS[task_name]
    vae = same_seed(run, task.vae).model()
    known, held_out = task.training_samples(run, vae, recipe)

    def build() -> Lens:
        keras.utils.set_random_seed(recipe.seed)
        lens = recipe.build(vae.latent_dim, task.attributes)
        lens.compile(
            cosine_adam(recipe.learning_rate, recipe.steps, clip_norm=recipe.clip_norm),
            steps_per_execution=steps_per_call(recipe.steps),
        )
        return lens

    measured = recipe.precision == "auto"
    batch = first_samples(known, task.attributes, recipe.batch_size) if measured else None
    with layers_in(choose_precision(recipe.precision, run, recipe.steps, build, batch)):
        lens = build()
    lens.adapt(*known)
    validation = tf.data.Dataset.from_tensor_slices(shuffled(held_out)).batch(1000)
    fit_samples(lens, known, recipe, run=run, validation=validation)
    lens.place_labels(*known)
    run.save_model(LensPipeline(vae, lens))


def measure(task_name: str, recipe: Recipe, run: Run) -> LensMetrics:
    """All measures of the saved model."""
    return TASKS[task_name].measure(run, run.saved_model(), recipe)


def first_samples(
    known: Samples, attributes: Sequence[Attribute], count: int
) -> tuple[tf.Tensor, tf.Tensor]:
    """The data of a training step: the first `count` latents and their side information."""
    z, values = known[0][:count], {name: column[:count] for name, column in known[1].items()}
    side = stack_side_information(attributes, values, len(z), require_all=True)
    return tf.constant(z), tf.constant(side)


def shuffled(held_out: Samples) -> Samples:
    """Samples in an order drawn once, so that a validation batch is like a training batch.

    Eight rotations of one digit side by side are not independent of each other, and the measured
    dependence on their attributes would be too large.
    """
    z, attributes = held_out
    order = np.random.default_rng(0).permutation(len(z))
    return z[order], {name: values[order] for name, values in attributes.items()}

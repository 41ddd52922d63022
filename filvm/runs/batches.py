"""Batches of samples for a training: shuffled, distorted, and the same again after a restart."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf


def shuffled_batches(
    arrays: Any,
    batch_size: int,
    *,
    seed: int,
    first_step: int,
    steps: int,
    transform: Callable[[Any], Any] | None = None,
    distort: Callable[[Any, tf.Tensor], Any] | None = None,
) -> tf.data.Dataset:
    """Batches `first_step` to `steps` - 1; every pass over the samples has an order of its own.

    Under a `tf.distribute` strategy, each replica gets its share of each batch.

    Args:
        arrays: a NumPy array, or a structure of arrays of equal length. A memory map is read
            batch by batch; other arrays are held in memory.
        batch_size: samples per batch. The last, partial batch of a pass is dropped; its samples
            appear in other passes.
        seed: of the order.
        first_step: the first step, from 0.
        steps: the number of steps in all, with those before `first_step`.
        transform: applied to each batch, for example to turn pixels into floats.
        distort: applied after `transform`, with a seed, int64 [2], that no other batch has.

    Returns:
        A dataset of batches with the structure of `arrays`.
    """
    n = len(tf.nest.flatten(arrays)[0])
    size = min(batch_size, n)
    readers = tf.nest.map_structure(_reader, arrays)

    per_pass = n // size
    first_pass, passes = first_step // per_pass, math.ceil(steps / per_pass)

    def one_pass(number: tf.Tensor) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(n), seed=tf.stack([tf.constant(seed, tf.int64), number])
        )
        return tf.data.Dataset.from_tensor_slices(order).batch(size, drop_remainder=True)

    def gather(step: tf.Tensor, indices: tf.Tensor) -> Any:
        batch = tf.nest.map_structure(lambda read: read(indices), readers)
        batch = batch if transform is None else transform(batch)
        # Negative numbers: the shuffle above has used [seed, pass].
        return batch if distort is None else distort(batch, tf.stack([np.int64(seed), -1 - step]))

    return (
        tf.data.Dataset.range(first_pass, passes)
        .flat_map(one_pass)
        .enumerate(first_pass * per_pass)
        .skip(first_step - first_pass * per_pass)
        .take(steps - first_step)
        .map(gather, num_parallel_calls=1, deterministic=True)
        .prefetch(2)
        .with_options(batch_options())
    )


def distorted(
    images: tf.Tensor,
    seed: tf.Tensor,
    share: float = 1.0,
    turn: float = 12.0,
    thicken: float = 0.0,
) -> tf.Tensor:
    """Rotate, stretch, shear, shift and thicken a share of the images at random.

    A rotation is at most `turn` degrees, a stretch 0.15 of the width and of the height, a shear a
    quarter of the height, a shift 0.7 pixels. Pixels from beyond the border are 0.

    Args:
        images: float32 [n, height, width, channels].
        seed: [2], for stateless random numbers.
        share: of the images to distort; the others stay unchanged.
        turn: the largest angle of rotation, degrees.
        thicken: the largest share a of a dilation or an erosion, with a random in [-a, a]:

                x + a (max of the 3 x 3 neighbours - x)    for a > 0,
                x + a (x - min of the 3 x 3 neighbours)    for a < 0.

            With it, few digits have strokes of every thickness.

    Returns:
        Images of the same shape.
    """
    n, height, width = tf.shape(images)[0], images.shape[1], images.shape[2]
    most = [math.radians(turn), 0.15, 0.15, 0.25, 0.7, 0.7, 1.0]
    angle, broader, higher, shear, right, down, which = tf.unstack(
        tf.random.stateless_uniform([7, n], seed, -1.0) * tf.constant(most)[:, tf.newaxis]
    )
    # The place in the old image of each pixel of the new image, relative to the centre.
    cos, sin = tf.cos(angle), tf.sin(angle)
    of_x, of_y = ((1 + broader) * cos, shear - sin), (sin, (1 + higher) * cos)
    x, y = (width - 1) / 2, (height - 1) / 2
    zeros = tf.zeros([n])
    rows = (
        *(*of_x, x - of_x[0] * x - of_x[1] * y + right),
        *(*of_y, y - of_y[0] * x - of_y[1] * y + down),
    )
    moved = tf.raw_ops.ImageProjectiveTransformV3(
        images=images,
        transforms=tf.stack([*rows, zeros, zeros], axis=1),
        output_shape=[height, width],
        fill_value=0.0,
        interpolation="BILINEAR",
    )
    if thicken:
        amount = tf.random.stateless_uniform([n, 1, 1, 1], tf.add(seed, 1), -thicken, thicken)
        wider = tf.nn.max_pool2d(moved, 3, 1, "SAME") - moved
        narrower = moved + tf.nn.max_pool2d(-moved, 3, 1, "SAME")
        moved += amount * tf.where(amount > 0, wider, narrower)
    return tf.where((which < 2 * share - 1)[:, tf.newaxis, tf.newaxis, tf.newaxis], moved, images)


def batch_options() -> tf.data.Options:
    """Options of a dataset of batches: workers share each batch, and the autotuner is off."""
    options = tf.data.Options()
    # The autotuner wakes up after 10, 20, 40, ... ms, and the end of an iterator waits for it: an
    # epoch, or its validation, took up to twice its time.
    options.autotune.enabled = False
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return options


def _reader(array: np.ndarray) -> Callable[[tf.Tensor], tf.Tensor]:
    """Return a function: indices -> the rows of `array` with these indices."""
    if not isinstance(array, np.memmap):
        held = tf.constant(array)
        return lambda indices: tf.gather(held, indices)

    def read(indices: tf.Tensor) -> tf.Tensor:
        rows = tf.numpy_function(lambda chosen: array[chosen], [indices], array.dtype)
        return tf.ensure_shape(rows, (None, *array.shape[1:]))

    return read

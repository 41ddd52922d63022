"""Side information as tensors: labels and numbers in their own units, and as networks use them.

    label s of C classes:  network input one-hot(s) [n, C];          output logits l: argmax l
    number s:              network input (s - mean) / scale [n, 1];  output y: y * scale + mean
    angle s of period p:   network input sqrt(2) (cos a, sin a) [n, 2], a = 2 pi s / p;
                           output y: atan2(y_1, y_0) p / (2 pi), in [0, p)

`side` is [n, attributes], labels as indices and numbers in own units, nan where a value is missing.
`mean` and `scale` are float64 [attributes], from the training data. Numbers are standardised in
float64 and then rounded to float32, because an offset may be far larger than the spread.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import tensorflow as tf

from filvm.data.side_information import Attribute, Categorical, Circular
from filvm.serving.signatures import require
from filvm.vae.elbo import batch_noise

# Of one attribute: the network input [n, width], and where the value is known, bool [n, 1].
Encoded = tuple[tf.Tensor, tf.Tensor]


def stack_tensors(
    attributes: Sequence[Attribute], values: Mapping[str, tf.Tensor], *, indices: bool
) -> tf.Tensor:
    """Labels and numbers by name, each a tensor [n] -> `side`, float64 [n, attributes].

    Missing are nan, -1 among indices and integer labels, and "" among strings.

    Args:
        attributes: in the order of the columns.
        values: labels, or indices of labels; numbers in their own units.
        indices: whether labels come as indices, as in a served model.
    """
    columns = []
    for attribute in attributes:
        column = tf.convert_to_tensor(values[attribute.name])
        nan = tf.constant(np.nan, tf.float64)
        if not isinstance(attribute, Categorical):
            columns.append(tf.cast(column, tf.float64))
        elif indices or isinstance(attribute.classes, int):
            index = tf.cast(column, tf.float64)
            columns.append(tf.where(index < 0, nan, index))
        else:
            labels = attribute.labels
            labels = tf.constant(labels if labels.dtype.kind == "U" else labels.astype(np.int64))
            strings = labels.dtype == tf.string
            column = column if strings else tf.cast(column, tf.float64)
            labels = labels if strings else tf.cast(labels, tf.float64)
            equal = tf.equal(column[:, tf.newaxis], labels)
            known = tf.reduce_any(equal, axis=1)
            missing = tf.equal(column, "") if strings else (column == -1) | tf.math.is_nan(column)
            require(
                known | missing,
                f"{attribute.name} must hold some of {attribute.labels.tolist()}, or "
                f"{repr('') if strings else -1} where missing",
            )
            columns.append(tf.where(known, tf.cast(tf.argmax(equal, axis=1), tf.float64), nan))
    return tf.stack(columns, axis=-1)


def encode_side_information(
    attributes: Sequence[Attribute], side: tf.Tensor, mean: tf.Tensor, scale: tf.Tensor
) -> list[Encoded]:
    """Own units -> network inputs.

    Args:
        attributes: in the order of the columns of `side`.
        side: [n, attributes], nan where missing.
        mean, scale: [attributes].

    Returns:
        For every attribute its network input [n, width] and where it is known, bool [n, 1]. The
        input of a missing value has no meaning: see `fill_missing`.
    """
    encoded = []
    for j, attribute in enumerate(attributes):
        missing = tf.math.is_nan(side[:, j : j + 1])
        known = tf.logical_not(missing)
        value = tf.where(missing, tf.zeros([], side.dtype), side[:, j : j + 1])
        if isinstance(attribute, Categorical):
            inputs = tf.one_hot(tf.cast(value[:, 0], tf.int32), attribute.num_classes)
        elif isinstance(attribute, Circular):
            inputs = on_circle(tf.cast(value[:, 0], tf.float64), attribute.period)
        else:
            scaled = (tf.cast(value, tf.float64) - mean[j : j + 1]) / scale[j : j + 1]
            inputs = tf.cast(scaled, tf.float32)
        encoded.append((inputs, known))
    return encoded


def on_circle(angle: tf.Tensor, period: float) -> tf.Tensor:
    """An angle, float64 [n] in its own unit -> its network input, float32 [n, 2]."""
    radians = tf.math.floormod(angle, tf.constant(period, angle.dtype)) * (2 * math.pi / period)
    circle = math.sqrt(2) * tf.stack([tf.cos(radians), tf.sin(radians)], axis=-1)
    return tf.cast(circle, tf.float32)


def from_circle(output: tf.Tensor, period: float) -> tf.Tensor:
    """A network output [n, 2] -> the angle in its own unit, float64 [n], in [0, period)."""
    output = tf.cast(output, tf.float64)
    angle = tf.atan2(output[:, 1], output[:, 0]) * (period / (2 * math.pi))
    angle = tf.where(angle < 0, angle + period, angle)
    return tf.where(angle < period, angle, tf.zeros_like(angle))  # a sum may be rounded up


def decode_side_information(
    attributes: Sequence[Attribute],
    outputs: Sequence[tf.Tensor],
    mean: tf.Tensor,
    scale: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """Network outputs -> own units.

    Args:
        attributes: in the order of `outputs`.
        outputs: for every attribute its logits [n, classes], scaled mean [n, 1], or point on the
            circle [n, 2].
        mean, scale: [attributes].

    Returns:
        The index of the most probable label, the number or the angle, float64 [n] by name.
    """
    values = {}
    for j, (attribute, output) in enumerate(zip(attributes, outputs, strict=True)):
        if isinstance(attribute, Categorical):
            values[attribute.name] = tf.cast(tf.argmax(output, axis=-1), tf.float64)
        elif isinstance(attribute, Circular):
            values[attribute.name] = from_circle(output, attribute.period)
        else:
            values[attribute.name] = tf.cast(output[:, 0], tf.float64) * scale[j] + mean[j]
    return values


def fill_missing(
    attributes: Sequence[Attribute],
    encoded: Sequence[Encoded],
    outputs: Sequence[tf.Tensor],
    seed: tf.Tensor | None = None,
) -> list[tf.Tensor]:
    """Network inputs in which q(s|z) replaces every missing value.

    A missing label is drawn from q(s|z) with `seed`, by the Gumbel trick

        argmax_k (l_k - ln(-ln u_k)),   u_k ~ U(0, 1),

    or is the most probable one without it. It is never the mean of several classes: on one axis the
    mean of a 4 and a 9 is a 6 or 7. A missing number or angle is the mean of q(s|z).

    Args:
        attributes: in the order of the other arguments.
        encoded: of `encode_side_information`.
        outputs: logits l or scaled means of the secondary recognition network. No gradient flows
            back into them, because that network learns from known values alone.
        seed: int32 [2].

    Returns:
        [n, width] for every attribute.
    """
    filled = []
    for j, (attribute, (inputs, known), output) in enumerate(
        zip(attributes, encoded, outputs, strict=True)
    ):
        if isinstance(attribute, Categorical):
            if seed is not None:
                own_seed = tf.add(seed, [0, 2**24 * (j + 1)])
                uniform = batch_noise(
                    tf.random.stateless_uniform, output, own_seed, minval=1e-7, maxval=1.0
                )
                output -= tf.math.log(-tf.math.log(uniform))
            output = tf.one_hot(tf.argmax(output, axis=-1), attribute.width)
        filled.append(tf.where(known, inputs, tf.stop_gradient(output)))
    return filled

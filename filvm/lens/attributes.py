"""Side information as tensors: labels and numbers in their own units, and as networks use them.

    label s of C classes:  network input one-hot(s) [n, C];          output logits l: argmax l
    number s:              network input (s - mean) / scale [n, 1];  output y: y * scale + mean

`side` is float32 [n, attributes] in own units, nan where a value is missing. `mean` and `scale` are
float32 [attributes], from the training data.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from filvm.data.side_information import Attribute, Categorical
from filvm.vae.base import batch_noise

# Of one attribute: the network input [n, width], and where the value is known, bool [n, 1].
Encoded = tuple[tf.Tensor, tf.Tensor]


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
        known = tf.math.is_finite(side[:, j : j + 1])
        value = tf.where(known, side[:, j : j + 1], 0.0)
        if isinstance(attribute, Categorical):
            inputs = tf.one_hot(tf.cast(value[:, 0], tf.int32), attribute.num_classes)
        else:
            inputs = (value - mean[j]) / scale[j]
        encoded.append((inputs, known))
    return encoded


def decode_side_information(
    attributes: Sequence[Attribute],
    outputs: Sequence[tf.Tensor],
    mean: tf.Tensor,
    scale: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """Network outputs -> own units.

    Args:
        attributes: in the order of `outputs`.
        outputs: for every attribute its logits [n, classes] or scaled mean [n, 1].
        mean, scale: [attributes].

    Returns:
        The most probable label, or the number, float32 [n] by name.
    """
    values = {}
    for j, (attribute, output) in enumerate(zip(attributes, outputs, strict=True)):
        if isinstance(attribute, Categorical):
            values[attribute.name] = tf.cast(tf.argmax(output, axis=-1), tf.float32)
        else:
            values[attribute.name] = output[:, 0] * scale[j] + mean[j]
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
    mean of a 4 and a 9 is a 6 or 7. A missing number is the mean of q(s|z).

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

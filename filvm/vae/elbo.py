"""The terms of the ELBO, as pure functions of tensors, and the noise of its draws.

    log p(x) >= E_q(z|x)[log p(x|z)] - KL(q(z|x) || p(z))            (Kingma and Welling 2014)

`filvm.vae.base.VAE.elbo_terms` puts them together.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

LOG_2_PI = float(np.log(2.0 * np.pi))


def gaussian_kl(z_mean: tf.Tensor, z_log_var: tf.Tensor) -> tf.Tensor:
    """KL(N(m, s^2) || N(0, 1)) = (s^2 + m^2 - 1 - ln s^2) / 2, in nats, element by element.

    Args:
        z_mean: m, any shape.
        z_log_var: ln s^2, the same shape.

    Returns:
        That shape, never negative. Source: appendix B of arXiv:1312.6114.
    """
    return 0.5 * (tf.math.expm1(z_log_var) - z_log_var + tf.square(z_mean))


def bernoulli_log_likelihood(x: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """sum_i x_i ln p_i + (1 - x_i) ln(1 - p_i), p = sigmoid(logits), over all axes but the first.

    Args:
        x: in [0, 1], [batch, ...].
        logits: [batch, ...].

    Returns:
        [batch], in nats.
    """
    cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=x, logits=logits)
    return -tf.reduce_sum(cross_entropy, axis=tf.range(1, tf.rank(x)))


def gaussian_log_likelihood(x: tf.Tensor, mean: tf.Tensor, variance: float) -> tf.Tensor:
    """sum_i -((x_i - mean_i)^2 / variance + ln(2 pi variance)) / 2, over all axes but the first.

    Args:
        x, mean: [batch, ...].
        variance: fixed, > 0.

    Returns:
        [batch], in nats.
    """
    variance = tf.cast(variance, x.dtype)
    log_density = -0.5 * (tf.square(x - mean) / variance + LOG_2_PI + tf.math.log(variance))
    return tf.reduce_sum(log_density, axis=tf.range(1, tf.rank(x)))


def batch_noise(
    draw: Callable[..., tf.Tensor], like: tf.Tensor, seed: tf.Tensor, **arguments: Any
) -> tf.Tensor:
    """Noise of the shape and type of `like` [batch, ...].

    A replica of a `tf.distribute` strategy draws the noise of the whole batch of all replicas and
    keeps the rows of its own share, so that several replicas train as one would.

    Args:
        draw: one of `tf.random.stateless_...`.
        like: a tensor.
        seed: int32 [2].
        arguments: further arguments of `draw`.
    """
    shape, context = tf.shape(like), tf.distribute.get_replica_context()
    replicas = context.num_replicas_in_sync if context else 1
    if replicas == 1:
        return draw(shape, seed, dtype=like.dtype, **arguments)
    all_rows = tf.concat([shape[:1] * replicas, shape[1:]], axis=0)
    noise = draw(all_rows, seed, dtype=like.dtype, **arguments)
    first = shape[0] * context.replica_id_in_sync_group
    return noise[first : first + shape[0]]


def sample_gaussian(z_mean: tf.Tensor, z_log_var: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """z = z_mean + exp(z_log_var / 2) * epsilon, epsilon ~ N(0, I): the reparameterisation trick.

    Args:
        z_mean, z_log_var: [batch, latent_dim].
        seed: int32 [2]. Equal seeds give equal noise on every machine.

    Returns:
        z [batch, latent_dim].
    """
    epsilon = batch_noise(tf.random.stateless_normal, z_mean, seed)
    return z_mean + tf.exp(0.5 * z_log_var) * epsilon


def collapse_sentence(kl: np.ndarray, threshold: float = 0.01) -> str:
    """Which latent dimensions have a KL below the threshold, in nats, and the KL of all.

    >>> collapse_sentence(np.array([1.5, 0.001]))
    '1 of 2 dimensions of z is not used (KL below 0.01 nats): 1; KL of each: 1.50 0.00'
    >>> collapse_sentence(np.array([1.5, 2.0]))
    'all 2 dimensions of z are used (KL at least 0.01 nats); KL of each: 1.50 2.00'
    >>> collapse_sentence(np.zeros(2))[:60]
    'the posterior has collapsed: none of the 2 dimensions of z i'
    """
    unused = np.flatnonzero(kl < threshold)
    each = "KL of each: " + " ".join(f"{value:.2f}" for value in kl)
    if not len(unused):
        return f"all {len(kl)} dimensions of z are used (KL at least {threshold:g} nats); {each}"
    if len(unused) == len(kl):
        return (
            f"the posterior has collapsed: none of the {len(kl)} dimensions of z is used (KL below "
            f"{threshold:g} nats): train with a smaller beta, or let it rise from 0; {each}"
        )
    verb = "is" if len(unused) == 1 else "are"
    return (
        f"{len(unused)} of {len(kl)} dimensions of z {verb} not used (KL below {threshold:g} "
        f"nats): {', '.join(map(str, unused))}; {each}"
    )

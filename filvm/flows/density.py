"""Fit planar flows to an unnormalised density, or to samples (sections 2.2, 4.2, 5.2).

    reverse KL:  KL(q || p) = E_q0[ log q0(z_0) - sum_k log |det df_k| - log p~(z_K) ] + log Z
    forward KL:  KL(p || q) = -E_p[ log q(x) ] + constant, through the inverse of the flow

p~ is the unnormalised density, q0 = N(mu, diag(sigma^2)) with mu and sigma trained as in section
2.3, and q the density of z_K. All attempts of one length are trained together in one compiled
computation on arrays `[D, restarts, batch]`, which uses the vector units of the processor. They
share the noise of every step; the initial parameters of each are drawn from its own seed.

With annealing, E_q[log q - beta log p~] with beta rising from 0.01 to 1, the flow first spreads
over all modes (Rezende and Mohamed 2015, arXiv:1505.05770, equation 20).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras as keras
from scipy.special import ndtri
from scipy.stats import qmc
from tqdm import tqdm

from filvm.flows.energies import LogDensity, check_log_density, log_density
from filvm.flows.planar import PlanarFlow, constrained_u, log_det_jacobian, solve_planar_root

__all__ = ["FlowFits", "fit_forward_kl", "fit_reverse_kl", "kl_to_target"]

tfb = tfp.bijectors
tfd = tfp.distributions

STEPS_PER_CALL = 250  # compiled steps between two records of the loss


class Parameters(NamedTuple):
    """Of all attempts: w and u `[restarts, K, D]`, b `[restarts, K]`, q0's `[restarts, D]`."""

    w: tf.Tensor
    u: tf.Tensor
    b: tf.Tensor
    base_mean: tf.Tensor
    base_log_scale: tf.Tensor


@dataclass(frozen=True)
class FlowFits:
    """All attempts to fit one target with flows of one length.

    Attributes:
        parameters: NumPy arrays.
        seeds: seed of each attempt, `[restarts]`.
        steps: number of steps at each record, `[records]`.
        history: mean objective since the previous record, `[records, restarts]`, in nats, without
            the normalising constant of the target.
    """

    parameters: Parameters
    seeds: np.ndarray
    steps: np.ndarray
    history: np.ndarray

    @property
    def loss(self) -> np.ndarray:
        """Mean objective over the last `STEPS_PER_CALL` steps, `[restarts]`."""
        return self.history[-1]

    @property
    def finite(self) -> np.ndarray:
        """Whether the last objective and all parameters are finite, bool `[restarts]`."""
        numbers = [values.reshape(len(self.seeds), -1) for values in self.parameters]
        return np.isfinite(np.concatenate([*numbers, self.loss[:, None]], axis=1)).all(axis=1)

    @property
    def best(self) -> int:
        """The attempt with the lowest objective among the finite ones."""
        if not self.finite.any():
            raise ValueError("no attempt is finite; expected one: decrease the learning rate")
        return int(np.argmin(np.where(self.finite, self.loss, np.inf)))

    def flow(self, restart: int) -> tfb.Chain:
        """Return the bijector z_0 -> z_K of one attempt."""
        w, u, b, _, _ = (values[restart] for values in self.parameters)
        layers = [PlanarFlow(*layer) for layer in zip(w, u, b, strict=True)]
        return tfb.Chain(layers[::-1])

    def distribution(self, restart: int) -> tfd.TransformedDistribution:
        """Return q of one attempt: q0 transformed by the flow."""
        mean = self.parameters.base_mean[restart]
        scale = np.exp(self.parameters.base_log_scale[restart])
        return tfd.TransformedDistribution(
            tfd.MultivariateNormalDiag(mean, scale), self.flow(restart)
        )

    def log_prob(self, points: np.ndarray, restart: int | None = None) -> np.ndarray:
        """Return log q at points `[n, D]`: `[restarts, n]`, or `[n]` for one attempt."""
        chosen = slice(None) if restart is None else slice(restart, restart + 1)
        parameters = Parameters(*(values[chosen] for values in self.parameters))
        columns = tf.constant(points.T[:, np.newaxis, :], self.parameters.w.dtype)
        values = _log_prob(columns, parameters).numpy()
        return values if restart is None else values[0]

    def table(self, **columns: np.ndarray) -> pd.DataFrame:
        """Return one row per attempt: seed, loss, the given columns, and whether it is finite."""
        return pd.DataFrame(
            {"seed": self.seeds, "loss": self.loss, **columns, "finite": self.finite}
        )


def fit_reverse_kl(
    target: str | LogDensity,
    length: int,
    *,
    dimensions: int = 2,
    restarts: int = 20,
    steps: int = 4000,
    batch_size: int = 256,
    learning_rate: float = 0.02,
    annealing_steps: int = 2000,
    seed: int = 0,
    show_progress: bool = False,
) -> FlowFits:
    """Minimise KL(q || p) to an unnormalised density, in several attempts at once.

    Args:
        target: a name of `filvm.flows.energies.ENERGIES`, or an unnormalised log-density: a
            function of points `[..., D]` that returns `[...]`, in TensorFlow operations.
        length: K, the number of flows.
        dimensions: D.
        restarts: number of attempts; attempt r has seed + r.
        steps: optimiser steps (Adam, cosine decay to 0, gradients clipped per attempt).
        batch_size: base samples per step.
        learning_rate: learning rate of the first step.
        annealing_steps: beta = min(1, 0.01 + step / annealing_steps); 0 switches annealing off.
        seed: seed of the first attempt, and of the base samples.
        show_progress: whether to show a progress bar with the lowest loss.

    Raises:
        ValueError, TypeError: a setting is not positive, or the target is wrong.
    """
    _check_positive(
        length=length, dimensions=dimensions, restarts=restarts, steps=steps, batch_size=batch_size
    )
    function = log_density(target)
    check_log_density(function, dimensions)

    def objective(parameters: Parameters, step: tf.Tensor) -> tf.Tensor:
        noise = tf.random.stateless_normal([dimensions, 1, batch_size], seed=[seed, step])
        beta = 1.0
        if annealing_steps:
            beta = tf.minimum(1.0, 0.01 + tf.cast(step, tf.float32) / annealing_steps)
        return tf.reduce_mean(_reverse_kl_terms(function, noise, parameters, beta), axis=-1)

    seeds = np.arange(seed, seed + restarts)
    start = _starting_points(seeds, length, dimensions)
    return _fit(objective, start, seeds, steps, learning_rate, show_progress)


def fit_forward_kl(
    samples: np.ndarray,
    length: int,
    *,
    restarts: int = 20,
    steps: int = 4000,
    batch_size: int = 256,
    learning_rate: float = 0.02,
    seed: int = 0,
    show_progress: bool = False,
) -> FlowFits:
    """Maximise the likelihood of samples through the inverse of the flow, in several attempts.

    Args:
        samples: `[n, D]`, preferably with mean 0 and standard deviation 1.
        length, restarts, steps, batch_size, learning_rate, seed, show_progress: as for
            `fit_reverse_kl`.

    Raises:
        ValueError: a setting is not positive, or the samples are not a finite matrix.
    """
    _check_positive(length=length, restarts=restarts, steps=steps, batch_size=batch_size)
    samples = np.asarray(samples, dtype=np.float32)
    if samples.ndim != 2 or not len(samples) or not np.isfinite(samples).all():
        raise ValueError(
            f"samples have shape {samples.shape} or are not finite; expected finite numbers [n, D]"
        )
    data = tf.constant(samples)

    def objective(parameters: Parameters, step: tf.Tensor) -> tf.Tensor:
        rows = tf.random.stateless_uniform(
            [batch_size], seed=[seed, step], maxval=len(samples), dtype=tf.int32
        )
        batch = tf.transpose(tf.gather(data, rows))[:, tf.newaxis, :]
        return -tf.reduce_mean(_log_prob(batch, parameters), axis=-1)

    seeds = np.arange(seed, seed + restarts)
    start = _starting_points(seeds, length, samples.shape[1])
    return _fit(objective, start, seeds, steps, learning_rate, show_progress)


def kl_to_target(
    fits: FlowFits, target: str | LogDensity, log_z: float, num_points: int = 2**20
) -> np.ndarray:
    """Return KL(q || p) of every attempt in nats, by quadrature over q0, `[restarts]`.

    The points are a Sobol sequence mapped by the normal quantile function, because a regular grid
    misses the thin strips into which steep layers divide q0. The error is below 1e-4.

    Args:
        fits: the attempts.
        target: the target of `fit_reverse_kl`.
        log_z: the `log_normaliser` of the target.
        num_points: a power of two.
    """
    function = log_density(target)
    dimensions = fits.parameters.w.shape[-1]
    uniform = qmc.Sobol(dimensions, scramble=False).random(num_points) + 0.5 / num_points
    noise = tf.constant(ndtri(uniform).T[:, np.newaxis, :], tf.float32)

    @tf.function(jit_compile=True)
    def expectation(*parameters: tf.Tensor) -> tf.Tensor:
        attempt = Parameters(*(value[tf.newaxis] for value in parameters))
        terms = _reverse_kl_terms(function, noise, attempt, 1.0)
        return tf.reduce_mean(tf.cast(terms, tf.float64))

    attempts = zip(*fits.parameters, strict=True)
    return np.array([expectation(*attempt).numpy() for attempt in attempts]) + log_z


def _reverse_kl_terms(
    function: LogDensity, noise: tf.Tensor, parameters: Parameters, beta: tf.Tensor | float
) -> tf.Tensor:
    """Return log q0(z_0) - sum_k log |det df_k| - beta log p~(z_K), `[restarts, batch]`."""
    mean, log_scale = _columns(parameters.base_mean), _columns(parameters.base_log_scale)
    z_k, log_det = _forward(mean + tf.exp(log_scale) * noise, parameters)
    log_q0 = _standard_normal_log_prob(noise) - tf.reduce_sum(log_scale, axis=0)
    return log_q0 - log_det - beta * function(tf.transpose(z_k, [1, 2, 0]))


def _forward(z: tf.Tensor, parameters: Parameters) -> tuple[tf.Tensor, tf.Tensor]:
    """Map z_0 `[D, restarts, batch]` to z_K and the sum of log-determinants."""
    u_hat, p = constrained_u(parameters.w, parameters.u)
    w, u_hat, b, p = _layers_first(parameters.w, u_hat, parameters.b, p)
    log_det = tf.zeros_like(z[0])
    for k in tf.range(w.shape[0]):  # a loop of the graph: one layer is compiled, not all of them
        tf.autograph.experimental.set_loop_options(maximum_iterations=w.shape[0])
        a = tf.reduce_sum(w[k] * z, axis=0) + b[k]
        z = z + u_hat[k] * tf.tanh(a)
        log_det = log_det + log_det_jacobian(a, p[k])
    return z, log_det


def _log_prob(x: tf.Tensor, parameters: Parameters) -> tf.Tensor:
    """Return log q(x) `[restarts, n]` for x `[D, restarts or 1, n]`, computed in float64."""
    dtype = x.dtype
    parameters = Parameters(*(tf.cast(value, tf.float64) for value in parameters))
    u_hat, p = constrained_u(parameters.w, parameters.u)
    w, u_hat, b, p = _layers_first(parameters.w, u_hat, parameters.b, p)
    z = tf.cast(x, tf.float64) + tf.zeros_like(b[0])
    log_det = tf.zeros_like(z[0])
    for k in tf.range(w.shape[0] - 1, -1, -1):
        tf.autograph.experimental.set_loop_options(maximum_iterations=w.shape[0])
        a = solve_planar_root(tf.reduce_sum(w[k] * z, axis=0) + b[k], p[k])
        z = z - u_hat[k] * tf.tanh(a)
        log_det = log_det + log_det_jacobian(a, p[k])
    mean, log_scale = _columns(parameters.base_mean), _columns(parameters.base_log_scale)
    log_q0 = _standard_normal_log_prob((z - mean) * tf.exp(-log_scale))
    return tf.cast(log_q0 - tf.reduce_sum(log_scale, axis=0) - log_det, dtype)


def _columns(values: tf.Tensor) -> tf.Tensor:
    """Transpose `[restarts, D]` to `[D, restarts, 1]`."""
    return tf.transpose(values)[..., tf.newaxis]


def _layers_first(*values: tf.Tensor) -> list[tf.Tensor]:
    """Transpose `[restarts, K, D]` to `[K, D, restarts, 1]`, and alike without D."""
    orders = {3: [1, 2, 0], 2: [1, 0]}
    return [tf.transpose(value, orders[value.shape.rank])[..., tf.newaxis] for value in values]


def _standard_normal_log_prob(z: tf.Tensor) -> tf.Tensor:
    dimensions = z.shape[0]
    return -0.5 * (tf.reduce_sum(tf.square(z), axis=0) + dimensions * np.log(2 * np.pi))


def _starting_points(seeds: Sequence[int], length: int, dimensions: int) -> Parameters:
    """Draw w, u and b from N(0, 1), with one generator per attempt; q0 = N(0, I)."""
    size = length * dimensions
    draws = np.stack([np.random.default_rng(s).normal(size=2 * size + length) for s in seeds])
    w, u, b = np.split(draws.astype(np.float32), [size, 2 * size], axis=1)
    shape = (len(seeds), length, dimensions)
    zeros = np.zeros([len(seeds), dimensions], np.float32)
    return Parameters(w.reshape(shape), u.reshape(shape), b, zeros, zeros)


def _fit(
    objective: Callable[[Parameters, tf.Tensor], tf.Tensor],
    start: Parameters,
    seeds: np.ndarray,
    steps: int,
    learning_rate: float,
    show_progress: bool,
) -> FlowFits:
    """Run Adam on the sum of all objectives, which have no parameters in common."""
    variables = Parameters(*(tf.Variable(value) for value in start))
    schedule = keras.optimizers.schedules.CosineDecay(learning_rate, steps)
    optimizer = keras.optimizers.Adam(schedule, jit_compile=False)
    optimizer.build(variables)

    @tf.function(jit_compile=steps >= STEPS_PER_CALL)  # fewer steps take less than to compile them
    def run(first_step: tf.Tensor, count: int) -> tf.Tensor:
        total = tf.zeros([len(seeds)])
        for i in tf.range(count):  # a constant length, so that XLA compiles once
            with tf.GradientTape() as tape:
                losses = objective(variables, first_step + i)
            gradients = tape.gradient(losses, variables)
            optimizer.apply_gradients(zip(_clip(gradients), variables, strict=True))
            total += losses
        return total / count

    history = []
    with tqdm(total=steps, unit="step", disable=not show_progress) as progress:
        for first_step in range(0, steps, STEPS_PER_CALL):
            count = min(STEPS_PER_CALL, steps - first_step)
            history.append(run(tf.constant(first_step), count).numpy())
            progress.update(count)
            progress.set_postfix(best_loss=f"{np.min(history[-1]):.4f}")
    trained = Parameters(*(variable.numpy() for variable in variables))
    records = np.minimum(np.arange(1, len(history) + 1) * STEPS_PER_CALL, steps)
    return FlowFits(parameters=trained, seeds=seeds, steps=records, history=np.stack(history))


def _clip(gradients: Sequence[tf.Tensor], largest_norm: float = 10.0) -> list[tf.Tensor]:
    """Scale the gradient of each attempt (first axis) to a norm of at most `largest_norm`."""
    flat = [tf.reshape(gradient, [gradient.shape[0], -1]) for gradient in gradients]
    norm = tf.norm(tf.concat(flat, axis=1), axis=1, keepdims=True)
    scale = largest_norm / tf.maximum(norm, largest_norm)
    return [
        tf.reshape(values * scale, gradient.shape)
        for values, gradient in zip(flat, gradients, strict=True)
    ]


def _check_positive(**settings: int) -> None:
    for name, value in settings.items():
        if value < 1:
            raise ValueError(f"{name} is {value}; expected at least 1")

"""Equation (8) of the report, the objective of the lens models, as pure functions of tensors.

    beta log p(z_K) + log p(z|z_K) + sum_j lambda_j log p(s_j|z_K)
        - beta log q0(z_0) + beta sum_k log|det J_k(z_k)|,        z_0 ~ q0,  z* = z_K

The five terms have the numbers of the report's list below equation (6). lambda_j is 1 in the
report; here every attribute has a weight. Term 2 is `filvm.vae.elbo.gaussian_log_likelihood` with
the generative network's mean and a fixed variance: the report's negative squared error, up to a
factor. The terms are [batch], in nats. Below them are the losses that only some lenses use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import tensorflow as tf

from filvm.data.side_information import Attribute, Categorical, num_owned, owned_slices
from filvm.lens.attributes import Encoded
from filvm.vae.elbo import LOG_2_PI
from filvm.vae.model import batch_mean


def standard_normal_log_prob(z_star: tf.Tensor) -> tf.Tensor:
    """Term 1, log p(z_K): the unit Gaussian prior at z_star [batch, d]."""
    return -0.5 * tf.reduce_sum(tf.square(z_star) + LOG_2_PI, axis=-1)


def categorical_log_likelihood(probabilities: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Term 3 for a label: sum_k q_k log softmax(logits)_k, both tensors [batch, classes].

    q is one-hot for one label, or any distribution over the labels.
    """
    return -tf.nn.softmax_cross_entropy_with_logits(labels=probabilities, logits=logits)


def continuous_log_likelihood(value: tf.Tensor, mean: tf.Tensor) -> tf.Tensor:
    """Term 3 for a number or an angle: a Gaussian of variance 1 in every column.

    Both tensors are network inputs: [batch, 1] for a number, [batch, 2] for an angle.
    """
    return -0.5 * tf.reduce_sum(tf.square(value - mean) + LOG_2_PI, axis=-1)


def attribute_log_likelihood(
    attribute: Attribute, encoded: tf.Tensor, output: tf.Tensor
) -> tf.Tensor:
    """Term 3 for any attribute, log p(s_j|.), [batch].

    Args:
        attribute: a label, a number or an angle.
        encoded: s_j as a network input, [batch, width]: see `filvm.lens.attributes`.
        output: logits [batch, classes], or mean [batch, width] of the network input.
    """
    if isinstance(attribute, Categorical):
        return categorical_log_likelihood(encoded, output)
    return continuous_log_likelihood(encoded, output)


def base_log_prob(z_0: tf.Tensor, z_mean: tf.Tensor, z_log_var: tf.Tensor) -> tf.Tensor:
    """Term 4, log q0(z_0), q0 = N(z_mean, diag exp z_log_var); all tensors [batch, d]."""
    return -0.5 * tf.reduce_sum(
        tf.square(z_0 - z_mean) * tf.exp(-z_log_var) + z_log_var + LOG_2_PI, axis=-1
    )


def objective(
    terms: Mapping[str, tf.Tensor], beta: float, attribute_weights: Mapping[str, float]
) -> tf.Tensor:
    """Equation (8), to be maximised, from the terms by name.

    Args:
        terms: `log_prior` (1), `log_likelihood_z` (2), `log_likelihood_<key>` for every attribute
            (3), `log_q0` (4) and `log_det` (5), each [batch].
        beta: weight of the KL part, 1 - 4 + 5.
        attribute_weights: key of the attribute -> lambda_j.
    """
    negative_kl = terms["log_prior"] - terms["log_q0"] + terms["log_det"]
    side = [weight * terms[f"log_likelihood_{key}"] for key, weight in attribute_weights.items()]
    return beta * negative_kl + terms["log_likelihood_z"] + tf.add_n(side)


def known_losses(
    attributes: Sequence[Attribute],
    encoded: Sequence[Encoded],
    outputs: Sequence[tf.Tensor | None],
    prefix: str,
    weights: tf.Tensor | None = None,
) -> dict[str, tf.Tensor]:
    """Mean of -log p(s_j|.) over the samples of the batch with a known s_j, 0 if there are none.

    Args:
        attributes: in the order of the other arguments.
        encoded: network input [batch, width] and where it is known, bool [batch, 1].
        outputs: logits [batch, classes] or scaled means [batch, 1]; None leaves an attribute out.
        prefix: of the names.
        weights: of the samples, [batch]; all 1 by default.

    Returns:
        Scalars in nats, named <prefix>_<key of the attribute>.
    """
    losses = {}
    for attribute, (inputs, known), output in zip(attributes, encoded, outputs, strict=True):
        if output is None:
            continue
        weight = tf.cast(known[:, 0], tf.float32)
        weight = weight if weights is None else weight * weights
        log_likelihood = attribute_log_likelihood(attribute, inputs, output)
        losses[f"{prefix}_{attribute.key}"] = -tf.math.divide_no_nan(
            tf.reduce_sum(weight * log_likelihood), tf.reduce_sum(weight)
        )
    return losses


def swap_attributes(z_star: tf.Tensor, attributes: Sequence[Attribute]) -> tf.Tensor:
    """z_star [batch, d] with the dimensions of each attribute taken from another sample.

    Those of attribute j come from the row j + 1 before. Batches are shuffled, so that row is a
    random sample, and the attributes are swapped independently of each other.
    """
    owned = owned_slices(attributes)
    columns = [tf.roll(z_star[:, own], j + 1, axis=0) for j, own in enumerate(owned)]
    return tf.concat([*columns, z_star[:, num_owned(attributes) :]], axis=1)


def swap_losses(
    attributes: Sequence[Attribute],
    encoded: Sequence[tf.Tensor],
    outputs: Sequence[tf.Tensor],
    weights: tf.Tensor | None = None,
) -> dict[str, tf.Tensor]:
    """Mean of -log q(s_j'|z'), the swap consistency of every attribute.

    z' is generated from z* with z*_j' in place of z*_j (`swap_attributes`), and s_j' belongs to
    the sample of z*_j'.

    Args:
        attributes: in the order of the other arguments.
        encoded: s as network inputs, before the swap: [batch, width] each.
        outputs: logits or scaled means of the secondary recognition network for z'.
        weights: of the samples, [batch]. z' has the smallest weight of the samples it is made of.

    Returns:
        Scalars in nats, named swap_<key of the attribute>.
    """
    if weights is not None:
        rolled = [tf.roll(weights, shift, axis=0) for shift in range(len(attributes) + 1)]
        weights = tf.reduce_min(rolled, axis=0)
    return {
        f"swap_{attribute.key}": -batch_mean(
            attribute_log_likelihood(attribute, tf.roll(inputs, j + 1, axis=0), output), weights
        )
        for j, (attribute, inputs, output) in enumerate(
            zip(attributes, encoded, outputs, strict=True)
        )
    }


def reverse_gradient(x: tf.Tensor, weight: float) -> tf.Tensor:
    """x, with a gradient of -`weight` times that of the result.

    What minimises a loss of the result behind it maximises that loss before it: Ganin et al. 2016,
    arXiv:1505.07818, section 4.
    """
    return tf.stop_gradient((1.0 + weight) * x) - weight * x


def shares(weights: tf.Tensor) -> tf.Tensor:
    """w_i / sum_j w_j of weights [n] as a column [n, 1]; 0 if all are 0."""
    return tf.math.divide_no_nan(weights, tf.reduce_sum(weights))[:, tf.newaxis]


def aggregate_mismatch(z_star: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
    """KL(N(m, S) || N(0, I)) in nats, a scalar, with the mean m and covariance S of z_star [n, d].

        1/2 (tr S + |m|^2 - d - log det S)

    It is 0 where the first two moments of the aggregate posterior are those of the prior, from
    which `sample` draws. S is shrunk towards I, to (n S + d I) / (n + d), because the covariance of
    few samples is singular. `weights` [n] are those of the samples; n is then their effective
    number, (sum w)^2 / sum w^2.
    """
    d = float(z_star.shape[1])
    share = shares(tf.ones_like(z_star[:, 0]) if weights is None else weights)
    n = tf.math.divide_no_nan(1.0, tf.reduce_sum(tf.square(share)))
    mean = tf.reduce_sum(share * z_star, axis=0)
    centred = z_star - mean
    covariance = tf.matmul(centred, share * centred, transpose_a=True)
    covariance = (n * covariance + d * tf.eye(z_star.shape[1])) / (n + d)
    excess = tf.linalg.trace(covariance) - d - tf.linalg.logdet(covariance)
    return 0.5 * (excess + tf.reduce_sum(tf.square(mean)))


def spread(x: tf.Tensor, included: tf.Tensor | None = None) -> tf.Tensor:
    """Standard deviation of each column of x [..., n, d]; its gradient is 0 for a constant column.

    `included` [n] is 1 for the rows that count and 0 for the others.
    """
    if included is None:
        variance = tf.math.reduce_variance(x, axis=-2)
    else:
        share = shares(included)
        mean = tf.reduce_sum(share * x, axis=-2, keepdims=True)
        variance = tf.reduce_sum(share * tf.square(x - mean), axis=-2)
    return tf.sqrt(tf.maximum(variance, 1e-12))


def gaussian_kernel(x: tf.Tensor, widths: Sequence[float] = (0.7, 1.5, 3.0)) -> tf.Tensor:
    """exp(-|x_i - x_j|^2 / (2 width^2)), averaged over the widths: [..., n, d] -> [..., n, n].

    |x_i - x_j|^2 = |x_i|^2 + |x_j|^2 - 2 x_i.x_j is exact enough for columns with a standard
    deviation near 1, and needs no tensor [n, n, d].
    """
    products = tf.matmul(x, x, transpose_b=True)
    squares = tf.linalg.diag_part(products)
    squared = tf.nn.relu(squares[..., :, None] + squares[..., None, :] - 2.0 * products)
    return tf.add_n([tf.exp(squared / (-2.0 * width**2)) for width in widths]) / len(widths)


def dependence(k_x: tf.Tensor, k_y: tf.Tensor, included: tf.Tensor | None = None) -> tf.Tensor:
    """Statistical dependence of two variables x and y, from their kernel matrices [..., n, n].

        HSIC(x, y) / sqrt(HSIC(x, x) HSIC(y, y))

    with the unbiased estimate of the Hilbert-Schmidt independence criterion (Song et al. 2007,
    arXiv:0704.2668, equation 5): 0 on average for independent variables at any n, and 1 for a
    variable and itself. No gradient flows through the denominator. Returns [...], 0 for fewer than
    4 samples. `included` [n] is 1 for the samples that count and 0 for the others.
    """
    count = tf.cast(tf.shape(k_x)[-1], k_x.dtype) if included is None else tf.reduce_sum(included)
    enough = count >= 4
    n = tf.where(enough, count, 4.0)

    def hsic(k: tf.Tensor, k_sums: tf.Tensor, other: tf.Tensor, sums: tf.Tensor) -> tf.Tensor:
        total = (
            tf.reduce_sum(k * other, axis=[-2, -1])
            + tf.reduce_sum(k_sums, axis=-1)
            * tf.reduce_sum(sums, axis=-1)
            / ((n - 1.0) * (n - 2.0))
            - 2.0 * tf.reduce_sum(k_sums * sums, axis=-1) / (n - 2.0)
        )
        return total / (n * (n - 3.0))

    without_diagonal = 1.0 - tf.eye(tf.shape(k_x)[-1], dtype=k_x.dtype)
    if included is not None:
        without_diagonal *= included[:, tf.newaxis] * included
    k_x, k_y = k_x * without_diagonal, k_y * without_diagonal
    x = k_x, tf.reduce_sum(k_x, axis=-1)
    y = k_y, tf.reduce_sum(k_y, axis=-1)
    own_x, own_y = (tf.maximum(tf.stop_gradient(hsic(*one, *one)), 1e-3) for one in (x, y))
    return tf.where(enough, hsic(*x, *y) / tf.sqrt(own_x * own_y), 0.0)


def free_dependence(
    attributes: Sequence[Attribute],
    free: tf.Tensor,
    encoded: Sequence[tf.Tensor],
    weights: tf.Tensor | None = None,
) -> tf.Tensor:
    """`dependence` of each attribute and the dimensions that no attribute owns, summed.

    The kernel of a label is 1 for two samples of one label and 0 otherwise; that of a number or an
    angle is Gaussian. The free dimensions are divided by their standard deviations, because a
    dimension that is hardly used can still rank samples by an attribute.

    Args:
        attributes: in the order of `encoded`.
        free: these dimensions of one or several z* of every sample, [codes, batch, free], over
            which the result is summed; finite. The first 256 samples count, because the cost is
            quadratic.
        encoded: s as network inputs, [batch, width] each.
        weights: of the samples, [batch]. Samples with a weight > 0 count, and all the same.

    Returns:
        A scalar.
    """
    free = free[:, :256]
    included = None if weights is None else tf.cast(weights[:256] > 0, free.dtype)
    deviations = spread(free, included)[:, tf.newaxis]
    free_kernels = gaussian_kernel(free / (deviations + 1e-3))
    kernels = [
        tf.matmul(inputs[:256], inputs[:256], transpose_b=True)
        if isinstance(attribute, Categorical)
        else gaussian_kernel(inputs[:256], [1.0])
        for attribute, inputs in zip(attributes, encoded, strict=True)
    ]
    return tf.reduce_sum(dependence(free_kernels[:, tf.newaxis], tf.stack(kernels), included))

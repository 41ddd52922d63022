"""q(z*|z, s), the posterior of ILVM and FILVM (section 2.3 of the report)."""

from __future__ import annotations

from dataclasses import dataclass

import tensorflow as tf

from filvm.flows.posterior import PlanarFlows
from filvm.lens.objective import base_log_prob
from filvm.vae.elbo import sample_gaussian


@dataclass(frozen=True)
class Posterior:
    """q(z*|z, s), one distribution per row of the batch: a Gaussian through K planar flows.

        z_0 ~ q0 = N(mean, diag exp log_var),   z* = T(z_0),   T = T_K o ... o T_1
        log q(z*|z, s) = log q0(z_0) - log|det dT/dz_0|

    Attributes:
        flows: T, the same layer for every sample; the parameters are the sample's own.
        mean, log_var: of q0, [n, d].
        w, u: parameters of the flows, [n, K * d].
        b: [n, K].
    """

    flows: PlanarFlows
    mean: tf.Tensor
    log_var: tf.Tensor
    w: tf.Tensor
    u: tf.Tensor
    b: tf.Tensor

    def center(self) -> tf.Tensor:
        """T(mean), [n, d]."""
        return self.flows(self.mean, self.w, self.u, self.b)[0]

    def sample(self, seed: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """A draw z* [n, d], its log q0(z_0) [n] and its log|det dT/dz_0| [n]."""
        z_0 = sample_gaussian(self.mean, self.log_var, seed)
        z_star, log_det = self.flows(z_0, self.w, self.u, self.b)
        return z_star, base_log_prob(z_0, self.mean, self.log_var), log_det

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

    def sample(self, seed: tf.Tensor) -> tf.Tensor:
        """A draw z* [n, d]."""
        z_0 = sample_gaussian(self.mean, self.log_var, seed)
        return self.flows(z_0, self.w, self.u, self.b)[0]

    def terms(self, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """A draw and what equation (8) needs of it; the flows run once for it and the centre.

        Returns:
            `z_star` and `center` [n, d], `log_q0` = log q0(z_0) and `log_det` = log|det dT/dz_0|
            of the draw, [n].
        """
        z_0 = sample_gaussian(self.mean, self.log_var, seed)
        codes, log_dets = self.flows(tf.stack([z_0, self.mean]), self.w, self.u, self.b)
        z_star, center = tf.unstack(codes)
        return {
            "z_star": z_star,
            "center": center,
            "log_q0": base_log_prob(z_0, self.mean, self.log_var),
            "log_det": log_dets[0],
        }

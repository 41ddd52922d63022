"""Reconstruction errors and KL of a VAE, and the error of PCA for comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.decomposition import PCA

from filvm.data import to_float
from filvm.vae.elbo import gaussian_kl

if TYPE_CHECKING:
    from filvm.vae import VAE

CHUNK = 10_000  # images converted to floats at a time


def squared_errors(x: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
    """Return the mean squared error of each sample: [n, ...] -> [n], in squared units of x."""
    difference = (x - reconstruction).reshape(len(x), -1)
    return np.einsum("ij,ij->i", difference, difference) / difference.shape[1]


def reconstruction_report(vae: VAE, images: np.ndarray, *, seed: int = 0) -> dict[str, object]:
    """Measure a VAE on images; at most `CHUNK` of them are floats at a time.

    Args:
        vae: the model.
        images: uint8 [n, height, width], which may be a memory map.
        seed: seed of the draws from q(z|x).

    Returns:
        `mse` (with z = z_mean) and `mse_sampled` (with one draw from q(z|x)) per pixel, and `kl`
        and `kl_per_dimension` in nats.
    """
    rng = np.random.default_rng(seed)
    sums = np.zeros(2 + vae.latent_dim)
    for start in range(0, len(images), CHUNK):
        x = to_float(images[start : start + CHUNK])
        z_mean, z_log_var = vae.encode(x)
        noise = np.exp(0.5 * z_log_var) * rng.standard_normal(z_mean.shape, np.float32)
        sums[0] += squared_errors(x, vae.decode(z_mean)).sum()
        sums[1] += squared_errors(x, vae.decode(z_mean + noise)).sum()
        sums[2:] += gaussian_kl(z_mean, z_log_var).numpy().sum(axis=0)
    mse, mse_sampled, *kl = (sums / len(images)).tolist()
    return {"mse": mse, "mse_sampled": mse_sampled, "kl": sum(kl), "kl_per_dimension": kl}


def pca_mse(train: np.ndarray, test: np.ndarray, components: int) -> float:
    """Return the mean squared error per pixel, on `test`, of PCA fitted on `train`.

    On `train`, no linear code of this size has a smaller error; a VAE with as many latent
    dimensions is compared with it. Uses scikit-learn's PCA with the randomised solver.

    Args:
        train: uint8 [n, height, width], converted to floats in [0, 1].
        test: the same.
        components: number of components.
    """
    train, test = (to_float(images).reshape(len(images), -1) for images in (train, test))
    pca = PCA(components, svd_solver="randomized", random_state=0).fit(train)
    return float(squared_errors(test, pca.inverse_transform(pca.transform(test))).mean())

"""How much of the data a VAE keeps: mean squared errors, KL, and what PCA would keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from filvm.data import to_float

if TYPE_CHECKING:
    from filvm.vae import VAE

CHUNK = 10_000  # images that are floats at one time


def squared_errors(x: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
    """Mean squared error of each sample: arrays [n, ...] -> [n], in squared units of x."""
    difference = (x - reconstruction).reshape(len(x), -1)
    return np.einsum("ij,ij->i", difference, difference) / difference.shape[1]


def reconstruction_report(vae: VAE, images: np.ndarray, *, seed: int = 0) -> dict[str, object]:
    """Test-time figures of a VAE on uint8 images [n, height, width], which may be a memory map.

    Returns `mse` (through z_mean), `mse_sampled` (through one draw from q(z|x)), both per pixel,
    and the KL term in nats, in all and for each dimension. Holds `CHUNK` float images at a time.
    """
    from filvm.vae.base import gaussian_kl

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
    """Mean squared error per pixel of PCA with `components` directions, fitted on train.

    Both are uint8 images [n, height, width], measured as floats in [0, 1].
    The best any linear code of that size can do on `train` (scikit-learn's PCA, randomised
    solver); the anchor for a VAE with as many latent dimensions.
    """
    from sklearn.decomposition import PCA

    train, test = (to_float(images).reshape(len(images), -1) for images in (train, test))
    pca = PCA(components, svd_solver="randomized", random_state=0).fit(train)
    return float(squared_errors(test, pca.inverse_transform(pca.transform(test))).mean())

"""How much of the data a VAE keeps: mean squared errors, KL, and what PCA would keep."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from filvm.models import VAE


def squared_errors(x: np.ndarray, reconstruction: np.ndarray) -> np.ndarray:
    """Mean squared error of each sample: arrays [n, ...] -> [n], in squared units of x."""
    difference = (x - reconstruction).reshape(len(x), -1)
    return np.einsum("ij,ij->i", difference, difference) / difference.shape[1]


def reconstruction_report(vae: VAE, x: np.ndarray, *, seed: int = 0) -> dict[str, object]:
    """Test-time figures of a VAE on observations x.

    Returns `mse` (through z_mean), `mse_sampled` (through one draw from q(z|x)), both per pixel,
    and the KL term in nats, in all and for each dimension.
    """
    kl = vae.kl_per_dimension(x)
    return {
        "mse": float(squared_errors(x, vae.reconstruct(x)).mean()),
        "mse_sampled": float(squared_errors(x, vae.reconstruct(x, sampled=True, seed=seed)).mean()),
        "kl": float(kl.sum()),
        "kl_per_dimension": [float(value) for value in kl],
    }


def pca_mse(train: np.ndarray, test: np.ndarray, components: int) -> float:
    """Mean squared error per pixel of PCA with `components` directions, fitted on train.

    The best any linear code of that size can do on `train` (scikit-learn's PCA, randomised
    solver); the anchor for a VAE with as many latent dimensions.
    """
    from sklearn.decomposition import PCA

    train, test = train.reshape(len(train), -1), test.reshape(len(test), -1)
    pca = PCA(components, svd_solver="randomized", random_state=0).fit(train)
    return float(squared_errors(test, pca.inverse_transform(pca.transform(test))).mean())

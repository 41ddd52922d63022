"""Correlation of every dimension of a code with a continuous factor; 0 if either is constant."""

from collections.abc import Mapping

import numpy as np
from scipy.stats import rankdata

from filvm.analysis.factors import checked, varying


def spearman(codes: np.ndarray, factors: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the signed rank correlation of every dimension with every continuous factor, [d].

    >>> z_star = np.array([[1.0, 5.0], [2.0, 4.0], [3.0, 9.0]])
    >>> spearman(z_star, {"thickness": np.array([2.1, 2.2, 4.0])})
    {'thickness': array([1. , 0.5])}
    """
    codes, known_factors = checked(codes, factors)
    return {
        factor.name: rank_correlation(codes[factor.known], factor.values)
        for factor in known_factors
        if factor.ordered
    }


def rank_correlation(codes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return Spearman's rho of codes [n, d] with values [n]: the correlation of ranks, [d]."""
    if len(values) < 2:
        return np.zeros(codes.shape[1])
    return linear_correlation(rankdata(codes, axis=0), rankdata(values))


def linear_correlation(codes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Return Pearson's r of codes [n, d] with values [n]: [d]; r^2 is the R^2 of a linear fit."""
    correlations = np.zeros(codes.shape[1])
    if len(values) < 2 or not varying(values[:, None])[0]:
        return correlations
    alive = varying(codes)
    centred = codes[:, alive] - codes[:, alive].mean(axis=0)
    centred /= np.linalg.norm(centred, axis=0)
    offset = values - values.mean()
    correlations[alive] = np.clip(offset / np.linalg.norm(offset) @ centred, -1.0, 1.0)
    return correlations

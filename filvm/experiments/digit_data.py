"""Digits with their attributes, as tasks use them: MNIST, MNIST-R, and six measures of shape."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from filvm.runs.workspace import Workspace


@dataclass(frozen=True)
class Digits:
    """Images uint8 [n, 28, 28] with their attributes, `copies` consecutive rows per digit."""

    train_images: np.ndarray
    train_known: dict[str, np.ndarray]
    test_images: np.ndarray
    test_known: dict[str, np.ndarray]
    copies: int = 1

    def test_sample(self, limit: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
        """Images and attributes of the first `limit` test digits, all copies equally often."""
        digits = np.arange(len(self.test_images) // self.copies)[:limit]
        rows = digits * self.copies + digits % self.copies
        return self.test_images[rows], {name: v[rows] for name, v in self.test_known.items()}


def mnist(workspace: Workspace) -> Digits:
    """MNIST with digit and stroke thickness in pixels."""
    digits, thickness = workspace.mnist(), workspace.thickness()
    return Digits(
        digits.train_images,
        {"digit": digits.train_labels, "thickness": thickness.train},
        digits.test_images,
        {"digit": digits.test_labels, "thickness": thickness.test},
    )


def mnist_r(workspace: Workspace) -> Digits:
    """MNIST-R with digit and rotation in degrees."""
    rotated = workspace.rotated_mnist()
    return Digits(
        rotated.train_images,
        {"digit": rotated.train_labels, "rotation": rotated.train_angles},
        rotated.test_images,
        {"digit": rotated.test_labels, "rotation": rotated.test_angles},
        copies=rotated.num_rotations,
    )


def morpho(workspace: Workspace) -> Digits:
    """MNIST with six measures of every digit's shape."""
    digits = workspace.mnist()
    train, test = workspace.morphometrics()
    return Digits(digits.train_images, train, digits.test_images, test)


def with_known(known: dict[str, np.ndarray], count: int, seed: int) -> dict[str, np.ndarray]:
    """Side information of `count` samples drawn at random, missing for the others; 0: of all.

    Integers become int64 with -1 where missing, floats float32 with nan.
    """
    n = len(next(iter(known.values())))
    missing = np.random.default_rng(seed).permutation(n)[count or n :]
    side = {}
    for name, values in known.items():
        label = np.asarray(values).dtype.kind in "iu"
        side[name] = np.array(values, np.int64 if label else np.float32)
        side[name][missing] = -1 if label else np.nan
    return side

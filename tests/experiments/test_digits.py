"""Distorted copies of few digits, on which lenses train too."""

import numpy as np
import pytest

from filvm.data.mnist import load_sample
from filvm.experiments import Workspace, digits
from filvm.experiments.settings import FilvmRecipe
from filvm.experiments.tasks import MNIST


class Encoder:
    """In place of a VAE: the mean of each quarter of an image."""

    def encode(self, images):
        means = images.reshape(len(images), 2, 14, 2, 14).mean(axis=(2, 4))
        return means.reshape(-1, 4), None


@pytest.fixture
def with_copies(tmp_path, monkeypatch):
    """A function: seed -> latents and side information of 40 digits and two copies of each."""
    calls = []
    measure = digits.measure_shapes

    def counted(images, names):
        calls.append(len(images))
        return measure(images, names, num_workers=1)

    monkeypatch.setattr(digits, "measure_shapes", counted)
    images = load_sample().train_images[:40]
    side = {"digit": np.arange(40.0) % 10, "thickness": np.r_[np.nan, np.full(39, 9.0)]}
    z = Encoder().encode(images / 255.0)[0]
    workspace = Workspace("smoke", tmp_path / "runs", tmp_path / "data")

    def make(seed):
        recipe = FilvmRecipe(attribute_weights=(1.0, 1.0), steps=400, batch_size=4, seed=seed)
        return MNIST.with_distorted(workspace, (z, side), images, Encoder(), recipe)

    make.calls = calls
    return make


def test_copies_keep_the_label_and_have_their_own_thickness_where_it_is_known(with_copies):
    z, side = with_copies(0)
    assert len(z) == 120
    np.testing.assert_array_equal(side["digit"], np.tile(np.arange(40) % 10, 3))
    thickness = side["thickness"].reshape(3, 40)
    assert np.isnan(thickness[:, 0]).all()
    assert (thickness[0, 1:] == 9).all()
    assert ((thickness[1:, 1:] > 0.5) & (thickness[1:, 1:] < 8)).all()
    assert not np.array_equal(thickness[1, 1:], thickness[2, 1:])


def test_the_copies_of_a_seed_are_measured_once(with_copies):
    first, again = with_copies(0), with_copies(0)
    assert with_copies.calls == [40, 40]
    np.testing.assert_array_equal(first[0], again[0])
    np.testing.assert_array_equal(first[1]["thickness"], again[1]["thickness"])
    other = with_copies(1)
    assert with_copies.calls == [40] * 4
    assert not np.array_equal(first[1]["thickness"], other[1]["thickness"])

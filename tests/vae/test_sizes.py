"""Sizes of networks that no network can have are refused in one sentence."""

import numpy as np
import pytest

from filvm.data import Categorical
from filvm.lens import FILVM, InvertibleLens
from filvm.vae import ConvVAE, SequenceVAE


@pytest.mark.parametrize("wrong", [0, -4, 1.5, True, None, "8"])
@pytest.mark.parametrize(
    ("model", "name"),
    [
        (ConvVAE, "latent_dim"),
        (ConvVAE, "dense_units"),
        (SequenceVAE, "latent_dim"),
        (SequenceVAE, "units"),
        (SequenceVAE, "dense_units"),
        (SequenceVAE, "context_units"),
        (SequenceVAE, "max_length"),
    ],
)
def test_a_size_is_an_integer_of_at_least_one(model, name, wrong):
    with pytest.raises(ValueError, match=f"^{name} is .*; expected an integer >= 1$"):
        model(**{name: wrong})


@pytest.mark.parametrize(
    ("model", "settings", "name"),
    [
        (ConvVAE, {"filters": (8, 0)}, "filters"),
        (ConvVAE, {"image_shape": (28, 28, 0)}, "image_shape"),
        (FILVM, {"hidden_units": (8, 0)}, "hidden_units"),
        (InvertibleLens, {"coupling_units": (0,)}, "coupling_units"),
        (InvertibleLens, {"attribute_units": (-1,)}, "attribute_units"),
    ],
)
def test_several_sizes_are_integers_of_at_least_one(model, settings, name):
    arguments = () if model is ConvVAE else (4, [Categorical("kind", 2)])
    with pytest.raises(ValueError, match=f"^{name} is .*; expected integers >= 1$"):
        model(*arguments, **settings)


def test_numbers_of_numpy_are_sizes():
    assert ConvVAE(np.int64(2), filters=(np.int32(2), 2), dense_units=4).latent_dim == 2

"""Sizes of networks that no network can have are refused in one sentence."""

import numpy as np
import pytest

from filvm.data import Categorical, Continuous
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


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"hidden_units": 64}, TypeError, "hidden_units is 64; expected a list of integers"),
        ({"hidden_units": "64"}, TypeError, "hidden_units is '64'; expected a list of integers"),
        ({"hidden_units": (8.5,)}, ValueError, r"hidden_units is \(8.5,\); expected integers >= 1"),
        ({"num_flows": 1.5}, ValueError, "num_flows is 1.5; expected an integer >= 1"),
        ({"num_flows": 10**9}, ValueError, "num_flows is 1000000000; .* >= 1 and <= 65536"),
        ({"hidden_units": (8, 10**9)}, ValueError, "expected integers >= 1 and <= 65536"),
        ({"beta": "1"}, TypeError, "beta is '1'; expected a number >= 0"),
        ({"latent_variance": np.inf}, ValueError, "latent_variance is inf; expected a finite"),
        ({"attribute_weights": -1}, ValueError, "attribute_weights of 't' is -1; expected"),
        ({"attribute_weights": {"t": np.nan}}, ValueError, "attribute_weights of 't' is nan"),
        ({"seed": 2**40}, ValueError, "seed is 1099511627776; expected an integer from 0 to 21"),
        ({"seed": -1}, ValueError, "seed is -1; expected an integer from 0"),
    ],
)
def test_settings_of_a_lens_are_refused_in_one_sentence(settings, error, message):
    with pytest.raises(error, match=message):
        FILVM(4, [Continuous("t")], **settings)


@pytest.mark.parametrize(
    ("settings", "error", "message"),
    [
        ({"seed": None}, TypeError, "seed is None; expected an integer"),
        ({"dtype": "mixed_bfloat16"}, ValueError, "dtype is 'mixed_bfloat16'; expected none: for"),
        ({"beta": np.inf}, ValueError, "beta is inf; expected a finite number >= 0"),
        ({"variance": 0.0}, ValueError, "variance is 0.0; expected a number >= 1e-08"),
    ],
)
def test_settings_of_a_vae_are_refused_in_one_sentence(settings, error, message):
    with pytest.raises(error, match=message):
        ConvVAE(4, **settings)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda vae, lens, z: vae.sample(-1), "n is -1; expected an integer >= 0"),
        (lambda vae, lens, z: vae.sample("3"), "n is '3'; expected an integer >= 0"),
        (lambda vae, lens, z: vae.sample(2, seed=-1), "seed is -1; expected an integer from 0"),
        (lambda vae, lens, z: lens.sample(2, seed="a"), "seed is 'a'; expected an integer"),
        (lambda vae, lens, z: lens.infer(z, sampled=True, seed=1.5), "seed is 1.5; expected"),
        (lambda vae, lens, z: vae.decode(z.astype(str)), "z has dtype <U32; expected numbers"),
        (lambda vae, lens, z: vae.decode(z + 1j), "z has dtype complex64; expected numbers"),
        (lambda vae, lens, z: vae.decode(z.astype(float) + 1e39), "z is not finite at row 0"),
        (lambda vae, lens, z: lens.set_dimension(z, 4, 0), "dimension is 4; expected integers"),
        (lambda vae, lens, z: lens.set_dimension(z, 0.5, 0), "dimension is 0.5; expected integers"),
        (lambda vae, lens, z: lens.set_dimension(z, "a", 0), "dimension is a; expected integers"),
        (lambda vae, lens, z: lens.set_dimension(z, 0, "a"), "value is a; expected finite"),
        (lambda vae, lens, z: lens.set_dimension(z, 0, np.nan), "value is nan; expected finite"),
        (
            lambda vae, lens, z: lens.set_dimension(z, [0, 1], [1, 2, 3]),
            r"value has shape \[3\]; expected one number, or shape \[5, 2\]",
        ),
    ],
)
def test_arguments_of_draws_and_of_dimensions_are_refused_in_one_sentence(small, call, message):
    with pytest.raises((TypeError, ValueError), match=f"^{message}"):
        call(*small)


@pytest.fixture(scope="module")
def small():
    """A VAE, a lens, and latents."""
    vae = ConvVAE(4, filters=(2, 2), dense_units=4)
    return vae, FILVM(4, [Continuous("t")], hidden_units=(4,)), np.zeros((5, 4), np.float32)

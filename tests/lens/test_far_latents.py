"""Latents whose mean is far larger than their spread keep their digits: units are float64."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from filvm.data import Categorical, Continuous
from filvm.lens import FILVM, InvertibleLens

ATTRIBUTES = [Categorical("kind", 3), Continuous("size")]
OFFSET, SPREAD = 1e7, 1e-2


def toy(n=256):
    rng = np.random.default_rng(0)
    kind, size = rng.integers(0, 3, n), rng.normal(size=n)
    factors = np.stack([kind - 1.0, size, *rng.normal(size=[2, n])], axis=1)
    return factors @ np.random.default_rng(7).normal(size=[4, 4]), {"kind": kind, "size": size}


def trained(z, side, kind):
    sizes = {"num_flows": 2} if kind is FILVM else {"coupling_units": (8,), "attribute_units": (8,)}
    keras.utils.set_random_seed(0)
    lens = kind(4, ATTRIBUTES, hidden_units=(16,), **sizes)
    lens.compile("adam", run_eagerly=True)  # four steps take less time than their trace
    lens.fit(z, side, epochs=1, batch_size=64, verbose=0, validation_data=(z[:50], head(side, 50)))
    return lens


def head(side, count):
    return {name: values[:count] for name, values in side.items()}


@pytest.mark.parametrize("kind", [FILVM, InvertibleLens])
def test_an_offset_of_a_billion_standard_deviations_changes_nothing(kind, tmp_path):
    z, side = toy()
    far = z * SPREAD + OFFSET
    near, lens = trained(z, side, kind), trained(far, side, kind)
    assert lens.precision is np.float64
    np.testing.assert_allclose(lens.infer(far), near.infer(z), atol=2e-3)
    np.testing.assert_allclose(lens.predict(far, verbose=0), near.infer(z), atol=2e-3)
    for name, method in (("manipulate", {"kind": 1}), ("manipulate", {"size": 0.5})):
        changed = getattr(lens, name)(far, **method)
        expected = getattr(near, name)(z, **method)
        np.testing.assert_allclose((changed - OFFSET) / SPREAD, expected, atol=2e-2)
    sampled = (lens.sample(9, seed=1) - OFFSET) / SPREAD
    np.testing.assert_allclose(sampled, near.sample(9, seed=1), atol=2e-2)
    losses = lens.evaluate(far, side, return_dict=True, verbose=0)
    batches = tf.data.Dataset.from_tensor_slices((far, side)).batch(256)
    again = lens.evaluate(batches, return_dict=True, verbose=0)
    assert again["loss"] == pytest.approx(losses["loss"], rel=1e-4)
    expected = near.evaluate(z, side, return_dict=True, verbose=0)["loss"]
    assert losses["loss"] == pytest.approx(expected, rel=1e-2)
    lens.save(tmp_path / "lens.keras")
    loaded = keras.models.load_model(tmp_path / "lens.keras")
    np.testing.assert_array_equal(loaded.infer(far), lens.infer(far))


def test_tiny_units_and_masks_of_latents():
    z, side = toy()
    lens = FILVM(4, ATTRIBUTES, hidden_units=(8,), num_flows=1)
    lens.adapt(z * 1e-37, {**side, "size": side["size"] * 1e-100})
    assert lens.precision is np.float64
    standard = lens.standardise(lens.check_latents(z * 1e-37)).numpy()
    np.testing.assert_allclose(standard.std(axis=0), 1.0, rtol=1e-3)
    np.testing.assert_allclose(lens.attribute_scale.numpy()[1], side["size"].std() * 1e-100)
    with pytest.raises(ValueError, match="z is masked at row 3; expected numbers: remove the row"):
        lens.infer(np.ma.masked_array(z, np.arange(len(z))[:, None] == [3, 3, 3, 3]))
    objects = z[:2].astype(object)
    np.testing.assert_array_equal(lens.infer(objects), lens.infer(z[:2]))
    with pytest.raises(ValueError, match="dtype is 'float64'; expected none"):
        FILVM(4, ATTRIBUTES, dtype="float64")


def test_near_latents_stay_float32_and_constant_dimensions_are_left_alone():
    z, side = toy()
    z[:, 3] = 0.1
    lens = FILVM(4, ATTRIBUTES, hidden_units=(8,), num_flows=1)
    lens.adapt(z, side)
    assert lens.infer(z).dtype == lens.generate(z).dtype == np.float32
    assert lens.latent_scale.numpy()[3] == 1.0
    lens.adapt(z.astype(np.float32) + np.float32(7), side)
    assert lens.latent_scale.numpy()[3] == 1.0
    z[:, 3] = 1e8 + 1e-3 * z[:, 0]
    lens.adapt(z, side)
    np.testing.assert_allclose(lens.latent_scale.numpy()[3], 1e-3 * z[:, 0].std(), rtol=1e-3)

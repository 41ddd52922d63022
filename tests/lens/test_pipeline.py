"""LensPipeline: images to z* and back, saved and served as one model."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from filvm.data import Categorical, Continuous
from filvm.lens import FILVM, LensPipeline
from filvm.vae import ConvVAE


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(0)
    vae = ConvVAE(4, filters=(4, 8), dense_units=16)
    attributes = [Categorical("digit", 10), Continuous("thickness")]
    lens = FILVM(4, attributes, hidden_units=(16,), num_flows=2)
    z = vae.encode(images(50))[0]
    lens.adapt(z, {"digit": np.arange(50) % 10, "thickness": np.linspace(1.5, 6.0, 50)})
    return LensPipeline(vae, lens)


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory):
    """The folder of `model` as a SavedModel."""
    folder = tmp_path_factory.mktemp("pipeline") / "saved"
    model.save(folder)
    return folder


def images(n):
    return np.random.default_rng(0).uniform(size=[n, 28, 28, 1]).astype(np.float32)


def test_the_pipeline_is_the_vae_followed_by_the_lens(model):
    x = images(3)
    z_star = model.encode(x)
    np.testing.assert_array_equal(z_star, model.lens.infer(model.vae.encode(x)[0]))
    np.testing.assert_array_equal(model.predict(x, verbose=0), z_star)
    np.testing.assert_array_equal(
        model.decode(z_star), model.vae.decode(model.lens.generate(z_star))
    )
    np.testing.assert_array_equal(model.reconstruct(x), model.decode(z_star))


def test_setting_an_attribute_sets_its_dimension_and_no_other(model):
    x = images(3)
    z_star = model.encode(x)
    z_star[:, 1] = model.lens.coordinate("thickness", 4.0)
    np.testing.assert_allclose(model.manipulate(x, thickness=4.0), model.decode(z_star), atol=1e-6)
    assert model.lens.read(z_star)["thickness"] == pytest.approx(4.0, abs=1e-4)
    z_star[:, 0] = model.lens.coordinate("digit", [1, 2, 3])
    np.testing.assert_allclose(
        model.manipulate(x, thickness=4.0, digit=[1, 2, 3]), model.decode(z_star), atol=1e-6
    )


def test_known_side_information_is_used(model):
    x = images(3)
    known = {"digit": [1, -1, 2]}
    expected = model.lens.infer(model.vae.encode(x)[0], known)
    np.testing.assert_array_equal(model.encode(x, known), expected)
    assert not np.allclose(model.encode(x), expected)


def test_a_keras_file_has_no_optimisers_of_the_parts(model, tmp_path):
    model.lens.compile("adam")
    model.save(tmp_path / "pipeline.keras")
    again = keras.models.load_model(tmp_path / "pipeline.keras")
    np.testing.assert_array_equal(again.encode(images(7)), model.encode(images(7)))
    assert getattr(again.lens, "optimizer", None) is None
    assert model.lens.optimizer is not None


def test_a_saved_pipeline_loads_with_the_same_results(model, saved):
    x = images(7)
    again = keras.models.load_model(saved)
    assert isinstance(again, LensPipeline)
    np.testing.assert_array_equal(again.encode(x), model.encode(x))
    np.testing.assert_array_equal(
        again.manipulate(x, thickness=6.0, digit=3), model.manipulate(x, thickness=6.0, digit=3)
    )
    assert again.predict_side_information(x).keys() == {"digit", "thickness"}


@pytest.mark.parametrize("batch", [1, 7])
def test_signatures_return_the_results_of_the_methods(model, saved, batch):
    served = tf.saved_model.load(saved).signatures
    assert set(served) == {
        "serving_default", "encode", "encode_with_side_information", "decode", "manipulate"
    }  # fmt: skip
    x = images(batch)
    z_star, inferred = model.encode(x), model.predict_side_information(x)
    outputs = served["serving_default"](images=x)
    assert set(outputs) == {"z_star", "digit", "thickness"}
    np.testing.assert_allclose(outputs["z_star"], z_star, atol=1e-5)
    for name, values in inferred.items():
        np.testing.assert_allclose(outputs[name], values, rtol=1e-5)
    digits = tf.fill([batch], 3.0)
    outputs = served["encode_with_side_information"](
        images=x, digit=digits, thickness=tf.fill([batch], np.nan)
    )
    expected = model.encode(x, {"digit": np.full(batch, 3)})
    np.testing.assert_allclose(outputs["z_star"], expected, atol=1e-5)
    np.testing.assert_allclose(outputs["digit"], digits)
    decoded = served["decode"](z_star=z_star)["images"]
    np.testing.assert_allclose(decoded, model.decode(z_star), atol=1e-5)
    outputs = served["manipulate"](
        images=x,
        dimension=tf.ones([batch], tf.int32),
        value=tf.fill([batch], float(model.lens.coordinate("thickness", 5.0))),
    )
    np.testing.assert_allclose(outputs["images"], model.manipulate(x, thickness=5.0), atol=1e-5)


def test_a_lens_with_another_latent_dim_than_the_vae_is_refused(model):
    with pytest.raises(ValueError, match="latent_dim of the lens is 3; expected the VAE's, 4"):
        LensPipeline(model.vae, FILVM(3, [Continuous("thickness")], hidden_units=(8,)))


def test_an_unknown_attribute_is_refused(model):
    with pytest.raises(ValueError, match=r"attribute is 'slant'; expected one of \['digit', 'th"):
        model.manipulate(images(2), slant=1.0)


def test_images_of_another_rank_are_refused(model):
    with pytest.raises(ValueError, match=r"shape \[2, 28, 28\]; expected \[n, 28, 28, 1\]"):
        model.encode(images(2)[..., 0])

"""The ELBO and its gradient against independent sources; training, saving and serving of VAEs."""

import numpy as np
import pytest
import scipy.stats
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras as keras

from filvm.vae import ConvVAE
from filvm.vae.elbo import (
    bernoulli_log_likelihood,
    gaussian_kl,
    gaussian_log_likelihood,
    sample_gaussian,
)

tfd = tfp.distributions
SMALL = {"latent_dim": 3, "image_shape": (8, 12, 2), "filters": (4, 6), "dense_units": 16}


def pictures(n, seed=0, shape=(8, 12, 2)):
    """Smooth images with two factors of variation, which a small VAE can learn."""
    rng = np.random.default_rng(seed)
    height, width, channels = shape
    row = np.linspace(-1, 1, height)[None, :, None, None]
    column = np.linspace(-1, 1, width)[None, None, :, None]
    a, b = rng.normal(size=(2, n, 1, 1, 1))
    image = 1 / (1 + np.exp(-4 * (row * a + column * b)))
    return np.repeat(image, channels, axis=-1).astype(np.float32)


def trained(epochs=1, n=64, **settings):
    keras.utils.set_random_seed(0)
    vae = ConvVAE(**{**SMALL, **settings})
    vae.compile(keras.optimizers.Adam(1e-2))
    vae.fit(pictures(n), batch_size=16, epochs=epochs, verbose=0)
    return vae


@pytest.fixture(scope="module")
def vae():
    """Trained for four steps; tests leave it as it is."""
    return trained()


@pytest.fixture(scope="module")
def saved(vae, tmp_path_factory):
    """The folder of `vae` as a SavedModel."""
    folder = tmp_path_factory.mktemp("vae") / "model"
    vae.save(folder)
    return folder


def test_kl_is_the_closed_form():
    rng = np.random.default_rng(0)
    z_mean, z_log_var = tf.constant(rng.normal(size=(2, 50, 4)) * 3)
    expected = tfd.kl_divergence(
        tfd.Normal(z_mean, tf.exp(z_log_var / 2)), tfd.Normal(tf.zeros_like(z_mean), 1.0)
    )
    np.testing.assert_allclose(gaussian_kl(z_mean, z_log_var), expected, rtol=1e-10)


def test_kl_is_accurate_near_the_prior():
    assert gaussian_kl(tf.constant(0.0), tf.constant(1e-3)).numpy() == pytest.approx(
        (np.exp(1e-3) - 1 - 1e-3) / 2, rel=1e-3
    )


def test_likelihoods_are_those_of_scipy():
    rng = np.random.default_rng(1)
    x = rng.integers(0, 2, (5, 3, 4, 1)).astype(float)
    logits = rng.normal(size=x.shape) * 5
    bernoulli = scipy.stats.bernoulli.logpmf(x, 1 / (1 + np.exp(-logits))).sum(axis=(1, 2, 3))
    x_tensor, logits_tensor = tf.constant(x), tf.constant(logits)
    computed = bernoulli_log_likelihood(x_tensor, logits_tensor)
    np.testing.assert_allclose(computed, bernoulli, rtol=1e-9)
    normal = scipy.stats.norm.logpdf(x, logits, np.sqrt(0.3)).sum(axis=(1, 2, 3))
    np.testing.assert_allclose(gaussian_log_likelihood(x_tensor, logits_tensor, 0.3), normal)


def test_samples_have_the_mean_and_variance_of_the_posterior():
    z = sample_gaussian(tf.fill([20000, 1], 2.0), tf.fill([20000, 1], tf.math.log(9.0)), [1, 2])
    assert np.mean(z) == pytest.approx(2.0, abs=0.1)
    assert np.std(z) == pytest.approx(3.0, abs=0.1)


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_gradient_of_the_loss_is_that_of_finite_differences(likelihood):
    keras.utils.set_random_seed(0)
    vae = ConvVAE(**SMALL, likelihood=likelihood, beta=0.7)
    x, seed = pictures(3), tf.constant([1, 2])
    weights = vae.trainable_variables
    with tf.GradientTape() as tape:
        loss = vae.batch_losses(x, seed)["loss"]
    gradient = tape.gradient(loss, weights)
    random = [tf.random.stateless_normal(w.shape, [3, 4]) for w in weights]
    # Along the gradient, the difference is large compared to the rounding of float32.
    parts = zip(gradient, random, strict=True)
    along = [
        g / tf.linalg.global_norm(gradient) + r / tf.linalg.global_norm(random) for g, r in parts
    ]
    starts = [weight.numpy() for weight in weights]

    def loss_at(step):
        for weight, start, direction in zip(weights, starts, along, strict=True):
            weight.assign(start + step * direction)
        return float(vae.batch_losses(x, seed)["loss"])

    slope = sum(float(tf.reduce_sum(g * d)) for g, d in zip(gradient, along, strict=True))
    slopes = [(loss_at(step) - loss_at(-step)) / (2 * step) for step in (2e-3, 4e-3, 8e-3)]
    assert slope == pytest.approx(np.median(slopes), rel=5e-3)


def test_the_loss_is_the_sum_of_its_terms():
    vae = trained(beta=0.3)
    values = vae.evaluate(pictures(40, seed=1), verbose=0, return_dict=True)
    assert values["loss"] == pytest.approx(
        values["reconstruction_loss"] + 0.3 * values["kl_loss"], rel=1e-5
    )


def test_a_vae_learns_two_factors():
    vae = trained(epochs=30, n=512, beta=0.1)
    held_out = pictures(100, seed=1)
    error_of_mean = np.square(held_out - held_out.mean(axis=0)).mean()
    assert np.square(held_out - vae.reconstruct(held_out)).mean() < 0.15 * error_of_mean
    used = vae.kl_per_dimension(held_out)
    assert used.shape == (3,)
    assert (used > 0.5).sum() >= 2


def test_a_saved_model_loads_with_the_same_results(vae, saved):
    x = pictures(7, seed=2)
    loaded = keras.models.load_model(saved)
    assert type(loaded) is ConvVAE
    np.testing.assert_array_equal(loaded.predict(x, verbose=0), vae.predict(x, verbose=0))
    np.testing.assert_array_equal(loaded.encode(x)[1], vae.encode(x)[1])
    expected = vae.evaluate(x, verbose=0)
    assert loaded.evaluate(x, verbose=0) == pytest.approx(expected, rel=1e-5)  # sums in threads
    loaded.fit(x, epochs=1, verbose=0)


def test_the_signatures_return_the_results_of_the_methods(vae, saved):
    x = pictures(7, seed=2)
    served = tf.saved_model.load(str(saved)).signatures
    z_mean, z_log_var = vae.encode(x)
    encoded = served["encode"](images=tf.constant(x))
    np.testing.assert_allclose(encoded["z_mean"], z_mean, atol=1e-6)
    np.testing.assert_allclose(encoded["z_log_var"], z_log_var, atol=1e-6)
    images = served["serving_default"](images=tf.constant(x))["images"]
    np.testing.assert_allclose(images, vae.reconstruct(x), atol=1e-6)
    np.testing.assert_allclose(
        served["decode"](z=tf.constant(z_mean))["images"], vae.decode(z_mean), atol=1e-6
    )


def test_a_model_from_a_configuration_has_the_same_shapes():
    vae = ConvVAE(**SMALL, likelihood="gaussian", beta=2.0, seed=5)
    again = ConvVAE.from_config(vae.get_config())
    assert again.get_config() == vae.get_config()
    assert [w.shape for w in again.weights] == [w.shape for w in vae.weights]


def test_results_do_not_depend_on_the_batch_size(vae):
    x = pictures(50, seed=3)
    single = np.concatenate([vae.predict(x[i : i + 1], verbose=0) for i in range(3)])
    np.testing.assert_allclose(vae.predict(x, batch_size=7, verbose=0)[:3], single, atol=1e-5)


def test_a_partial_batch_counts_by_its_size(vae):
    x = pictures(10, seed=3)
    parts = [vae.evaluate(part, batch_size=8, verbose=0)[0] for part in (x[:8], x[8:])]
    whole = vae.evaluate(x, batch_size=8, verbose=0)[0]
    assert whole == pytest.approx((8 * parts[0] + 2 * parts[1]) / 10, rel=1e-5)


def test_callbacks_get_every_term_and_can_stop():
    vae = ConvVAE(**SMALL)
    vae.compile("adam", jit_compile=True)
    stop = keras.callbacks.EarlyStopping("val_kl_loss", min_delta=1e9, patience=1)
    x = pictures(32)
    history = vae.fit(x, validation_data=(x,), epochs=9, callbacks=[stop], verbose=0).history
    assert len(history["loss"]) == 2
    assert {"loss", "reconstruction_loss", "kl_loss", "val_reconstruction_loss"} <= set(history)


def test_training_noise_is_a_function_of_seed_and_step():
    weights = [trained(epochs=2).get_weights() for _ in range(2)]
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_samples_are_images_and_seeded(vae):
    assert vae.sample(4).shape == (4, 8, 12, 2)
    np.testing.assert_array_equal(vae.sample(4, seed=1), vae.sample(4, seed=1))
    assert not np.array_equal(vae.sample(4, seed=1), vae.sample(4, seed=2))


def test_sampled_reconstructions_scatter_around_the_mean():
    vae, x = trained(epochs=5), pictures(20, seed=4)
    error, sampled_error = (
        np.square(x - vae.reconstruct(x, sampled=sampled)).mean() for sampled in (False, True)
    )
    assert error < sampled_error


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"image_shape": (30, 28, 1)}, "divisible by 4"),
        ({"image_shape": (28, 28)}, "height, width, channels"),
        ({"likelihood": "poisson"}, "expected 'bernoulli' or 'gaussian'"),
        ({"beta": -1.0}, "expected a number >= 0"),
        ({"beta": float("nan")}, "expected a number >= 0"),
    ],
)
def test_invalid_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        ConvVAE(4, **settings)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.zeros((2, 28, 28), np.float32), r"shape \[2, 28, 28\]; expected \[n, 8, 12, 2\]"),
        (np.zeros((2, 8, 12, 2), np.uint8), "to_float"),
        (np.full((2, 8, 12, 2), 255.0), r"range from 255 to 255; expected \[0, 1\]"),
        (np.full((2, 8, 12, 2), np.nan), "nan or infinite"),
    ],
)
def test_invalid_images_are_refused(vae, x, message):
    for method in (vae.encode, vae.fit, vae.reconstruct):
        with pytest.raises(ValueError, match=message):
            method(x)


def test_z_of_another_size_is_refused(vae):
    with pytest.raises(ValueError, match=r"z has shape \[2, 4\]; expected \[n, 3\]"):
        vae.decode(np.zeros((2, 4)))

"""The amortised posterior is compared with the bijector, layer by layer."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from filvm.flows import PlanarFlow, PlanarFlows


def parameters(batch, length, dimensions, seed=0):
    rng = np.random.default_rng(seed)
    shapes = [(batch, dimensions), (batch, length * dimensions), (batch, length * dimensions)]
    return [rng.normal(size=s).astype(np.float32) for s in (*shapes, (batch, length))]


@pytest.mark.parametrize(("length", "dimensions"), [(1, 1), (5, 12), (3, 2)])
def test_equals_the_bijector_of_each_samples_own_parameters(length, dimensions):
    z_0, w, u, b = parameters(7, length, dimensions)
    z_k, log_det = PlanarFlows(length)(z_0, w, u, b)
    for i in range(7):
        z, total = z_0[i], 0.0
        for k in range(length):
            columns = slice(k * dimensions, (k + 1) * dimensions)
            layer = PlanarFlow(w[i, columns], u[i, columns], b[i, k])
            total += layer.forward_log_det_jacobian(z)
            z = layer.forward(z)
        np.testing.assert_allclose(z_k[i], z, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(log_det[i], total, rtol=1e-4, atol=1e-5)


def test_log_determinant_equals_that_of_the_automatic_jacobian():
    z_0, w, u, b = (tf.constant(value, tf.float64) for value in parameters(6, 4, 3, seed=1))
    with tf.GradientTape() as tape:
        tape.watch(z_0)
        z_k, log_det = PlanarFlows(4, dtype="float64")(z_0, w, u, b)
    _, expected = np.linalg.slogdet(tape.batch_jacobian(z_k, z_0))
    np.testing.assert_allclose(log_det, expected, rtol=1e-9)


def recognition_model(length, dimensions):
    z_0 = keras.Input([dimensions])
    w, u = (keras.layers.Dense(length * dimensions)(z_0) for _ in range(2))
    b = keras.layers.Dense(length)(z_0)
    z_k, log_det = PlanarFlows(length)(z_0, w, u, b)
    return keras.Model(z_0, [z_k, log_det])


def test_one_model_accepts_any_batch_size_compiled_or_not_and_can_be_saved(tmp_path):
    model = recognition_model(length=3, dimensions=4)
    model.save(str(tmp_path / "model"), save_format="tf")
    restored = keras.models.load_model(str(tmp_path / "model"))
    compiled = tf.function(model, jit_compile=True)
    for batch in (1, 5, 32):
        z_0 = np.random.default_rng(2).normal(size=(batch, 4)).astype(np.float32)
        for expected, same, fast in zip(model(z_0), restored(z_0), compiled(z_0), strict=True):
            np.testing.assert_array_equal(expected, same)
            np.testing.assert_allclose(expected, fast, rtol=1e-4, atol=1e-5)


def test_trains_to_a_posterior_that_no_gaussian_equals():
    """Two modes from one: for (z^2 - 2)^2 the bound drops below what any Gaussian reaches."""
    z_0 = tf.constant(np.random.default_rng(3).normal(size=(512, 1)), tf.float32)
    rng = np.random.default_rng(0)
    parameters = [
        tf.Variable(centre + 0.5 * rng.normal(size=(1, 4)), dtype=tf.float32)
        for centre in (1, 1, 0)
    ]
    layer, optimizer = PlanarFlows(4), keras.optimizers.Adam(0.05)

    @tf.function(jit_compile=True)
    def step(beta):
        with tf.GradientTape() as tape:
            z_k, log_det = layer(z_0, *(tf.repeat(value, 512, axis=0) for value in parameters))
            energy = tf.square(tf.square(z_k[:, 0]) - 2)
            loss = tf.reduce_mean(beta * energy - log_det)
        optimizer.apply_gradients(zip(tape.gradient(loss, parameters), parameters, strict=True))
        return loss

    optimizer.build(parameters)
    for i in range(600):
        loss = step(tf.constant(min(1.0, 0.01 + i / 300)))  # or it settles in one mode
    # For N(m, s^2), E[(z^2 - 2)^2] - log s in closed form, over a grid of m and s.
    m, s = np.meshgrid(np.linspace(0, 2, 201), np.linspace(0.05, 2, 196))
    gaussian = m**4 + 6 * m**2 * s**2 + 3 * s**4 - 4 * (m**2 + s**2) + 4 - np.log(s)
    assert float(loss) < gaussian.min() - 0.5


@pytest.mark.parametrize(
    ("which", "message"),
    [(1, "w has last dimension 5; expected 6"), (2, "u has last"), (3, "b has last dimension 1")],
)
def test_parameters_of_the_wrong_size_are_named(which, message):
    values = parameters(4, 3, 2)
    values[which] = values[which][:, : -1 if which < 3 else 1]
    with pytest.raises(ValueError, match=message):
        PlanarFlows(3)(*values)


def test_zero_flows_are_refused():
    with pytest.raises(ValueError, match="num_flows is 0; expected at least 1"):
        PlanarFlows(0)

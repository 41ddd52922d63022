"""PlanarFlow is compared with exact arithmetic, automatic and finite differences, quadrature."""

import decimal
from decimal import Decimal

import hypothesis.strategies as st
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras as keras
from hypothesis import HealthCheck, assume, given, settings

from filvm.flows import PlanarFlow, planar_forward, planar_inverse
from filvm.flows.planar import constrained_u, solve_planar_root

tfb = tfp.bijectors
tfd = tfp.distributions

DTYPES = (np.float32, np.float64)
extended = np.longdouble  # 64-bit mantissa: the referee of float64

settings.register_profile(
    "flows", deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("flows")


@st.composite
def extreme_layers(draw, most_layers=1, num_points=20):
    """w, u, b, z with |w| from 1e-6 to 1e3 and w.u from -40 to 40, in any direction and dtype."""
    dtype = draw(st.sampled_from(DTYPES))
    num_layers = draw(st.integers(1, most_layers))
    dimensions = draw(st.integers(1, 64))
    norm = 10.0 ** draw(st.floats(-6, 3))
    w_dot_u = draw(st.floats(-40, 40))
    across = draw(st.sampled_from([0.0, 0.01, 1.0, 10.0]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    direction = rng.normal(size=(num_layers, dimensions))
    direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
    w = norm * direction
    u = across * rng.normal(size=w.shape) if dimensions > 1 else np.zeros_like(w)
    u += (w_dot_u / norm - np.sum(u * direction, axis=-1, keepdims=True)) * direction
    b = rng.normal(size=num_layers)
    z = draw(st.sampled_from([0.1, 1.0, 10.0])) * rng.normal(size=(num_points, dimensions))
    return tuple(value.astype(dtype) for value in (w, u, b, z))


def exact_root(s, p):
    """a with a + (p - 1) tanh a = s, by bisection in extended precision."""
    s, p = np.broadcast_arrays(extended(s), extended(p))
    target = np.abs(s)
    low, high = np.zeros_like(target), target + 1
    for _ in range(140):
        middle = (low + high) / 2
        above = middle + (p - 1) * np.tanh(middle) > target
        low, high = np.where(above, low, middle), np.where(above, middle, high)
    return np.copysign((low + high) / 2, s)


def stated_accuracy(w, u, b, points, dtype):
    """The bound E in the docstring of PlanarFlow."""
    norm = np.linalg.norm(w, axis=-1)
    size = np.linalg.norm(points, axis=-1) + np.linalg.norm(u, axis=-1)
    return 32 * np.finfo(dtype).eps * (size + (1 + np.abs(b)) / norm)


def exact_inverse_of_ball(w, u, b, y, radius):
    """The exact inverse of y, and how far the inverse of a point within `radius` of y can be."""
    w, u, b, y = (extended(value) for value in (w, u, b, y))
    x, squared_norm = np.sum(w * u), np.sum(w * w)
    p = np.log1p(np.exp(-np.abs(x))) + np.maximum(x, 0)
    u_hat = u + (p - 1 - x) / squared_norm * w
    s = y @ w + b
    reach = np.sqrt(squared_norm) * radius
    low, middle, high = (np.tanh(exact_root(s + shift, p)) for shift in (-reach, 0, reach))
    return y - middle[:, None] * u_hat, radius + np.linalg.norm(u_hat) * (high - low)


def norm(vectors):
    return np.linalg.norm(np.asarray(vectors, extended), axis=-1)


@given(extreme_layers())
def test_inverse_is_exact_to_the_stated_accuracy(layer):
    w, u, b, y = layer
    z = PlanarFlow(w[0], u[0], b[0]).inverse(y).numpy()
    radius = stated_accuracy(w[0], u[0], b[0], y, np.float64)
    exact, reach = exact_inverse_of_ball(w[0], u[0], b[0], y, radius)
    assert (norm(z - exact) <= reach + radius + np.finfo(z.dtype).eps * norm(exact)).all()


@given(extreme_layers())
def test_inverse_undoes_forward_to_the_stated_accuracy(layer):
    w, u, b, z = layer
    flow = PlanarFlow(w[0], u[0], b[0])
    y = flow.forward(z).numpy()
    radius = stated_accuracy(w[0], u[0], b[0], z, z.dtype) + stated_accuracy(
        w[0], u[0], b[0], y, z.dtype
    )
    _, reach = exact_inverse_of_ball(w[0], u[0], b[0], y, radius)
    assert (norm(flow.inverse(tf.identity(y)).numpy() - z) <= reach + radius).all()


@settings(max_examples=40)
@given(extreme_layers(most_layers=32, num_points=5))
def test_chains_are_finite_and_each_inverse_is_exact_to_the_stated_accuracy(layers):
    w, u, b, z = layers
    y, log_det = z, 0.0
    for w_k, u_k, b_k in zip(w, u, b, strict=True):
        y, step = planar_forward(y, w_k, u_k, b_k)
        log_det += step
    assert np.isfinite(y).all()
    assert np.isfinite(log_det).all()
    for w_k, u_k, b_k in zip(w[::-1], u[::-1], b[::-1], strict=True):
        radius = stated_accuracy(w_k, u_k, b_k, y, np.float64)
        exact, reach = exact_inverse_of_ball(w_k, u_k, b_k, y, radius)
        y, log_det = planar_inverse(tf.constant(y), w_k, u_k, b_k)
        y = y.numpy()
        assert (norm(y - exact) <= reach + radius + np.finfo(y.dtype).eps * norm(exact)).all()
        assert np.isfinite(log_det).all()


@settings(max_examples=20)
@given(
    st.integers(1, 32),
    st.integers(1, 64),
    st.sampled_from(DTYPES),
    st.integers(0, 2**32 - 1),
)
def test_chains_of_ordinary_layers_lose_a_few_digits_only(length, dimensions, dtype, seed):
    rng = np.random.default_rng(seed)
    w, u = 0.3 * rng.normal(size=(2, length, dimensions))
    w *= 1 / np.maximum(np.linalg.norm(w, axis=-1, keepdims=True), 0.3)  # see the test of small |w|
    b, z = rng.normal(size=length), rng.normal(size=(10, dimensions))
    w, u, b, z = (value.astype(dtype) for value in (w, u, b, z))
    chain = tfb.Chain([PlanarFlow(*layer) for layer in zip(w, u, b, strict=True)])
    error = np.abs(chain.inverse(tf.identity(chain.forward(z))) - z).max()
    assert error <= {np.float32: 2e-4, np.float64: 1e-10}[dtype]


@pytest.mark.parametrize(("dtype", "largest"), [(np.float32, 1e-5), (np.float64, 1e-10)])
def test_a_hundred_thousand_points_are_inverted_through_32_layers(dtype, largest):
    rng = np.random.default_rng(0)
    w, u = 0.3 * rng.normal(size=(2, 32, 4))
    layers = zip(w.astype(dtype), u.astype(dtype), rng.normal(size=32).astype(dtype), strict=True)
    chain = tfb.Chain([PlanarFlow(*layer) for layer in layers])
    z = rng.normal(size=(100_000, 4)).astype(dtype)
    error = np.abs(chain.inverse(tf.identity(chain.forward(z))) - z)
    assert error.max() <= largest


@given(extreme_layers())
def test_log_determinant_equals_the_textbook_form_in_sixty_digits(layer):
    w, u, b, z = layer
    assume(z.dtype == np.float64)
    log_det = planar_forward(z, w[0], u[0], b[0])[1].numpy()
    for point, value in zip(z[:3], log_det[:3], strict=True):
        # a and w.u as the flow rounds them: what is judged is the formula after them.
        a = Decimal(float(tf.reduce_sum(w[0] * point) + b[0]))
        x = Decimal(float(tf.reduce_sum(w[0] * u[0])))
        with decimal.localcontext(decimal.Context(prec=60)):
            c = (1 + x.exp()).ln() - 1
            growth = (2 * a).exp() if abs(a) < 10_000 else Decimal("Infinity").copy_sign(a)
            tanh = (growth - 1) / (growth + 1) if abs(a) < 10_000 else Decimal(1).copy_sign(a)
            expected = float((1 + c * (1 - tanh * tanh)).ln())
        assert abs(value - expected) <= 1e-14 + 1e-14 * abs(expected)


@settings(max_examples=25)
@given(extreme_layers(num_points=3))
def test_log_determinant_equals_that_of_the_automatic_jacobian(layer):
    w, u, b, z = (value.astype(np.float64) for value in layer)
    points = tf.constant(z)
    with tf.GradientTape() as tape:
        tape.watch(points)
        y, log_det = planar_forward(points, w[0], u[0], b[0])
    jacobian = tape.batch_jacobian(y, points).numpy()
    sign, expected = np.linalg.slogdet(jacobian)
    # What rounding does to the reference: an eps of u_hat w^T, which has this norm.
    spread = np.linalg.norm(jacobian - np.eye(z.shape[1]), ord=2, axis=(1, 2))
    doubt = 1e-14 * z.shape[1] * (1 + spread) ** 2
    assert (
        np.abs(np.exp(log_det) - sign * np.exp(expected)) <= doubt * (1 + np.exp(expected))
    ).all()


@given(extreme_layers(num_points=4))
def test_gradients_are_finite_in_both_directions(layer):
    w, u, b, z = (tf.constant(value) for value in layer)
    for function in (planar_forward, planar_inverse):
        with tf.GradientTape() as tape:
            tape.watch((w, u, b, z))
            points, log_det = function(z, w[0], u[0], b[0])
            loss = tf.reduce_sum(points) + tf.reduce_sum(log_det)
        for gradient in tape.gradient(loss, (w, u, b, z)):
            assert np.isfinite(gradient).all()


@pytest.mark.parametrize("w_dot_u", [-800.0, -104.0, -40.0, 0.0, 40.0, 1e4])
@pytest.mark.parametrize("dtype", DTYPES)
def test_gradients_are_finite_where_the_jacobian_underflows(dtype, w_dot_u):
    w, u = np.array([[1.0, 0.0], [w_dot_u, 0.3]], dtype)
    b = np.array(0.0, dtype)
    z = np.array([[0.0, 0.0], [1e-30, 0.0], [1e-4, 1.0], [100.0, 1.0], [-1e4, 1.0]], dtype)
    for function in (planar_forward, planar_inverse):
        with tf.GradientTape() as tape:
            variables = [tf.constant(value) for value in (z, w, u, b)]
            tape.watch(variables)
            points, log_det = function(*variables)
        for values in (points, log_det):
            assert np.isfinite(values).all()
        # Below -40 the derivative of the inverse is itself beyond float32.
        if function is planar_forward or w_dot_u >= -40:
            for gradient in tape.gradient([points, log_det], variables):
                assert np.isfinite(gradient).all()


def test_the_scalar_root_is_exact_to_the_last_digits():
    rng = np.random.default_rng(0)
    s = np.concatenate([10 ** rng.uniform(-30, 4, 2000), -(10 ** rng.uniform(-3, 3, 2000))])
    p = 10 ** rng.uniform(-18, 10, 4000)
    a = solve_planar_root(tf.constant(s), tf.constant(p)).numpy().astype(extended)
    # h is increasing: a is right to 1e-14 if h passes s between a (1 - 1e-14) and a (1 + 1e-14).
    x = np.minimum(np.abs(a), 0.5) ** 2
    fraction = x / (3 + x / (5 + x / (7 + x / (9 + x / (11 + x / (13 + x / (15 + x / 17)))))))
    assert (
        np.abs(np.tanh(np.minimum(np.abs(a), 0.5)) * (1 + fraction) / np.sqrt(x) - 1).max() < 1e-17
    )

    def h(a):
        size = np.abs(a)
        x = np.minimum(size, 0.5) ** 2
        tail = x / (5 + x / (7 + x / (9 + x / (11 + x / (13 + x / (15 + x / 17))))))
        small = np.minimum(size, 0.5) * x / (3 + tail + x)
        rest = np.where(size < 0.5, small, size - np.tanh(size))
        return np.copysign(rest + p.astype(extended) * np.tanh(size), a)

    margin = extended(1e-14)
    assert (np.abs(h(a * (1 - margin))) <= np.abs(s)).all()
    assert (np.abs(h(a * (1 + margin))) >= np.abs(s)).all()


def test_root_of_zero_is_zero():
    assert solve_planar_root(
        tf.zeros(3, tf.float64), tf.constant([0.0, 1.0, 9.0], tf.float64)
    ).numpy().tolist() == [0, 0, 0]


@settings(max_examples=50)
@given(st.integers(1, 64), st.integers(0, 2**32 - 1))
def test_gradients_through_the_inverse_equal_finite_differences(dimensions, seed):
    rng = np.random.default_rng(seed)
    point = [
        *(rng.normal(size=(3, 4, dimensions)) / np.sqrt(dimensions)),
        rng.normal(size=4),
    ]  # y, w, u, b
    direction = [rng.normal(size=value.shape) for value in point]
    weights, log_det_weights = rng.normal(size=(4, dimensions)), rng.normal(size=4)

    def loss(step):
        z, log_det = planar_inverse(
            *(tf.constant(x + step * d) for x, d in zip(point, direction, strict=True))
        )
        return tf.reduce_sum(weights * z) + tf.reduce_sum(log_det_weights * log_det)

    variables = [tf.constant(value) for value in point]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        z, log_det = planar_inverse(*variables)
        value = tf.reduce_sum(weights * z) + tf.reduce_sum(log_det_weights * log_det)
    gradients = tape.gradient(value, variables)
    analytic = sum(np.sum(g * d) for g, d in zip(gradients, direction, strict=True))
    # Fourth order: the curvature of a badly conditioned layer would drown a second-order rule.
    step = 1e-4
    numeric = (8 * (loss(step) - loss(-step)) - (loss(2 * step) - loss(-2 * step))) / (12 * step)
    size = sum(np.sum(np.abs(g * d)) for g, d in zip(gradients, direction, strict=True))
    assert abs(analytic - numeric) <= 1e-6 * (1 + size)


def test_second_derivatives_of_the_inverse_equal_finite_differences_of_the_first():
    rng = np.random.default_rng(3)
    w, u, y = (tf.constant(rng.normal(size=(2, 3))) for _ in range(3))
    b = tf.constant(rng.normal(size=2))

    def first_derivative(y, w, u, b):
        with tf.GradientTape(persistent=True) as tape:
            tape.watch((y, u))
            z, log_det = planar_inverse(y, w, u, b)
            loss = tf.reduce_sum(z**3) + tf.reduce_sum(log_det)
        return tf.concat([tape.gradient(loss, y), tape.gradient(loss, u)], axis=0)

    analytic, numeric = tf.test.compute_gradient(first_derivative, [y, w, u, b], delta=1e-6)
    for left, right in zip(analytic, numeric, strict=True):
        assert np.abs(left - right).max() <= 1e-5


@pytest.mark.parametrize("length", [1, 2, 5])
@pytest.mark.parametrize("seed", range(3))
def test_densities_integrate_to_one(length, seed):
    rng = np.random.default_rng(seed)
    w, u, b = rng.normal(size=(length, 2)), rng.normal(size=(length, 2)), rng.normal(size=length)
    chain = tfb.Chain([PlanarFlow(*layer) for layer in zip(w, u, b, strict=True)])
    base = tfd.MultivariateNormalDiag(tf.zeros(2, tf.float64))
    reach = 7 + sum(float(norm(constrained_u(w_k, u_k)[0])) for w_k, u_k in zip(w, u, strict=True))
    side = np.linspace(-reach, reach, 900)
    grid = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    density = np.exp(tfd.TransformedDistribution(base, chain).log_prob(grid))
    assert density.sum() * (side[1] - side[0]) ** 2 == pytest.approx(1, abs=2e-3)


def test_forward_of_a_flow_is_the_formula_of_the_report():
    w, u, b, z = np.array([0.5, -1.0]), np.array([2.0, 0.3]), 0.7, np.array([0.2, 0.9])
    m = np.log(1 + np.exp(w @ u)) - 1
    u_hat = u + (m - w @ u) * w / (w @ w)
    expected = z + u_hat * np.tanh(w @ z + b)
    np.testing.assert_allclose(PlanarFlow(w, u, b).forward(z), expected, rtol=1e-15)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_zero_direction_is_a_shift_with_finite_gradients(dtype):
    w, u = np.zeros(3, dtype), np.array([1.0, 2.0, -1.0], dtype)
    z, b = np.ones((4, 3), dtype), dtype(0.5)
    flow = PlanarFlow(w, u, b)
    np.testing.assert_allclose(flow.forward(z), z + u * np.tanh(b), rtol=1e-6)
    np.testing.assert_allclose(flow.inverse(flow.forward(z) + 0), z, rtol=1e-6)
    np.testing.assert_allclose(flow.forward_log_det_jacobian(z), np.zeros(4), atol=1e-6)
    variables = [tf.constant(value) for value in (z, w, u, b)]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        values = planar_forward(*variables)
    assert all(np.isfinite(gradient).all() for gradient in tape.gradient(values, variables))


def test_every_point_may_have_its_own_parameters():
    rng = np.random.default_rng(5)
    w, u, z = rng.normal(size=(3, 6, 4))
    b = rng.normal(size=6)
    together = PlanarFlow(w, u, b)
    assert together.experimental_batch_shape() == [6]
    y = together.forward(z)
    for i in range(6):
        alone = PlanarFlow(w[i], u[i], b[i])
        np.testing.assert_allclose(y[i], alone.forward(z[i]), rtol=1e-14)
        np.testing.assert_allclose(
            together.inverse_log_det_jacobian(y)[i],
            alone.inverse_log_det_jacobian(alone.forward(z[i])),
            rtol=1e-12,
        )


def test_batch_shapes_broadcast_as_in_tfp():
    rng = np.random.default_rng(6)
    flow = PlanarFlow(rng.normal(size=(5, 1, 2)), rng.normal(size=(3, 2)), rng.normal(size=()))
    assert flow.experimental_batch_shape() == [5, 3]
    assert flow.forward_min_event_ndims == flow.inverse_min_event_ndims == 1
    z = rng.normal(size=(7, 1, 1, 2))
    assert flow.forward(z).shape == [7, 5, 3, 2]
    assert flow.forward_log_det_jacobian(z).shape == [7, 5, 3]
    assert flow.forward_log_det_jacobian(z, event_ndims=2).shape == [7, 5]
    assert flow.inverse(z).shape == [7, 5, 3, 2]


@pytest.mark.parametrize("event_ndims", [1, 2])
@pytest.mark.parametrize("dtype", DTYPES)
def test_bijective_and_finite_by_the_test_of_tfp(dtype, event_ndims):
    """The checks of TFP's assert_bijective_and_finite, which is not part of its wheel."""
    rng = np.random.default_rng(7)
    flow = PlanarFlow(*rng.normal(size=(2, 3)).astype(dtype), dtype(0.3), validate_args=True)
    x, y = rng.normal(size=(2, 50, 3)).astype(dtype)
    rtol = 1e5 * np.finfo(dtype).eps
    f_x, g_y = flow.forward(x), flow.inverse(y)
    np.testing.assert_allclose(flow.inverse(tf.identity(f_x)), x, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(flow.forward(tf.identity(g_y)), y, rtol=rtol, atol=rtol)
    fldj_x = flow.forward_log_det_jacobian(x, event_ndims)
    ildj_y = flow.inverse_log_det_jacobian(y, event_ndims)
    ildj_f_x = flow.inverse_log_det_jacobian(tf.identity(f_x), event_ndims)
    fldj_g_y = flow.forward_log_det_jacobian(tf.identity(g_y), event_ndims)
    for values in (f_x, g_y, fldj_x, ildj_y, ildj_f_x, fldj_g_y):
        assert np.isfinite(values).all()
    np.testing.assert_allclose(fldj_x, -ildj_f_x, rtol=rtol, atol=rtol)
    np.testing.assert_allclose(ildj_y, -fldj_g_y, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("compiled", [False, True], ids=["graph", "xla"])
def test_works_under_function_xla_chain_invert_and_transformed_distribution(compiled):
    rng = np.random.default_rng(8)
    w, u = rng.normal(size=(2, 3, 2))
    chain = tfb.Chain([PlanarFlow(w[k], u[k], 0.1 * k) for k in range(3)])
    base = tfd.MultivariateNormalDiag(tf.zeros(2, tf.float64))
    density = tfd.TransformedDistribution(base, tfb.Invert(tfb.Invert(chain)))
    points = density.sample(9, seed=1)

    @tf.function(jit_compile=compiled)
    def log_prob_and_gradient(points):
        with tf.GradientTape() as tape:
            tape.watch(points)
            value = density.log_prob(points)
        return value, tape.gradient(value, points)

    value, gradient = log_prob_and_gradient(tf.identity(points))
    np.testing.assert_allclose(value, density.log_prob(tf.identity(points)), rtol=1e-12)
    step = np.array([1e-6, 0])
    difference = density.log_prob(points + step) - density.log_prob(points - step)
    np.testing.assert_allclose(gradient[:, 0], difference / 2e-6, rtol=1e-5)


def test_variables_and_deferred_tensors_are_tracked_and_trained():
    w = tf.Variable([1.0, 0.0])
    b = tfp.util.DeferredTensor(tf.Variable(0.0), lambda x: x + 1)
    flow = PlanarFlow(w, tf.Variable([0.5, 0.5]), b)
    assert len(flow.trainable_variables) == 3
    before = flow.forward([1.0, 1.0]).numpy()
    w.assign([0.0, 2.0])
    assert not np.allclose(before, flow.forward([1.0, 1.0]))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(flow.inverse([[0.3, 0.4]]))
    assert all(gradient is not None for gradient in tape.gradient(loss, flow.trainable_variables))


def test_is_an_argument_and_result_of_compiled_functions_as_a_composite_tensor():
    flow = PlanarFlow([1.0, 2.0], [0.5, -0.5], 0.1)

    @tf.function
    def same(bijector):
        return bijector

    returned = same(flow)
    assert isinstance(returned, PlanarFlow)
    np.testing.assert_array_equal(returned.forward([1.0, 1.0]), flow.forward([1.0, 1.0]))
    assert float(flow.copy(b=0.2).b) == pytest.approx(0.2)


def test_works_inside_keras_layers():
    class FlowLayer(keras.layers.Layer):
        def build(self, shape):
            self.w, self.u = (self.add_weight(n, shape[-1:], initializer="ones") for n in "wu")

        def call(self, z):
            return PlanarFlow(self.w, self.u, 0.0).inverse(z)

    model = keras.Sequential([FlowLayer()])
    model.compile(keras.optimizers.SGD(0.5), "mse", jit_compile=True)
    z = np.random.default_rng(9).normal(size=(64, 2)).astype(np.float32)
    losses = model.fit(z, z, epochs=15, verbose=0).history["loss"]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("w", "u", "b", "message"),
    [
        ([1.0, 2.0], [1.0, 2.0, 3.0], 0.0, "same D"),
        (1.0, [1.0], 0.0, "same D"),
        (np.ones((4, 2)), np.ones((3, 2)), np.ones(4), "do not broadcast"),
        (np.ones((4, 2)), np.ones((4, 2)), np.ones(3), "do not broadcast"),
    ],
)
def test_shapes_that_do_not_fit_are_named(w, u, b, message):
    with pytest.raises(ValueError, match=message):
        PlanarFlow(np.asarray(w, "f"), np.asarray(u, "f"), np.asarray(b, "f"))


def test_points_of_the_wrong_dimension_are_refused():
    flow = PlanarFlow([1.0, 2.0], [1.0, 2.0], 0.0)
    for points in (np.ones((4, 3), np.float32), np.ones((4, 1), np.float32)):
        with pytest.raises(ValueError, match=r"expected 2, as w and u"):
            flow.forward(points)
        with pytest.raises(ValueError, match=r"expected 2, as w and u"):
            flow.inverse(points)


def test_unsupported_dtypes_are_named():
    with pytest.raises(TypeError, match="float32 or float64"):
        PlanarFlow(np.ones(2, np.int32), np.ones(2, np.float32), np.float32(0))
    with pytest.raises(TypeError, match="float32 or float64"):
        PlanarFlow(*np.ones((2, 2), np.float16), np.float16(0))
    with pytest.raises(TypeError, match="one dtype"):
        PlanarFlow(np.ones(2, np.float32), np.ones(2, np.float64), np.float32(0))


@pytest.mark.parametrize("name", ["w", "u", "b"])
def test_parameters_that_are_not_finite_are_refused_with_validate_args(name):
    values = {"w": [1.0, 2.0], "u": [0.5, 0.5], "b": 0.1}
    values[name] = np.full_like(np.asarray(values[name], np.float32), np.nan)
    PlanarFlow(**values)  # not checked unless asked
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"parameter {name} holds NaN"):
        PlanarFlow(**values, validate_args=True)
    variables = {key: tf.Variable(value, dtype=tf.float32) for key, value in values.items()}
    flow = PlanarFlow(**variables, validate_args=True)
    with pytest.raises(tf.errors.InvalidArgumentError, match=f"parameter {name} holds NaN"):
        flow.forward([1.0, 1.0])

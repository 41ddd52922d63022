"""Attributes that are angles: two dimensions of z*, read and set in the angle's own unit."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras

from filvm.data import Categorical, Circular, Continuous
from filvm.data.side_information import attributes_from_config, attributes_to_config, owned_slices
from filvm.lens import FILVM, ILVM, InvertibleLens
from filvm.lens.attributes import from_circle, on_circle

ATTRIBUTES = [Categorical("kind", 3), Circular("angle"), Continuous("size")]
SMALL = {"hidden_units": (32, 32), "num_flows": 2}
SMALL_FLOW = {
    "hidden_units": (8,),
    "coupling_units": (8,),
    "attribute_units": (8,),
    "num_mixing": 1,
    "num_couplings": 1,
}


def toy(n, seed=0):
    """Latents that mix an angle, a label, a size and two nuisances; the angle runs round twice."""
    rng = np.random.default_rng(seed)
    angle, kind = rng.uniform(-360.0, 360.0, n), rng.integers(0, 3, n)
    size, radians = rng.normal(170.0, 10.0, n), np.radians(angle)
    circle = 1.4 * np.stack([np.cos(radians), np.sin(radians)])
    factors = np.stack([*circle, kind - 1.0, (size - 170.0) / 10.0, *rng.normal(size=[2, n])])
    mixing = np.random.default_rng(7).normal(size=[6, 6])
    z = 5.0 + 3.0 * np.tanh(0.4 * factors.T @ mixing)
    return z.astype(np.float32), {"kind": kind, "angle": angle, "size": size}


def apart(first, second):
    return np.abs((np.asarray(first) - second + 180.0) % 360.0 - 180.0)


@pytest.fixture(scope="module")
def trained():
    keras.utils.set_random_seed(0)
    z, side = toy(8000)
    side["angle"][::3] = np.nan
    lens = FILVM(6, ATTRIBUTES, hidden_units=(64, 64), num_flows=2)
    lens.compile(keras.optimizers.Adam(3e-3), steps_per_execution=16)
    lens.fit(z, side, epochs=20, batch_size=128, verbose=0)
    return lens


def test_an_angle_is_read_from_its_two_dimensions_on_new_data(trained):
    z, side = toy(1000, seed=1)
    z_star = trained.infer(z)
    read = trained.read(z_star)
    assert apart(read["angle"], side["angle"]).mean() < 12.0
    assert ((read["angle"] >= 0) & (read["angle"] < 360)).all()
    z_star[:, [0, 3, 4, 5]] = 0.0
    np.testing.assert_allclose(trained.read(z_star)["angle"], read["angle"], atol=1e-3)
    network = trained.predict_side_information(z)["angle"]
    assert apart(network, side["angle"]).mean() < 12.0


def test_an_angle_is_set_without_a_jump_at_the_period_and_nothing_else_changes(trained):
    z, side = toy(1000, seed=2)
    for angle in (350.0, -10.0, 10.0, np.linspace(0.0, 1080.0, 1000)):
        changed = trained.predict_side_information(trained.manipulate(z, angle=angle))
        assert apart(changed["angle"], angle).mean() < 12.0
        assert (changed["kind"] == side["kind"]).mean() > 0.93
        assert np.corrcoef(changed["size"], side["size"])[0, 1] > 0.95
    np.testing.assert_allclose(
        trained.manipulate(z[:9], angle=350), trained.manipulate(z[:9], angle=-10), atol=1e-4
    )


def test_samples_have_the_angle_that_is_asked_for(trained):
    z = trained.sample(300, seed=0, kind=1, angle=np.arange(300) * 1.2)
    read = trained.predict_side_information(z)
    assert apart(read["angle"], np.arange(300) * 1.2).mean() < 12.0
    assert (read["kind"] == 1).mean() > 0.97


def test_the_coordinate_of_an_angle_is_where_the_head_reads_it(trained):
    angles = np.array([0.0, 90.0, 200.0, 359.9])
    places = trained.coordinate("angle", angles)
    assert places.shape == (4, 2)
    assert trained.coordinate("angle", 90).shape == (2,)
    z_star = np.zeros([4, 6], np.float32)
    z_star[:, trained.dimensions_of("angle")] = places
    assert apart(trained.read(z_star)["angle"], angles).max() < 1e-3  # 0 may be read as 360
    z, _ = toy(4)
    set_together = trained.set_dimension(z, trained.dimensions_of("angle"), places)
    np.testing.assert_allclose(trained.manipulate(z, angle=angles), set_together, atol=1e-5)


def test_a_saved_lens_has_its_angle_and_serves_it_in_its_own_unit(trained, tmp_path):
    z, side = toy(50, seed=3)
    for path in (tmp_path / "lens.keras", tmp_path / "lens"):
        trained.save(path)
        loaded = keras.models.load_model(path)
        assert loaded.attributes == tuple(ATTRIBUTES)
        np.testing.assert_array_equal(loaded.infer(z, side), trained.infer(z, side))
    served = tf.saved_model.load(str(tmp_path / "lens")).signatures
    encoded = served["encode"](z=z)
    np.testing.assert_allclose(encoded["z_star"], trained.infer(z), atol=1e-4)
    read = trained.predict_side_information(z)["angle"]
    assert apart(encoded["angle"], read).max() < 1e-2
    given = {name: tf.cast(values, tf.float32) for name, values in side.items()}
    encoded = served["encode_with_side_information"](z=z, **given)
    np.testing.assert_allclose(encoded["angle"], side["angle"], rtol=1e-5)
    np.testing.assert_allclose(encoded["z_star"], trained.infer(z, side), atol=1e-3)


def test_the_attributes_own_the_first_dimensions_in_order():
    assert owned_slices(ATTRIBUTES) == [slice(0, 1), slice(1, 3), slice(3, 4)]
    for lens in (FILVM(6, ATTRIBUTES, **SMALL), InvertibleLens(6, ATTRIBUTES, **SMALL_FLOW)):
        assert [lens.dimensions_of(name) for name in lens.names] == [(0,), (1, 2), (3,)]
        assert lens.dimension("size") == 3
        with pytest.raises(ValueError, match=r"'angle' owns the dimensions \[1, 2\] of z\*"):
            lens.dimension("angle")
    with pytest.raises(ValueError, match="owns no dimension"):
        ILVM(6, ATTRIBUTES, **SMALL).dimensions_of("angle")
    with pytest.raises(ValueError, match="3 attributes, of which an angle counts twice"):
        FILVM(3, ATTRIBUTES, **SMALL)


def test_an_invertible_lens_sets_an_angle_and_gets_back():
    lens = InvertibleLens(6, ATTRIBUTES, **SMALL_FLOW)
    z, side = toy(200)
    lens.compile("adam", run_eagerly=True)  # two steps take less time than their trace
    history = lens.fit(z, side, epochs=2, verbose=0).history
    assert np.isfinite(history["head_angle"]).all()
    before = lens.infer(z)[:, lens.dimensions_of("angle")]
    changed = lens.manipulate(z, angle=350)
    np.testing.assert_allclose(lens.read(lens.infer(changed))["angle"], 350, atol=1e-3)
    back = lens.set_dimension(changed, lens.dimensions_of("angle"), before)
    np.testing.assert_allclose(back, z, atol=1e-6)


@pytest.mark.parametrize("period", [360.0, 24, 1e-3, 2 * np.pi])
def test_values_of_any_size_return_to_one_period(period):
    values = np.random.default_rng(0).uniform(-1e4, 1e4, 500) * period
    turned = from_circle(on_circle(tf.constant(values, tf.float64), period), period).numpy()
    assert ((turned >= 0) & (turned < period)).all()
    difference = np.abs((turned - values + period / 2) % period - period / 2)
    assert difference.max() < 1e-6 * period


def test_a_period_is_a_number_above_0_and_is_saved():
    for period in (0, -360.0, np.nan, np.inf):
        with pytest.raises(ValueError, match="period of 'a' is .*; expected a number > 0"):
            Circular("a", period)
    for period in ("360", None, True):
        with pytest.raises(TypeError, match="period of 'a' is .*; expected a number > 0"):
            Circular("a", period)
    attributes = (Circular("hour", 24), Continuous("size"))
    assert attributes_from_config(attributes_to_config(attributes)) == attributes


def test_an_angle_that_follows_from_another_attribute_is_named_at_fit():
    z, side = toy(500)
    side["size"] = np.sin(np.radians(side["angle"] + 30.0))
    lens = FILVM(6, ATTRIBUTES, **SMALL)
    with pytest.warns(UserWarning, match=r"correlated: 'angle' and 'size' \(r = 0.9"):
        lens.adapt(z, side)

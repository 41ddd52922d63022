"""InvertibleLens: exact inverse, density, attributes on their dimensions."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from scipy import special, stats

from filvm.data import Categorical, Continuous
from filvm.flows import AffineCouplings
from filvm.lens import InvertibleLens, LensPipeline
from filvm.lens.heads import chain_of_neighbours
from filvm.vae import ConvVAE
from tests.lens.test_filvm import ATTRIBUTES, toy

SMALL = {
    "num_mixing": 2,
    "num_couplings": 2,
    "coupling_units": (16,),
    "attribute_units": (16,),
    "hidden_units": (16,),
}


def untrained(**settings):
    """A lens with random weights, so that T is not a rotation."""
    keras.utils.set_random_seed(0)
    lens = InvertibleLens(4, ATTRIBUTES, **{**SMALL, **settings})
    for weight in lens.flow.trainable_variables:
        weight.assign(tf.random.stateless_normal(weight.shape, [1, len(weight.shape)], stddev=0.3))
    return lens


@pytest.fixture(scope="module")
def trained():
    """A lens trained for a few seconds on the toy data, a third of each attribute missing."""
    keras.utils.set_random_seed(0)
    z, side = toy(8000)
    side["kind"][::3] = -1
    side["size"][1::3] = np.nan
    settings = {"coupling_units": (64,), "attribute_units": (64,), "hidden_units": (64,)}
    lens = InvertibleLens(4, ATTRIBUTES, **settings)
    lens.compile(keras.optimizers.Adam(3e-3), steps_per_execution=16)
    history = lens.fit(z, side, epochs=12, batch_size=128, verbose=0)
    return lens, history


def test_generate_inverts_infer_at_any_batch_size(trained):
    lens, _ = trained
    for batch in (1, 7, 2000):
        z, _ = toy(batch, seed=1)
        again = lens.generate(lens.infer(z))
        assert np.abs((again - z) / z.std(axis=0).clip(1.0)).max() < 1e-9
    z_star = np.random.default_rng(0).standard_normal((500, 4))
    assert np.abs(lens.infer(lens.generate(z_star)) - z_star).max() < 1e-7


def test_the_log_determinant_is_that_of_the_jacobian():
    flow = untrained().flow
    z = tf.random.stateless_normal([6, 4], [0, 0])
    with tf.GradientTape() as tape:
        tape.watch(z)
        z_star, log_det, _ = flow(z)
    sign, expected = np.linalg.slogdet(tape.batch_jacobian(z_star, z))
    np.testing.assert_allclose(log_det, expected, atol=1e-4)
    assert np.abs(log_det).max() > 0.1
    assert (np.abs(sign) == 1).all()
    np.testing.assert_allclose(flow.inverse(z_star), z, atol=1e-5)


def test_before_training_couplings_are_a_rotation():
    z = tf.random.stateless_normal([9, 5], [0, 0])
    z_star, log_det, _ = AffineCouplings(5, num_mixing=3)(z)
    np.testing.assert_allclose(tf.norm(z_star, axis=1), tf.norm(z, axis=1), rtol=1e-5)
    np.testing.assert_array_equal(log_det, 0.0)
    assert not np.allclose(z_star, z, atol=0.1)


def test_the_last_couplings_leave_the_owned_dimensions_unchanged():
    sizes = {"hidden_units": (8,), "owned_units": (8,)}
    read, places = lambda j, own: tf.concat([own, -own], axis=1), lambda j: tf.constant([-1.0, 1.0])
    for owned in ([2], [2, 0], [0, 2, 0]):
        flow = AffineCouplings(3, classes=owned, read=read, places=places, **sizes)
        for weight in flow.trainable_variables:
            weight.assign(tf.random.stateless_normal(weight.shape, [0, 1], stddev=0.2))
        z = tf.random.stateless_normal([40, 3], [0, 0])
        z_star, _, guesses = flow(z)
        np.testing.assert_allclose(flow.inverse(z_star), z, atol=1e-4)
        assert [guess.shape.as_list() for guess in guesses] == [[40, 2]]
        before = z_star[:, : len(owned)].numpy()
        flow.networks[-1][-1][1].assign_add([1.0] * flow.networks[-1][-1][1].shape[0])
        moved = np.abs(flow(z)[0][:, : len(owned)] - before).max(axis=0) > 0
        assert moved.tolist() == [False] * (len(owned) - 1) + [len(owned) == 3]


def test_label_sharpness_applies_in_use_and_not_in_training():
    z, side = toy(200)
    soft, sharp = (untrained(label_sharpness=sharpness) for sharpness in (1.0, 4.0))
    assert InvertibleLens(4, ATTRIBUTES, **SMALL).label_sharpness == 3.0
    for lens in (soft, sharp):
        lens.adapt(z, side)
        z_star, _, (logits,) = lens.flow(lens.standardise(z))
        # Training uses the soft one.
        np.testing.assert_allclose(soft.infer(z), z_star, rtol=1e-3, atol=1e-4)
        np.testing.assert_allclose(lens.generate(lens.infer(z)), z, rtol=1e-4, atol=1e-4)
    places = sharp.heads[0].label_coordinates().numpy()
    further = special.softmax(4.0 * logits, axis=1) - special.softmax(logits, axis=1)
    moved = sharp.infer(z)[:, 0] - soft.infer(z)[:, 0]
    np.testing.assert_allclose(moved, further @ places, atol=1e-5)
    assert np.abs(moved).max() > 0.1


def test_the_loss_is_that_of_the_density_the_heads_and_the_couplings():
    lens = untrained(
        swap_weight=0.0,
        latent_noise=0.0,
        coupling_weight=5.0,
        attribute_weights={"kind": 2.0, "size": 3.0},
    )
    z, side = toy(50)
    lens.adapt(z, side)
    stacked = np.stack([side["kind"], side["size"]], axis=1).astype(np.float32)
    losses = lens.batch_losses(tf.constant(z), tf.constant(stacked), tf.constant([0, 0]))
    z_star, log_det, guesses = lens.flow(lens.standardise(z))
    density = stats.norm.logpdf(z_star).sum(axis=1) + log_det
    logits = lens.heads[0](z_star).numpy()
    kind_term = special.log_softmax(logits, axis=1)[np.arange(50), side["kind"]]
    read = lens.read(z_star.numpy())["size"]
    size_term = stats.norm.logpdf((side["size"] - read) / side["size"].std())
    coupling_term = special.log_softmax(guesses[0], axis=1)[np.arange(50), side["kind"]]
    expected = -np.mean(density + 2.0 * kind_term + 3.0 * size_term + 5.0 * coupling_term)
    np.testing.assert_allclose(losses["lens_loss"], expected, rtol=1e-4)


def test_each_attribute_is_read_from_its_own_dimension_on_new_data(trained):
    lens, _ = trained
    z, side = toy(2000, seed=1)
    z_star = lens.infer(z)
    assert (lens.read(z_star)["kind"] == side["kind"]).mean() > 0.93
    assert stats.spearmanr(z_star[:, 1], side["size"])[0] > 0.95
    assert (lens.predict_side_information(z)["kind"] == side["kind"]).mean() > 0.93


def test_samples_have_the_given_attributes(trained):
    lens, _ = trained
    z = lens.sample(300, seed=0, kind=np.arange(300) % 3, size=180.0)
    read = lens.predict_side_information(z)
    assert (read["kind"] == np.arange(300) % 3).mean() > 0.9
    assert abs(read["size"].mean() - 180.0) < 3.0


def test_samples_like_real_ones_have_their_coordinates_of_the_label(trained):
    lens, _ = trained
    z_star = lens.infer(toy(500, seed=2)[0])
    read = lens.read(z_star)["kind"]
    kinds = np.arange(300) % 3
    made = lens.infer(lens.sample(300, seed=0, kind=kinds, like=z_star))[:, 0]
    for kind in range(3):
        nearest = np.abs(made[kinds == kind, None] - z_star[read == kind, 0]).min(axis=1)
        assert nearest.max() < 1e-4
        assert np.unique(made[kinds == kind].round(6)).size > 30
    # Without a real sample of the label, it has its place.
    none = lens.infer(lens.sample(20, kind=0, like=z_star[read != 0]))[:, 0]
    np.testing.assert_allclose(none, lens.coordinate("kind", 0), atol=1e-4)
    with pytest.raises(ValueError, match=r"like has shape \[2, 1\]"):
        lens.sample(2, kind=0, like=np.zeros([2, 1]))


def test_a_manipulation_can_be_reversed(trained):
    lens, _ = trained
    z, _ = toy(500, seed=2)
    before = lens.infer(z)[:, 0]
    changed = lens.manipulate(z, kind=2)
    assert np.abs(changed - z).max() > 1.0
    np.testing.assert_allclose(lens.set_dimension(changed, 0, before), z, atol=1e-7)
    # The served functions take and return single precision.
    served = lens.generate_tensors(lens(z))
    assert served.dtype == tf.float32
    np.testing.assert_allclose(served, z, rtol=1e-3, atol=1e-3)


def test_z_star_depends_on_z_alone_and_on_noise_if_sampled(trained):
    lens, _ = trained
    z, side = toy(20)
    np.testing.assert_array_equal(lens.infer(z), lens.infer(z, side))
    drawn = lens.infer(z, sampled=True, seed=1)
    np.testing.assert_array_equal(drawn, lens.infer(z, sampled=True, seed=1))
    assert np.abs(drawn - lens.infer(z)).max() > 0


def test_half_of_a_batch_asks_for_the_attributes_of_other_samples(trained):
    lens, _ = trained
    z, side = toy(40)
    z_star = tf.constant(lens.infer(z).astype(np.float32))
    encoded = [tf.one_hot(side["kind"].astype(int), 3)]
    encoded.append(lens.heads[1].read(z_star[:, 1:2]))
    mixed = lens.requests_and_swaps(z_star, encoded, tf.constant([0, 5])).numpy()
    for j in range(2):  # row i has attribute j of row i - (j + 1)
        read = lens.heads[j](mixed).numpy()[:20]
        given = np.roll(encoded[j], j + 1, axis=0)[:20]
        if j == 0:
            np.testing.assert_array_equal(read.argmax(axis=1), given.argmax(axis=1))
        else:
            np.testing.assert_allclose(read, given, atol=1e-4)
        np.testing.assert_array_equal(mixed[20:, j], np.roll(z_star[:, j], j + 1)[20:])
    np.testing.assert_array_equal(mixed[20:, 2:], z_star[20:, 2:])
    assert np.abs(mixed[:20, 2:] - z_star[:20, 2:]).min() > 0
    again = lens.requests_and_swaps(z_star, encoded, tf.constant([0, 6])).numpy()
    assert np.abs(mixed[:20, 2:] - again[:20, 2:]).min() > 0


def test_the_swap_weight_rises_from_0():
    lens = untrained(swap_weight=3.0, swap_warmup=100)
    weights = [float(lens.swap_weight_at(tf.constant(step))) for step in (0, 50, 100, 1000, -1)]
    np.testing.assert_allclose(weights, [0.0, 1.5, 3.0, 3.0, 3.0])


def test_a_missing_value_drops_its_term():
    lens = untrained(swap_weight=0.0, latent_noise=0.0)
    z, side = toy(10)
    lens.adapt(z, side)
    stacked = np.stack([side["kind"], side["size"]], axis=1).astype(np.float32)
    stacked[5:, 0] = np.nan
    seed = tf.constant([0, 0])
    some = lens.batch_losses(tf.constant(z), tf.constant(stacked), seed)
    known = lens.batch_losses(tf.constant(z[:5]), tf.constant(stacked[:5]), seed)
    np.testing.assert_allclose(some["head_kind"], known["head_kind"], rtol=1e-5)
    stacked[:, 0] = np.nan
    assert float(lens.batch_losses(tf.constant(z), tf.constant(stacked), seed)["head_kind"]) == 0.0


def test_the_lens_loss_leaves_the_secondary_network_unchanged():
    lens = untrained()
    secondary = lens.secondary_recognition.trainable_variables
    assert {id(v) for v in lens.lens_variables}.isdisjoint(id(v) for v in secondary)
    assert len(lens.lens_variables) + len(secondary) == len(lens.trainable_variables)


def test_classes_lie_on_their_axis_as_a_chain_of_neighbours():
    lens = InvertibleLens(2, [Categorical("kind", 4)], **SMALL)
    centers = np.array([[0.0, 0], [3.0, 0], [1.0, 0], [2.0, 0]])
    kind = np.arange(400) % 4
    z = centers[kind] + np.random.default_rng(0).normal(scale=0.1, size=[400, 2])
    lens.adapt(z, {"kind": kind})
    along = np.argsort(lens.coordinate("kind", np.arange(4))).tolist()
    assert along in ([0, 2, 3, 1], [1, 3, 2, 0])
    lens.heads[0].kernel.assign_add([[1.0, 0.0, 0.0, 0.0]])
    kept = lens.heads[0].kernel.numpy()
    lens.adapt(z, {"kind": kind})  # keeps the order of a trained head
    np.testing.assert_array_equal(lens.heads[0].kernel, kept)


def test_a_chain_of_neighbours_is_the_shortest_path_on_a_line():
    places = np.random.default_rng(0).permutation(12)
    chain = places[chain_of_neighbours(places[:, None].astype(float))]
    assert chain.tolist() in (list(range(12)), list(range(12))[::-1])


def test_xla_can_compile_the_step():
    z, side = toy(64)
    lens = InvertibleLens(4, ATTRIBUTES, **SMALL)
    lens.compile(keras.optimizers.Adam(1e-2), jit_compile=True)
    losses = lens.fit(z, side, batch_size=64, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < 0.9 * losses[0]


def test_a_saved_lens_loads_and_serves_with_the_same_results(tmp_path):
    lens = untrained(attribute_weights={"size": 3.0})
    z, side = toy(20)
    lens.compile("adam", run_eagerly=True)  # a step takes less time than its trace
    lens.fit(z, side, epochs=1, verbose=0)
    lens.save(tmp_path / "lens")
    again = keras.models.load_model(tmp_path / "lens")
    assert type(again) is InvertibleLens
    assert again.get_config() == lens.get_config()
    np.testing.assert_array_equal(again.infer(z), lens.infer(z))
    np.testing.assert_array_equal(again.generate(lens.infer(z)), lens.generate(lens.infer(z)))
    again.compile("adam", run_eagerly=True)
    again.fit(z, side, epochs=1, verbose=0)

    served = tf.saved_model.load(tmp_path / "lens").signatures
    outputs = served["encode"](z=z)
    np.testing.assert_allclose(outputs["z_star"], lens.infer(z), atol=1e-5)
    decoded = served["decode"](z_star=outputs["z_star"])["z"]
    np.testing.assert_allclose(decoded, z, atol=1e-4)
    known = {name: tf.cast(values, tf.float32) for name, values in side.items()}
    with_side = served["encode_with_side_information"](z=z, **known)
    np.testing.assert_allclose(with_side["z_star"], lens.infer(z), atol=1e-5)
    zeros, value = tf.zeros([20], tf.int32), tf.fill([20], float(lens.coordinate("kind", 2)))
    manipulated = served["manipulate"](z=z, dimension=zeros, value=value)["z"]
    np.testing.assert_allclose(manipulated, lens.manipulate(z, kind=2), atol=1e-4)


def test_a_pipeline_reconstructs_images_as_the_vae_alone_does():
    model = LensPipeline(ConvVAE(4), untrained())
    images = np.random.default_rng(0).uniform(size=[3, 28, 28, 1]).astype(np.float32)
    np.testing.assert_allclose(model.reconstruct(images), model.vae.reconstruct(images), atol=1e-5)
    assert model.manipulate(images, kind=1).shape == images.shape


def test_invalid_settings_are_refused():
    with pytest.raises(ValueError, match="dimensions is 1"):
        InvertibleLens(1, [Continuous("size")])
    with pytest.raises(ValueError, match="swap_weight is -1"):
        InvertibleLens(4, ATTRIBUTES, swap_weight=-1)
    with pytest.raises(ValueError, match="num_couplings is 0"):
        InvertibleLens(4, ATTRIBUTES, num_couplings=0)
    with pytest.raises(ValueError, match="label_sharpness is 0"):
        InvertibleLens(4, ATTRIBUTES, label_sharpness=0)

"""ILVM and FILVM: objective, alignment, missing side information, units, saving, serving."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tf_keras as keras
from scipy import special, stats
from sklearn.linear_model import LinearRegression

from filvm.data import Categorical, Continuous
from filvm.lens import FILVM, ILVM

ATTRIBUTES = [Categorical("kind", 3), Continuous("size")]
SMALL = {"hidden_units": (32, 32), "num_flows": 2}


def toy(n, seed=0):
    """Latents that mix a label, a size in centimetres and two nuisances, far from standardised."""
    rng = np.random.default_rng(seed)
    kind, size = rng.integers(0, 3, n), rng.normal(170.0, 10.0, n)
    factors = np.stack([kind - 1.0, (size - 170.0) / 10.0, *rng.normal(size=[2, n])], axis=1)
    mixing = np.random.default_rng(7).normal(size=[4, 4])
    z = 5.0 + 3.0 * np.tanh(0.4 * factors @ mixing)
    return z.astype(np.float32), {"kind": kind, "size": size}


@pytest.fixture(scope="module")
def trained():
    """An FILVM trained for a few seconds on the toy data, a third of each attribute missing."""
    keras.utils.set_random_seed(0)
    z, side = toy(8000)
    side["kind"][::3] = -1
    side["size"][1::3] = np.nan
    lens = FILVM(4, ATTRIBUTES, hidden_units=(64, 64), num_flows=2)
    lens.compile(keras.optimizers.Adam(3e-3), steps_per_execution=16)
    history = lens.fit(z, side, epochs=16, batch_size=128, verbose=0)
    return lens, history


@pytest.fixture(scope="module")
def compiled():
    """An FILVM whose steps are traced once, for tests that hold for any weights."""
    lens = FILVM(4, ATTRIBUTES, **SMALL)
    lens.compile("adam")
    return lens


def test_each_attribute_is_read_from_its_own_dimension_on_new_data(trained):
    lens, _ = trained
    z, side = toy(2000, seed=1)
    z_star = lens.infer(z)
    assert (lens.read(z_star)["kind"] == side["kind"]).mean() > 0.95
    assert stats.spearmanr(z_star[:, 1], side["size"])[0] > 0.97
    others = [abs(stats.spearmanr(z_star[:, j], side["size"])[0]) for j in (0, 2, 3)]
    assert max(others) < 0.15


def test_the_secondary_network_reads_side_information_in_its_own_units(trained):
    lens, _ = trained
    z, side = toy(2000, seed=1)
    predicted = lens.predict_side_information(z)
    assert predicted["kind"].dtype == np.int64
    assert (predicted["kind"] == side["kind"]).mean() > 0.95
    assert np.abs(predicted["size"] - side["size"]).mean() < 3.0
    probabilities = lens.predict_side_information(z, probabilities=True)["kind"]
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, atol=1e-5)


def test_manipulation_changes_the_given_attribute_and_keeps_the_other(trained):
    lens, _ = trained
    z, side = toy(1000, seed=2)
    changed = lens.predict_side_information(lens.manipulate(z, kind=2))
    assert (changed["kind"] == 2).mean() > 0.97
    assert np.corrcoef(changed["size"], side["size"])[0, 1] > 0.9
    sizes = np.linspace(155.0, 185.0, 1000)
    changed = lens.predict_side_information(lens.manipulate(z, size=sizes))
    assert np.abs(changed["size"] - sizes).mean() < 4.0
    assert (changed["kind"] == side["kind"]).mean() > 0.9


def test_samples_have_the_given_attributes(trained):
    lens, _ = trained
    z = lens.sample(300, seed=0, kind=np.arange(300) % 3, size=180.0)
    read = lens.predict_side_information(z)
    assert (read["kind"] == np.arange(300) % 3).mean() > 0.97
    assert abs(read["size"].mean() - 180.0) < 3.0


def test_generation_reconstructs_z_in_its_own_units(trained):
    lens, _ = trained
    z, _ = toy(1000, seed=3)
    error = np.mean((lens.generate(lens.infer(z)) - z) ** 2)
    assert error < 0.1 * z.var(axis=0).mean()


def left_in_the_rest(lens):
    """R2 of a line through the size and the free dimensions, of draws; their deviations from 1."""
    z, side = toy(2000, seed=4)
    free = lens.infer(z, sampled=True)[:, 2:]
    line = LinearRegression().fit(free, side["size"])
    return line.score(free, side["size"]), np.abs(free.std(axis=0) - 1.0).max()


def test_a_critic_takes_attributes_out_of_the_rest_and_the_rest_fills_the_prior():
    z, side = toy(8000)
    found = {}
    for weight in (0.0, 10.0):
        keras.utils.set_random_seed(0)
        lens = FILVM.sharp_recipe(
            4, ATTRIBUTES, **SMALL, critic_weight=weight, aggregate_weight=weight
        )
        lens.compile(keras.optimizers.Adam(3e-3))
        history = lens.fit(z, side, epochs=6, batch_size=128, verbose=0).history
        found[weight] = left_in_the_rest(lens)
    assert {"critic_kind", "critic_size", "aggregate"} < set(history)
    leaks, deviations = zip(*found.values(), strict=True)
    assert leaks[1] < 0.5 * leaks[0]
    assert deviations[1] < 0.5 * deviations[0]


def test_every_term_of_the_objective_is_tracked_by_name(trained):
    _, history = trained
    terms = {"log_prior", "log_likelihood_z", "log_q0", "log_det"}
    for name in ("kind", "size"):
        terms |= {f"log_likelihood_{name}", f"secondary_{name}", f"swap_{name}"}
    assert set(history.history) == {"loss", "dependence", *terms}
    assert history.history["loss"][-1] < history.history["loss"][0]


def test_the_sum_of_log_determinants_is_that_of_the_jacobian():
    lens = FILVM(4, ATTRIBUTES, **SMALL)
    z = tf.constant(toy(5)[0])
    posterior = lens.posterior(z, [tf.one_hot([0, 1, 2, 1, 0], 3), tf.ones([5, 1])])
    with tf.GradientTape() as tape:
        tape.watch(posterior.mean)
        terms = posterior.terms(tf.constant([0, 0]))
    jacobian = tape.batch_jacobian(terms["z_star"], posterior.mean)
    np.testing.assert_allclose(np.linalg.slogdet(jacobian)[1], terms["log_det"], atol=1e-4)


def test_the_draw_and_the_centre_are_those_of_separate_flows():
    lens = FILVM(4, ATTRIBUTES, **SMALL)
    q = lens.posterior(tf.constant(toy(5)[0]), [tf.one_hot([0, 1, 2, 1, 0], 3), tf.ones([5, 1])])
    terms = q.terms(tf.constant([0, 3]))
    np.testing.assert_allclose(terms["z_star"], q.sample(tf.constant([0, 3])), rtol=1e-6)
    np.testing.assert_allclose(terms["center"], q.center(), rtol=1e-6)


def test_the_centre_is_the_draw_without_noise():
    lens = FILVM(4, ATTRIBUTES, **SMALL)
    z = tf.constant(toy(5)[0])
    q = lens.posterior(z, [tf.one_hot([0, 1, 2, 1, 0], 3), tf.ones([5, 1])])
    narrow = replace(q, log_var=tf.fill(q.mean.shape, -40.0))
    np.testing.assert_allclose(narrow.sample(tf.constant([0, 0])), q.center(), atol=1e-5)


def test_the_loss_is_the_negative_of_equation_8_for_the_reports_recipe():
    """Terms 2 and 3 of section 2.3 by hand: squared errors and the cross entropy."""
    lens = FILVM.report_recipe(4, ATTRIBUTES, **SMALL, beta=0.2, scaling=3.0)
    z, side = toy(64)
    lens.adapt(z, side)
    stacked = np.stack([side["kind"], side["size"]], axis=1).astype(np.float32)
    seed = tf.constant([0, 0])
    losses = lens.batch_losses(tf.constant(z), tf.constant(stacked), seed)
    standardised = lens.standardise(z)
    size = ((side["size"] - side["size"].mean()) / side["size"].std()).astype(np.float32)[:, None]
    q = lens.posterior(standardised, [tf.one_hot(side["kind"], 3), tf.constant(size)])
    generated, logits, read = lens.generative(q.sample(seed))
    kl = losses["log_q0"] - losses["log_prior"] - losses["log_det"]
    mean_squared = np.mean(np.square(standardised - generated), axis=1)
    scaled = np.square(3.0 * size - 3.0 * read.numpy())[:, 0]
    label = special.log_softmax(logits, axis=1)[np.arange(64), side["kind"].astype(int)]
    expected = np.mean(mean_squared + scaled - label) + 0.2 * kl
    # What the Gaussians of variance d/2 = 2 and 1 add to the squared errors.
    constants = 0.5 * 4 * np.log(2 * np.pi * 2.0) + 18.0 * 0.5 * np.log(2 * np.pi)
    np.testing.assert_allclose(losses["lens_loss"], expected + constants, rtol=1e-5)


def test_classes_without_a_region_are_placed_at_their_means():
    lens = FILVM.report_recipe(4, ATTRIBUTES, **SMALL)
    z, side = toy(64)
    lens.adapt(z, side)
    assert not lens.heads[0].placed.numpy()
    lens.place_labels(z, side)
    own = lens.infer(z)[:, 0]
    means = [own[side["kind"] == k].mean() for k in range(3)]
    np.testing.assert_allclose(lens.coordinate("kind", np.arange(3)), means, rtol=1e-5)
    # A head that starts in order has a region for every class.
    ordered = FILVM(4, ATTRIBUTES, **SMALL)
    before = ordered.coordinate("kind", np.arange(3))
    ordered.place_labels(z, side)
    np.testing.assert_array_equal(ordered.coordinate("kind", np.arange(3)), before)


def test_the_reports_recipe_has_no_amendments():
    config = FILVM.report_recipe(4, ATTRIBUTES, **SMALL).get_config()
    switches = ("ordered_softmax", "informed_generative", "swap_weight", "positive_slopes")
    assert not any(config[switch] for switch in (*switches, "independence_weight"))
    assert config["attribute_weights"] == {"kind": 1.0, "size": 18.0}
    assert config["latent_variance"] == 2.0


def test_the_direction_of_an_axis_is_that_in_which_its_number_rises():
    lens = FILVM(4, ATTRIBUTES, **SMALL)
    assert lens.directions().tolist() == [1, 1, 1, 1]
    lens.heads[1].kernel.assign([[-0.5]])
    assert lens.directions().tolist() == [1, -1, 1, 1]
    falling = lens.coordinate("size", [0.0, 1.0])
    assert falling[0] > falling[1]
    assert ILVM(4, ATTRIBUTES, **SMALL).directions().tolist() == [1, 1, 1, 1]


def test_heads_of_the_ilvm_read_all_dimensions_and_those_of_the_filvm_one():
    ilvm, filvm = ILVM(4, ATTRIBUTES, **SMALL), FILVM(4, ATTRIBUTES, **SMALL)
    z_star = np.zeros([1, 4], np.float32)
    for j, name in enumerate(["kind", "size"]):
        for k in range(4):
            moved = z_star.copy()
            moved[:, k] = 1.0
            read = [lens.read(moved, probabilities=True)[name] for lens in (ilvm, filvm)]
            at_rest = [lens.read(z_star, probabilities=True)[name] for lens in (ilvm, filvm)]
            assert not np.allclose(read[0], at_rest[0])
            assert np.allclose(read[1], at_rest[1]) == (k != j)


def test_a_missing_value_changes_nothing_for_other_samples():
    lens = FILVM(4, ATTRIBUTES, **SMALL)
    z, side = toy(6)
    side["kind"] = (lens.predict_side_information(z)["kind"] + 1) % 3  # not the inferred ones
    whole = lens.infer(z, side)
    side["kind"][2] = -1
    side["size"][4] = np.nan
    changed = ~np.isclose(lens.infer(z, side), whole).all(axis=1)
    np.testing.assert_array_equal(changed, [False, False, True, False, True, False])


def test_inference_replaces_missing_values_by_those_of_the_secondary_network():
    lens = FILVM(4, [Continuous("size")], **SMALL)
    z, _ = toy(6)
    inferred = lens.predict_side_information(z)
    np.testing.assert_allclose(lens.infer(z), lens.infer(z, inferred), atol=1e-5)


def test_the_secondary_network_learns_from_known_values_alone():
    lens = FILVM(4, ATTRIBUTES, **SMALL)
    lens.adapt(*toy(100))
    lens.compile("sgd")
    z = tf.constant(toy(8)[0])
    before = [w.numpy() for w in lens.secondary_recognition.weights]
    lens.train_step((z, lens.all_missing(z)))
    for old, new in zip(before, lens.secondary_recognition.weights, strict=True):
        np.testing.assert_array_equal(old, new)


def test_draws_of_z_star_are_seeded_and_differ_from_the_centre():
    lens = FILVM(4, ATTRIBUTES, **SMALL)
    z = np.repeat(toy(1)[0], 400, axis=0)
    first, again = lens.infer(z, sampled=True, seed=1), lens.infer(z, sampled=True, seed=1)
    np.testing.assert_array_equal(first, again)
    assert not np.allclose(first, lens.infer(z, sampled=True, seed=2))
    assert (first.std(axis=0) > 0.01).all()
    assert lens.infer(z).std(axis=0).max() < 1e-4


def test_the_sharp_recipe_takes_weights_and_is_saved(tmp_path):
    z, side = toy(48)
    lens = FILVM.sharp_recipe(4, ATTRIBUTES, **SMALL)
    lens.compile("adam", run_eagerly=True)
    weights = np.arange(48.0) % 2
    history = lens.fit(z, side, sample_weight=weights, batch_size=20, verbose=0).history
    assert all(np.isfinite(losses).all() for losses in history.values())
    lens.save(tmp_path / "lens.keras")
    loaded = keras.models.load_model(tmp_path / "lens.keras")
    np.testing.assert_array_equal(loaded.infer(z), lens.infer(z))
    for one, other in zip(loaded.critic.weights, lens.critic.weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_free_dimensions_there_is_nothing_to_criticise():
    lens = FILVM.sharp_recipe(2, ATTRIBUTES, **SMALL)
    assert not {"critic_kind", "aggregate", "dependence"} & set(lens.loss_names())
    lens.compile("adam", run_eagerly=True)
    z, side = toy(16)
    assert np.isfinite(lens.fit(z[:, :2], side, verbose=0).history["loss"]).all()


@pytest.mark.parametrize("batch", [1, 7, 50])
def test_training_takes_any_batch_size(compiled, batch):
    z, side = toy(50)
    history = compiled.fit(z, side, batch_size=batch, epochs=1, verbose=0)
    assert np.isfinite(history.history["loss"]).all()


@pytest.mark.parametrize("as_dataset", [False, True])
def test_validation_losses_are_those_of_evaluate(compiled, as_dataset):
    z, side = toy(48)
    side["kind"][5] = -1
    held_out = toy(16, seed=1)
    if as_dataset:
        held_out = tf.data.Dataset.from_tensor_slices(held_out).batch(16)
    history = compiled.fit(z, side, validation_data=held_out, verbose=0).history
    arguments = (held_out,) if as_dataset else held_out
    losses = compiled.evaluate(*arguments, verbose=0, return_dict=True)
    assert {name.removeprefix("val_") for name in history} == set(losses)
    for name, loss in losses.items():
        assert history[f"val_{name}"] == [pytest.approx(loss, rel=1e-5)]


def test_a_dataset_of_batches_trains_as_arrays_do():
    weights = []
    z, side = toy(64)
    side["kind"][5] = -1
    for as_dataset in (False, True):
        keras.utils.set_random_seed(0)
        lens = FILVM(4, ATTRIBUTES, **SMALL)
        lens.compile("adam", run_eagerly=True)
        if as_dataset:
            dataset = tf.data.Dataset.from_tensor_slices((z, side)).batch(16)
            lens.fit(dataset, epochs=2, verbose=0, validation_data=dataset)
        else:
            lens.fit(z, side, epochs=2, batch_size=16, verbose=0, shuffle=False)
        weights.append([variable.numpy() for variable in lens.trainable_variables])
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_two_fits_of_one_epoch_equal_one_fit_of_two():
    z, side = toy(64)
    weights = []
    for parts in ([2], [1, 1]):
        keras.utils.set_random_seed(0)
        lens = FILVM(4, ATTRIBUTES, **SMALL)
        lens.compile("adam", run_eagerly=True)
        for epochs in parts:
            lens.fit(z, side, epochs=epochs, batch_size=16, verbose=0, shuffle=False)
        weights.append(lens.get_weights())
    for one, other in zip(*weights, strict=True):
        np.testing.assert_array_equal(one, other)


def test_xla_can_compile_the_step():
    z, side = toy(64)
    every_part = {"critic_weight": 1.0, "aggregate_weight": 1.0}  # beside those of the default
    lens = FILVM(4, ATTRIBUTES, hidden_units=(8,), num_flows=1, **every_part)
    lens.compile(keras.optimizers.Adam(1e-2), jit_compile=True)
    losses = lens.fit(z, side, batch_size=64, epochs=20, verbose=0).history["loss"]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("kind", [ILVM, FILVM])
def test_a_saved_lens_loads_with_the_same_results(kind, tmp_path):
    lens = kind(4, ATTRIBUTES, **SMALL, beta=0.7, attribute_weights={"size": 3.0})
    z, side = toy(20)
    lens.compile("adam", run_eagerly=True)  # a step takes less time than its trace
    lens.fit(z, side, epochs=1, verbose=0)
    lens.save(tmp_path / "lens")
    again = keras.models.load_model(tmp_path / "lens")
    assert type(again) is type(lens)
    assert again.get_config() == lens.get_config()
    np.testing.assert_array_equal(again.infer(z), lens.infer(z))
    np.testing.assert_array_equal(again.generate(lens.infer(z)), lens.generate(lens.infer(z)))
    again.compile("adam", run_eagerly=kind is ILVM)
    expected = lens.evaluate(z, side, verbose=0)
    assert again.evaluate(z, side, verbose=0) == pytest.approx(
        expected, rel=1e-5
    )  # sums in threads
    again.fit(z, side, epochs=1, verbose=0)
    assert again.evaluate(z, side, verbose=0) != lens.evaluate(z, side, verbose=0)


def test_serving_signatures_return_the_results_of_the_methods(trained, tmp_path):
    lens, _ = trained
    lens.save(tmp_path / "lens")
    served = tf.saved_model.load(tmp_path / "lens").signatures
    z, side = toy(5, seed=4)
    for name in ("serving_default", "encode"):
        outputs = served[name](z=z)
        np.testing.assert_allclose(outputs["z_star"], lens.infer(z), atol=1e-5)
        for attribute, values in lens.predict_side_information(z).items():
            np.testing.assert_allclose(outputs[attribute], values, rtol=1e-5)
    side["kind"][1], side["size"][2] = -1, np.nan
    known = {name: tf.cast(values, tf.float32) for name, values in side.items()}
    outputs = served["encode_with_side_information"](z=z, **known)
    np.testing.assert_allclose(outputs["z_star"], lens.infer(z, side), atol=1e-5)
    inferred = lens.predict_side_information(z)
    np.testing.assert_allclose(outputs["size"][2], inferred["size"][2], rtol=1e-5)
    np.testing.assert_allclose(outputs["kind"][0], side["kind"][0])
    np.testing.assert_allclose(
        served["decode"](z_star=lens.infer(z))["z"], lens.generate(lens.infer(z)), atol=1e-5
    )
    manipulated = served["manipulate"](
        z=z,
        dimension=tf.zeros([5], tf.int32),
        value=tf.fill([5], float(lens.coordinate("kind", 2))),
    )
    np.testing.assert_allclose(manipulated["z"], lens.manipulate(z, kind=2), atol=1e-4)


@pytest.mark.parametrize(
    ("z", "error", "message"),
    [
        (np.zeros([3, 5]), ValueError, r"z has shape \[3, 5\]; expected \[n, 4\]"),
        (np.zeros([4]), ValueError, r"z has shape \[4\]"),
        (np.zeros([0, 4]), ValueError, r"z has shape \[0, 4\]"),
        (np.array([[0.0] * 4, [0.0, np.nan, 0, 0]]), ValueError, "z is not finite at row 1"),
        (np.array([["a"] * 4]), TypeError, "z has dtype <U1"),
    ],
)
def test_invalid_latents_are_refused(compiled, z, error, message):
    with pytest.raises(error, match=message):
        compiled.infer(z)
    with pytest.raises(error, match=message):
        compiled.fit(z, {"kind": np.zeros(len(z), int), "size": np.ones(len(z))}, verbose=0)


@pytest.mark.parametrize(
    ("attributes", "error", "message"),
    [
        ({}, ValueError, "attributes are empty; expected one or more of"),
        ({"colour": 1}, ValueError, "attribute is 'colour'; expected one of"),
        ({"kind": 3}, ValueError, "'kind' is 3 at row 0; expected a label from 0 to 2"),
        ({"kind": -1}, ValueError, "'kind' is -1; expected a value"),
        ({"size": np.nan}, ValueError, "'size' is nan; expected a value"),
        ({"size": [1.0, 2.0]}, ValueError, r"'size' has shape \[2\]; expected one value, or \[3\]"),
        ({"size": "big"}, TypeError, "'size' is 'big' at row 0; expected numbers"),
        ({"attributes": 5}, TypeError, "attributes has type int; expected a dictionary"),
        ({"attributes": {"kind": 1}, "kind": 2}, ValueError, "'kind'.* expected one of the two"),
    ],
)
def test_invalid_attribute_values_are_refused(compiled, attributes, error, message):
    with pytest.raises(error, match=message):
        compiled.manipulate(toy(3)[0], **attributes)


@pytest.fixture(scope="module")
def named():
    """An FILVM whose attributes have names that are no names of Python, layers or signatures."""
    attributes = [
        Categorical("class", ["one", "two", "three"]),
        *(Continuous(name) for name in ("mean", "Größe x", "self", "n", "z")),
        Categorical("hidden_1", [1999, 2001]),
    ]
    z = np.random.default_rng(0).normal(size=[60, 8]).astype(np.float32)
    side = pd.DataFrame({a.name: z[:, j] for j, a in enumerate(attributes)})
    side["class"] = pd.Series(np.array(["two", "three", None], object)[np.arange(60) % 3])
    side["n"] = 1.7e9 + np.arange(60)
    side["hidden_1"] = np.where(z[:, 6] > 0, 1999, 2001)
    lens = FILVM(8, attributes, **SMALL)
    lens.compile("adam", run_eagerly=True)  # a step takes less time than its trace
    lens.fit(z, side, verbose=0)
    return lens, z, side


def test_any_string_names_an_attribute_and_labels_keep_their_own_names(named, tmp_path):
    lens, z, side = named
    read = lens.read(lens.infer(z, side))
    assert set(read["class"]) <= {"one", "two", "three"}
    assert set(read["hidden_1"]) <= {1999, 2001}
    lens.save(tmp_path / "lens.keras")
    loaded = keras.models.load_model(tmp_path / "lens.keras", compile=False)
    assert loaded.attributes == lens.attributes
    np.testing.assert_array_equal(loaded.infer(z, side), lens.infer(z, side))
    dataset = tf.data.Dataset.from_tensor_slices((z, {**side.fillna({"class": ""})})).batch(30)
    assert np.isfinite(lens.evaluate(dataset, verbose=0)).all()
    wrong = tf.data.Dataset.from_tensor_slices((z, {**side.fillna({"class": "four"})})).batch(30)
    with pytest.raises(ValueError, match=r"class must hold some of \['one', 'two'"):
        lens.evaluate(wrong, verbose=0)


def test_methods_take_attributes_by_any_name(named):
    lens, z, _ = named
    by_argument = lens.manipulate(z, self=1.0, n=1.7e9 + 5, z=0.5, **{"class": "three"})
    by_name = {"self": 1.0, "n": 1.7e9 + 5, "z": 0.5, "class": "three"}
    np.testing.assert_array_equal(lens.manipulate(z, attributes=by_name), by_argument)
    assert lens.sample(2, n=1.7e9).shape == lens.sample(n=2).shape == (2, 8)
    z_star = lens.set_attributes(lens.infer(z), attributes=by_name)
    np.testing.assert_allclose(lens.read(z_star)["n"], 1.7e9 + 5, atol=1e-3)
    np.testing.assert_array_equal(z_star[:, 0], lens.coordinate("class", "three"))
    with pytest.raises(ValueError, match=r"'class' is 'four' at row 0; expected one of \['one',"):
        lens.manipulate(z, attributes={"class": "four"})


def test_signatures_have_ascii_names_and_label_indices(named):
    lens, z, side = named
    served = lens.signatures()["encode_with_side_information"]
    inputs = {a.key: np.full(60, np.nan, np.float32) for a in lens.attributes}
    indices = side["class"].map({"one": 0, "two": 1, "three": 2}).fillna(-1)
    inputs["class_"] = indices.to_numpy(np.float32)
    answer = served({"z": tf.constant(z), **inputs})
    expected = lens.infer(z, {"class": side["class"]})
    np.testing.assert_allclose(answer["z_star"], expected, atol=1e-5)
    np.testing.assert_array_equal(answer["class_"][:2], [1, 2])
    assert {"mean_", "self_", "n", "z_", "hidden_1_"} < set(answer)


def test_latents_of_a_very_small_unit_are_standardised():
    z, side = toy(400)
    scaled, usual = (FILVM(4, ATTRIBUTES, **SMALL) for _ in range(2))
    scaled.set_weights(usual.get_weights())
    scaled.adapt(z * 1e-9, side)
    usual.adapt(z, side)
    np.testing.assert_allclose(scaled.infer(z * 1e-9), usual.infer(z), atol=1e-3)


def test_correlated_attributes_are_named_at_the_first_fit():
    z, side = toy(100)
    lens = FILVM(4, [Continuous("size"), Continuous("width")], **SMALL)
    lens.compile("adam", run_eagerly=True)
    values = {"size": side["size"], "width": side["size"] ** 2}
    with pytest.warns(UserWarning, match=r"'size' and 'width' \(r = 1.00\)") as caught:
        lens.fit(z, values, verbose=0)
    assert len(caught) == 1
    lens.fit(z, values, verbose=0)


def test_a_lens_may_own_every_dimension():
    lens = FILVM(2, ATTRIBUTES, **SMALL)
    lens.compile("adam", run_eagerly=True)
    z, side = toy(40)
    assert np.isfinite(lens.fit(z[:, :2], side, verbose=0).history["loss"]).all()


def test_no_attribute_owns_a_dimension_of_an_ilvm():
    with pytest.raises(ValueError, match="'kind' owns no dimension of z\\* in an ILVM"):
        ILVM(4, ATTRIBUTES, **SMALL).manipulate(toy(3)[0], kind=1)


def test_any_dimension_can_be_set_in_any_lens():
    z = toy(3)[0]
    for kind in (ILVM, FILVM):
        lens = kind(4, ATTRIBUTES, **SMALL)
        z_star = lens.infer(z)
        z_star[:, 2] = [0.0, 1.0, 2.0]
        np.testing.assert_array_equal(
            lens.set_dimension(z, 2, [0.0, 1.0, 2.0]), lens.generate(z_star)
        )
        with pytest.raises(ValueError, match="dimension is 4; expected integers from 0 to 3"):
            lens.set_dimension(z, 4, 0.0)
        with pytest.raises(ValueError, match="value is nan; expected finite coordinates"):
            lens.set_dimension(z, 2, np.nan)


def test_an_attribute_without_known_values_is_refused():
    lens = FILVM(4, ATTRIBUTES, **SMALL)
    lens.compile("adam")
    with pytest.raises(ValueError, match="every value of 'kind' is missing"):
        lens.fit(toy(3)[0], {"kind": [-1, -1, -1], "size": [1.0, 2.0, 3.0]}, verbose=0)


def test_invalid_settings_are_refused():
    with pytest.raises(TypeError, match="put a single one in brackets"):
        FILVM(4, ATTRIBUTES[0])
    with pytest.raises(TypeError, match="seed is None; expected an integer"):
        FILVM(4, ATTRIBUTES, seed=None)
    with pytest.raises(ValueError, match="latent_dim is 0"):
        FILVM(0, ATTRIBUTES)
    with pytest.raises(ValueError, match="3 attributes; expected at most 2"):
        FILVM(2, [*ATTRIBUTES, Continuous("age")])
    with pytest.raises(ValueError, match=r"attribute_weights names \['colour'\]"):
        FILVM(4, ATTRIBUTES, attribute_weights={"colour": 1.0})
    wrong = {"beta": -1.0, "latent_variance": 0.0, "num_flows": 0, "swap_weight": -1.0}
    for name, value in wrong.items():
        with pytest.raises(ValueError, match=f"{name} is {value!r}"):
            FILVM(4, ATTRIBUTES, **{name: value})

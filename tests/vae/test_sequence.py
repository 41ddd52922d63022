"""The sequence VAE: likelihoods, padding, autoregression, annealing, saving and serving."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from filvm.data.sequences import make_sequences, padded_lengths, sequences_from_lists
from filvm.vae.recurrent import UNROLL_UP_TO, Autoregression, decoder_cell
from filvm.vae.sequence import (
    SequenceVAE,
    annealed_sd,
    length_log_likelihood,
    masked_gaussian_log_likelihood,
    padding_mask,
)

SMALL = {"max_length": 6, "units": 8, "dense_units": 12, "context_units": 5}


@pytest.fixture(scope="module")
def sequences():
    return make_sequences(64, seed=1, length=(2, 6))


@pytest.fixture(scope="module")
def vae():
    keras.utils.set_random_seed(0)
    return SequenceVAE(**SMALL)


@pytest.fixture(scope="module")
def saved(vae, tmp_path_factory):
    """The folder of `vae` as a SavedModel."""
    folder = tmp_path_factory.mktemp("vae") / "saved"
    vae.save(str(folder))
    return str(folder)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 30.0))
def test_the_masked_likelihood_is_that_of_the_numbers_before_the_padding(seed, sd):
    rng = np.random.default_rng(seed)
    x = make_sequences(5, seed, length=(2, 6)).numbers
    mean = x + rng.normal(0, 20, x.shape).astype(np.float32)
    result = masked_gaussian_log_likelihood(x, mean, padding_mask(tf.constant(x)), tf.constant(sd))
    for row, row_mean, length, value in zip(x, mean, padded_lengths(x), result, strict=True):
        expected = stats.norm(row_mean[:length], sd).logpdf(row[:length]).sum()
        assert float(value) == pytest.approx(expected, rel=1e-3)


def test_the_length_likelihood_is_the_softmax_at_the_length():
    logits = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32)
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    result = length_log_likelihood(tf.constant([1, 6, 3, 2]), tf.constant(logits))
    expected = np.log(probabilities[np.arange(4), [0, 5, 2, 1]])
    np.testing.assert_allclose(result, expected, rtol=1e-5)


def test_the_standard_deviation_falls_by_a_constant_factor_and_then_stays():
    steps = (0, 25, 50, 100, 300)
    values = [float(annealed_sd(tf.constant(step), 50.0, 0.5, 100)) for step in steps]
    np.testing.assert_allclose(values, [50, 50 * 0.1**0.5, 5, 0.5, 0.5], rtol=1e-5)
    assert float(annealed_sd(tf.constant(1), 50.0, 0.5, 0)) == 0.5


def test_the_decoders_output_after_the_length_changes_no_loss(vae, sequences):
    numbers, logits = vae.decoder(vae.encoder(sequences.numbers)[0])
    beyond = 1.0 - padding_mask(tf.constant(sequences.numbers))
    other = numbers + 1e3 * beyond
    np.testing.assert_array_equal(
        vae.log_likelihood(sequences.numbers, (numbers, logits)),
        vae.log_likelihood(sequences.numbers, (other, logits)),
    )


def test_the_encoder_stops_at_the_padding_so_a_longer_maximum_changes_nothing():
    shapes = {"units": 8, "dense_units": 12, "context_units": 5}
    short, long = SequenceVAE(max_length=6, **shapes), SequenceVAE(max_length=9, **shapes)
    long.encoder.set_weights(short.encoder.get_weights())
    rows = [[4, 14, 24], [7, 8, 9, 10, 11, 12], [3]]
    for ours, theirs in zip(short.encode(rows), long.encode(rows), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("signed", [False, True])
def test_without_differences_the_encoder_gets_the_numbers_alone(sequences, signed, tmp_path):
    vae = SequenceVAE(**SMALL, signed=signed, differences=False)
    series = (sequences.numbers, sequences.length)
    vae.adapt(series)
    features = vae.encoder.get_layer("numbers_and_steps")
    made = features(vae.sequences_array(series))
    scaled = (
        (sequences.numbers - features.mean) / features.scale
        if signed
        else (sequences.numbers / features.scale)
    )
    inside = np.arange(6) < sequences.length[:, None]
    np.testing.assert_allclose(
        made.numpy()[inside], np.asarray(scaled)[inside], rtol=1e-4, atol=1e-5
    )
    vae.save(tmp_path / "vae.keras")
    loaded = keras.models.load_model(tmp_path / "vae.keras")
    np.testing.assert_allclose(
        loaded.encode(series)[0], vae.encode(series)[0], rtol=1e-5, atol=1e-6
    )


def test_the_cells_input_is_its_previous_output_and_at_first_minus_one():
    cell = decoder_cell(context_units=3, units=4)
    context = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    outputs = Autoregression(cell, steps=3)(context)
    output, state = np.full((5, 1), -1, np.float32), np.zeros((5, 4), np.float32)
    for t in range(3):
        output, state = cell([context, output, state])
        np.testing.assert_allclose(outputs[:, t], output, rtol=1e-5)


def test_a_cell_can_return_a_distribution_over_tokens():
    layers = keras.layers
    context, logits, state = (keras.Input([size]) for size in (3, 7, 4))
    token = layers.Dense(5, use_bias=False)(layers.Softmax()(logits))  # the tokens' embeddings
    output, new_state = layers.GRUCell(4)(layers.Concatenate()([context, token]), state)
    cell = keras.Model([context, logits, state], [layers.Dense(7)(output), new_state])
    outputs = Autoregression(cell, steps=6)(tf.ones([2, 3]))
    assert outputs.shape == (2, 6, 7)
    with tf.GradientTape() as tape:
        likelihood = tf.nn.log_softmax(Autoregression(cell, steps=6)(tf.ones([2, 3])))[:, -1, 0]
    gradients = tape.gradient(likelihood, cell.trainable_variables)
    assert all(float(tf.reduce_max(tf.abs(gradient))) > 0 for gradient in gradients)


def test_a_loop_returns_the_result_of_unrolled_steps():
    cell = decoder_cell(context_units=3, units=4)
    context = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    looped = Autoregression(cell, steps=UNROLL_UP_TO + 6)(context)
    assert looped.shape == (5, UNROLL_UP_TO + 6, 1)
    unrolled = Autoregression(cell, steps=UNROLL_UP_TO)(context)
    np.testing.assert_allclose(looped[:, :UNROLL_UP_TO], unrolled, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("balanced", [False, True])
def test_the_named_terms_add_up_to_the_loss(sequences, balanced):
    vae = SequenceVAE(**SMALL, balanced=balanced, length_weight=3.0, beta=0.5)
    seed = tf.constant([3, 4])
    terms, losses = (f(sequences.numbers, seed) for f in (vae.elbo_terms, vae.batch_losses))
    numbers, length = terms["number_log_likelihood"], terms["length_log_likelihood"]
    np.testing.assert_allclose(terms["log_likelihood"], numbers + length, rtol=1e-5)
    weight = sequences.length.mean() / sequences.length if balanced else 1.0
    expected = np.mean(-weight * numbers - 3.0 * length + 0.5 * tf.reduce_sum(terms["kl"], axis=1))
    assert float(losses["loss"]) == pytest.approx(float(expected), rel=1e-5)


def test_with_weights_of_one_the_loss_is_the_negative_elbo(sequences):
    vae = SequenceVAE(**SMALL, balanced=False, length_weight=1.0)
    seed = tf.constant([3, 4])
    terms, losses = (f(sequences.numbers, seed) for f in (vae.elbo_terms, vae.batch_losses))
    elbo = np.mean(terms["log_likelihood"] - tf.reduce_sum(terms["kl"], axis=1))
    assert float(losses["loss"]) == pytest.approx(-float(elbo), rel=1e-5)


def test_a_compiled_step_is_the_plain_step_and_training_lowers_the_loss(sequences):
    weights = {}
    for compiled in (False, True):
        keras.utils.set_random_seed(1)
        model = SequenceVAE(**SMALL)
        # No noise in z: a compiled step draws other numbers from the same seed.
        model.encoder.get_layer("z_log_var").set_weights([np.zeros((12, 4)), np.full(4, -40.0)])
        model.compile(keras.optimizers.SGD(1e-5), jit_compile=compiled)
        losses = [model.train_on_batch(sequences.numbers)[0] for _ in range(3)]
        assert losses[-1] < losses[0]
        weights[compiled] = model.get_weights()
    for plain, compiled in zip(weights[False], weights[True], strict=True):
        np.testing.assert_allclose(plain, compiled, rtol=1e-4, atol=1e-6)


def test_annealing_follows_the_steps_of_the_model():
    model = SequenceVAE(**SMALL, first_sd=80.0, last_sd=0.8, annealing_steps=10)
    assert float(model.sd()) == pytest.approx(0.8)  # not being trained
    model.compile("adam")
    assert float(model.sd()) == pytest.approx(80.0)
    model.steps.assign(5)
    model.compile("adam")
    assert float(model.sd()) == pytest.approx(8.0)


def test_a_saved_model_loads_with_the_same_results(vae, saved, sequences):
    loaded = keras.models.load_model(saved, compile=False)
    assert isinstance(loaded, SequenceVAE)
    assert loaded.get_config() == vae.get_config()
    for method in (lambda m: m.encode(sequences), lambda m: m.reconstruct(sequences)):
        for ours, theirs in zip(method(vae), method(loaded), strict=True):
            np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_the_signatures_take_any_batch_size(vae, saved, sequences):
    signatures = tf.saved_model.load(saved).signatures
    numbers, lengths = vae.reconstruct(sequences)
    for n in (1, 7, 64):
        answer = signatures["serving_default"](sequences=tf.constant(sequences.numbers[:n]))
        np.testing.assert_allclose(answer["sequences"], numbers[:n], rtol=1e-4, atol=1e-3)
        np.testing.assert_array_equal(answer["lengths"], lengths[:n])
        z = signatures["encode"](sequences=tf.constant(sequences.numbers[:n]))
        again = signatures["decode"](z=z["z_mean"])
        np.testing.assert_allclose(again["sequences"], answer["sequences"], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", ["all.h5", "all.weights.h5"])
def test_weights_are_saved_in_every_format_of_keras(tmp_path, vae, sequences, name):
    vae.save_weights(str(tmp_path / name))
    other = SequenceVAE(**SMALL)
    other.load_weights(str(tmp_path / name))
    np.testing.assert_array_equal(other.encode(sequences)[0], vae.encode(sequences)[0])


@pytest.mark.parametrize("with_column", [True, False])
def test_generators_and_datasets_hold_padded_numbers(sequences, with_column):
    numbers = sequences.numbers if with_column else sequences.numbers[..., 0]

    def batches():
        while True:
            yield (numbers[:16],)

    model = SequenceVAE(**SMALL)
    model.compile("adam", run_eagerly=True)
    expected = model.evaluate(sequences.numbers[:16], batch_size=16, verbose=0)
    dataset = tf.data.Dataset.from_tensor_slices(numbers[:16]).batch(16)
    np.testing.assert_allclose(model.evaluate(dataset, verbose=0), expected, rtol=1e-5)
    found = model.evaluate(batches(), steps=1, verbose=0)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert np.isfinite(model.fit(batches(), steps_per_epoch=1, verbose=0).history["loss"]).all()


def test_lists_whole_numbers_and_doubles_are_the_same_sequences(vae):
    rows = [[4, 14, 24], [7, 9, 11, 13]]
    expected = vae.encode(rows)[0]
    array = sequences_from_lists(rows).numbers
    forms = [
        sequences_from_lists(rows),
        array,
        array.astype(np.float64),
        array.astype(np.int64),
        array[:, :, 0],  # no channel
        array[:, :4],  # padded less than the model's maximum, and, above, more
    ]
    for form in forms:
        np.testing.assert_allclose(vae.encode(form)[0], expected, rtol=1e-6)
    numbers, lengths = vae.decode(expected.astype(np.float64))
    np.testing.assert_array_equal(padded_lengths(numbers), lengths)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        ([[1, 2], range(1, 9)], ValueError, "sequence 1 has 8 numbers; this model takes at most 6"),
        ([[1, 2], [3, -4]], ValueError, "sequence 1 holds -4"),
        (np.array([[1, 2, 0], [3, 0, 4]]), ValueError, "sequence 1 holds 0 at place 1"),
        (np.array([[1, 2], [0, 0]]), ValueError, "sequence 1 holds 0 at place 0"),
        (np.array([[1, np.nan]]), ValueError, "sequence 0 holds nan at place 1"),
        (np.array([[1, -2.5]]), ValueError, "sequence 0 holds -2.5 at place 1"),
        (np.ones((2, 6, 2)), ValueError, r"shape \[2, 6, 2\]; expected \[n, 6, 1\]"),
        (np.array([["a", "b"]]), TypeError, "expected numbers"),
        (7, TypeError, "expected a list of lists"),
    ],
)
def test_invalid_sequences_are_refused(vae, x, error, message):
    with pytest.raises(error, match=message):
        vae.encode(x)
    if isinstance(x, (np.ndarray, list)):
        vae.compile("adam")
        with pytest.raises(error, match=message):
            vae.fit(x, verbose=0)


@pytest.mark.parametrize("setting", [{"scale": 0}, {"last_sd": -1.0}, {"max_length": 0}])
def test_invalid_settings_are_refused(setting):
    with pytest.raises(ValueError, match="expected"):
        SequenceVAE(**setting)


def test_results_scale_with_the_numbers_and_the_scale(sequences):
    models = [
        SequenceVAE(**SMALL, scale=1000.0 * factor, step_scale=50.0 * factor) for factor in (1, 2)
    ]
    models[1].set_weights(models[0].get_weights())
    z, doubled_z = (
        model.encode(factor * sequences.numbers)[0]
        for model, factor in zip(models, (1, 2), strict=True)
    )
    np.testing.assert_allclose(z, doubled_z, rtol=1e-4, atol=1e-5)
    numbers, doubled = (model.decode(z)[0] for model in models)
    np.testing.assert_allclose(2 * numbers, doubled, rtol=1e-4, atol=1e-2)

"""Series of two columns and any sign: every form, scaling from the data, padding, serving."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras as keras
from hypothesis import given, settings
from hypothesis import strategies as st

from filvm.data.series import padded_series, series_lengths
from filvm.serving.check import SavedModelError, ServedModel
from filvm.vae import SequenceVAE

SMALL = {"max_length": 8, "columns": 2, "units": 24, "dense_units": 32, "context_units": 8}


def waves_and_lines(n, seed=0):
    """Two columns of 4 to 8 steps: a wave around 0, and a line around 500 that starts at 0."""
    rng = np.random.default_rng(seed)
    size, slope = rng.uniform(-2, 2, n), rng.uniform(-80, 80, n)
    length = rng.integers(4, 9, n)
    t = np.arange(8)
    numbers = np.stack([size[:, None] * np.sin(0.8 * t), slope[:, None] * t], axis=2)
    return numbers.astype(np.float32), length


@pytest.fixture(scope="module")
def series():
    return waves_and_lines(256)


@pytest.fixture(scope="module")
def vae(series):
    keras.utils.set_random_seed(0)
    model = SequenceVAE(3, **SMALL, annealing_steps=300, beta=0.1)
    model.compile(keras.optimizers.Adam(1e-2))
    model.fit(series, batch_size=32, epochs=50, verbose=0)
    return model


def test_numbers_of_any_sign_are_reconstructed_with_their_lengths(vae):
    numbers, lengths = waves_and_lines(64, seed=9)
    made, made_lengths = vae.reconstruct((numbers, lengths))
    assert np.mean(made_lengths == lengths) > 0.9
    inside = np.arange(8) < np.minimum(lengths, made_lengths)[:, None]
    for column in range(2):
        error = np.abs(made - numbers)[..., column][inside]
        assert error.mean() < 0.15 * numbers[..., column][inside].std()
    assert (made[np.arange(8) >= made_lengths[:, None]] == 0).all()


def test_every_form_of_the_series_has_the_same_latents_and_losses(vae, series):
    numbers, lengths = series[0][:40], series[1][:40]
    rows = [row[:length] for row, length in zip(numbers, lengths, strict=True)]
    ragged = tf.RaggedTensor.from_row_lengths(np.concatenate(rows), lengths)
    beyond = np.where(np.arange(8)[:, None] < lengths[:, None, None], numbers, 7.0)
    forms = [
        (numbers, lengths),
        (beyond, lengths),  # the padding has no influence
        (tf.constant(numbers), tf.constant(lengths)),
        padded_series(rows),
        [row.tolist() for row in rows],
        rows,
        iter(rows),
        ragged,
    ]
    expected, losses = vae.encode(forms[0])[0], vae.evaluate(forms[0], batch_size=40, verbose=0)
    assert vae.evaluate(numbers, lengths, batch_size=40, verbose=0) == losses
    for form in forms[1:]:
        np.testing.assert_allclose(vae.encode(form)[0], expected, rtol=1e-5, atol=1e-6)
    datasets = [
        tf.data.Dataset.from_tensor_slices(part).batch(40)
        for part in (((numbers, lengths),), (numbers, lengths), (padded_series(rows),), ragged)
    ]
    for dataset in datasets:
        np.testing.assert_allclose(vae.evaluate(dataset, verbose=0), losses, rtol=1e-4)
        made = vae.predict(dataset, verbose=0)
        np.testing.assert_allclose(made[0], vae.decode(expected)[0], rtol=1e-3, atol=1e-3)


def test_the_scaling_is_that_of_the_training_data_and_units_change_nothing(vae, series):
    numbers, lengths = series
    features = vae.encoder.get_layer("numbers_and_steps")
    inside = numbers[np.arange(8) < lengths[:, None]]
    np.testing.assert_allclose(features.mean, inside.mean(axis=0), rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(features.scale, inside.std(axis=0), rtol=1e-4)
    other = SequenceVAE(3, **SMALL)
    other.set_weights(vae.get_weights())
    units = np.array([1e-3, 1e4], np.float32), np.array([5.0, -3e5], np.float32)
    other.adapt((numbers * units[0] + units[1], lengths))
    z, other_z = vae.encode(series)[0], other.encode((numbers * units[0] + units[1], lengths))[0]
    np.testing.assert_allclose(z, other_z, atol=2e-2)
    made, made_in_units = vae.decode(z)[0], other.decode(z)[0]
    known = made != 0
    np.testing.assert_allclose(
        made_in_units[known], (made * units[0] + units[1])[known], rtol=1e-3, atol=1e-3
    )


def test_the_number_loss_is_the_density_of_the_steps_in_the_sequence(vae, series):
    numbers, lengths = series[0][:5], series[1][:5]
    x = padded_series((numbers, lengths))
    decoded = vae.decoder_outputs(vae.encode(x)[0])
    sd = np.asarray(vae.sd())
    density = -0.5 * ((numbers - decoded[0]) / sd) ** 2 - np.log(sd) - 0.5 * np.log(2 * np.pi)
    inside = np.arange(8) < lengths[:, None]
    expected = (density * inside[:, :, None]).sum(axis=(1, 2))
    found, _ = vae.log_likelihoods(tf.constant(x), decoded)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([[[1.0, 2.0], [3.0]]], "series 0 is no list of numbers"),
        ([[[1.0, 2.0]], [[1.0, 2.0, 3.0]]], "series 1 has 3 columns; expected 2"),
        ([[1.0, 2.0]], "the series have 1 columns; expected 2"),
        ([[[1.0, np.nan], [0.0, 0.0]]], "series 0 holds nan at step 0, column 1"),
        ([[[1.0, np.inf]]], "series 0 holds inf at step 0, column 1"),
        ([[[0.0, 0.0]], []], "series 1 is empty"),
        ([[[0.0, 0.0]] * 9], "sequence 0 has 9 numbers; this model takes at most 8"),
        ((np.ones((2, 8, 2)), np.array([3, 9])), "length 1 is 9; expected 1 to 8"),
        ("words", "the series are a str"),
    ],
)
def test_what_is_no_series_of_two_columns_is_named(vae, x, message):
    with pytest.raises((TypeError, ValueError), match=message):
        vae.encode(x)


def test_a_dataset_with_gaps_fails_with_one_sentence(vae):
    gap = np.ones((1, 8, 2), np.float32)
    gap[0, 3] = np.nan
    with pytest.raises(ValueError, match="nan only as padding after their numbers"):
        vae.evaluate(tf.data.Dataset.from_tensor_slices(gap).batch(1), verbose=0)


def test_without_scaling_the_first_fit_of_a_generator_says_what_to_do():
    model = SequenceVAE(2, **SMALL)
    model.compile("adam")
    with pytest.raises(ValueError, match=r"call adapt\(sequences\) before"):
        model.fit((np.ones((2, 8, 2)) for _ in range(2)), steps_per_epoch=1, verbose=0)


def test_a_saved_and_a_served_model_give_the_same_answers(vae, series, tmp_path):
    x = padded_series((series[0][:9], series[1][:9]))
    vae.save(tmp_path / "vae.keras")
    loaded = keras.models.load_model(tmp_path / "vae.keras")
    np.testing.assert_array_equal(loaded.encode(x)[0], vae.encode(x)[0])
    vae.save(str(tmp_path / "1"), include_optimizer=False, save_traces=False)
    numbers, lengths = vae.reconstruct(x)
    with ServedModel(tmp_path / "1") as served:
        answer = served.run("serving_default", {"sequences": x})
        np.testing.assert_allclose(answer["sequences"], numbers, rtol=1e-4, atol=1e-3)
        np.testing.assert_array_equal(answer["lengths"], lengths)
        half = np.where(np.arange(2) == 1, np.nan, x)
        with pytest.raises(SavedModelError, match="finite numbers, or nan in every column"):
            served.run("encode", {"sequences": half})


@settings(max_examples=50, deadline=None)
@given(st.lists(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=5), min_size=1, max_size=6))
def test_padding_keeps_every_number_and_every_length(rows):
    padded = padded_series(rows)
    assert series_lengths(padded).tolist() == [len(row) for row in rows]
    for row, padded_row in zip(rows, padded, strict=True):
        np.testing.assert_array_equal(padded_row[: len(row), 0], np.array(row, np.float32))

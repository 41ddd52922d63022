"""The VAE of texts: likelihood, strings in every form, errors, warm-up, saving and serving."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf
import tf_keras as keras
from scipy.special import log_softmax

from filvm.serving.check import SavedModelError, ServedModel
from filvm.vae import TextVAE
from filvm.vae.elbo import collapse_sentence
from filvm.vae.text import categorical_log_likelihood
from filvm.vae.tokens import Characters, Vocabulary

TEXTS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven"]
SMALL = {"filters": (32,), "dense_units": 64}


@pytest.fixture(scope="module")
def vae():
    """Trained on eleven words, in capitals and not, until it knows them."""
    keras.utils.set_random_seed(0)
    model = TextVAE.for_texts(
        TEXTS, 4, lower=True, max_length=8, beta=0.01, warm_up_steps=100, **SMALL
    )
    model.compile(keras.optimizers.Adam(1e-2))
    texts = [text.upper() if place % 2 else text for place, text in enumerate(TEXTS * 8)]
    model.fit(texts, epochs=80, verbose=0)
    return model


def test_the_likelihood_is_the_log_softmax_at_every_place_with_the_padding():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (5, 7, 4))
    numbers = rng.integers(0, 4, (5, 7))
    rows, places = np.indices(numbers.shape)
    expected = log_softmax(logits, axis=-1)[rows, places, numbers].sum(axis=1)
    found = categorical_log_likelihood(tf.constant(numbers), tf.constant(logits))
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_the_tokens_are_learned_from_the_texts(vae):
    assert "".join(vae.tokens) == "".join(sorted(set("".join(TEXTS))))
    assert vae.max_length == 8


def test_every_text_comes_back_whole_and_lower_cased(vae):
    assert vae.reconstruct(TEXTS).tolist() == TEXTS
    assert vae.reconstruct([text.upper() for text in TEXTS]).tolist() == TEXTS
    z_mean, _ = vae.encode(TEXTS)
    assert vae.decode(z_mean).tolist() == TEXTS
    assert set(vae.sample(50, seed=1)) & set(TEXTS)


@pytest.mark.parametrize(
    "form",
    [
        lambda texts: np.array(texts),
        lambda texts: np.array(texts, object),
        lambda texts: tf.constant(texts),
        pd.Series,
        tuple,
        lambda texts: (text for text in texts),
    ],
)
def test_texts_of_every_form_have_the_same_latents(vae, form):
    np.testing.assert_array_equal(vae.encode(form(TEXTS))[0], vae.encode(TEXTS)[0])


def test_fit_evaluate_and_predict_take_strings_arrays_of_numbers_and_datasets(vae):
    numbers = vae.tokens_array(TEXTS)
    strings = tf.data.Dataset.from_tensor_slices(TEXTS).batch(11)
    expected = vae.evaluate(TEXTS, verbose=0)
    np.testing.assert_allclose(vae.evaluate(numbers, verbose=0), expected, rtol=1e-6)
    np.testing.assert_allclose(vae.evaluate(strings, verbose=0), expected, rtol=1e-6)
    assert dict(zip(vae.metrics_names, expected, strict=True))["text_accuracy"] == 1.0
    assert vae.predict(TEXTS, verbose=0).tolist() == TEXTS
    assert vae.predict(strings, verbose=0).tolist() == TEXTS


@pytest.mark.parametrize(
    ("texts", "error", "message"),
    [
        (["one", "twö"], ValueError, r"text 1, 'twö', holds 'ö' at place 2"),
        (["onetwothree"], ValueError, r"has 11 tokens; expected at most 8"),
        (["one", None], TypeError, "text 1 is None; expected a string"),
        (["one", 3], TypeError, "text 1 is 3; expected a string"),
        ("one", TypeError, "is the one text 'one'; expected a list"),
        (7, TypeError, "is a int; expected a list"),
        (np.full((2, 8), 99.0), ValueError, "whole numbers from 0 to"),
        (np.array([[1.0, 0, 2, 0, 0, 0, 0, 0]]), ValueError, "zeros only after each text's end"),
        (np.ones((2, 5)), ValueError, r"expected \[n, 8\]"),
    ],
)
def test_what_is_no_text_of_these_tokens_is_named(vae, texts, error, message):
    with pytest.raises(error, match=message):
        vae.encode(texts)


def test_a_dataset_with_an_unknown_token_fails_with_one_sentence(vae):
    with pytest.raises(ValueError, match="texts must hold tokens among 'e f g h"):
        vae.evaluate(tf.data.Dataset.from_tensor_slices(["one", "dos"]).batch(2), verbose=0)


def test_the_weight_of_the_kl_term_rises_to_beta():
    vae = TextVAE(2, tokens="ab", max_length=3, beta=0.5, warm_up_steps=10, **SMALL)
    weights = []
    for step in (0, 4, 10, 50):
        vae.steps.assign(step)
        weights.append(float(vae.kl_weight()))
    np.testing.assert_allclose(weights, [0.0, 0.2, 0.5, 0.5], rtol=1e-6)
    vae.steps.assign(5)
    losses = vae.batch_losses(tf.constant(vae.tokens_array(["ab", "b"])), tf.constant([0, 1]))
    reconstruction, kl = float(losses["reconstruction_loss"]), float(losses["kl_loss"])
    assert float(losses["loss"]) == pytest.approx(reconstruction + 0.25 * kl, rel=1e-5)
    assert float(losses["full_loss"]) == pytest.approx(reconstruction + 0.5 * kl, rel=1e-5)


def test_a_collapsed_posterior_is_reported_in_a_sentence(vae):
    assert vae.collapse_report(TEXTS).startswith("all 4 dimensions of z are used")
    empty = TextVAE(2, tokens="ab", max_length=3, **SMALL)
    for name in ("z_mean", "z_log_var"):
        empty.encoder.get_layer(name).kernel.assign(tf.zeros([64, 2]))
    report = empty.collapse_report(["ab", "b"])
    assert report.startswith("the posterior has collapsed: none of the 2 dimensions")
    some = collapse_sentence(np.array([0.0, 2.0, 0.001]))
    assert some.startswith("2 of 3 dimensions of z are not used (KL below 0.01 nats): 0, 2;")


def test_words_can_be_the_tokens():
    texts = ["red fox", "blue  fox", "red blue bird"]
    vae = TextVAE.for_texts(texts, 2, tokenizer="words", warm_up_steps=20, beta=0.01, **SMALL)
    assert vae.tokens == ("bird", "blue", "fox", "red")
    assert vae.max_length == 3
    numbers = [[4, 3, 0], [2, 3, 0], [4, 2, 1]]
    assert vae.tokens_array(texts).tolist() == numbers
    logits = 9 * tf.one_hot(numbers, 5)
    strings = vae.observation(logits).numpy().tolist()
    assert strings == [b"red fox", b"blue fox", b"red blue bird"]


def test_a_text_ends_at_the_first_padding():
    vae = TextVAE(2, tokens="ab", max_length=4, **SMALL)
    logits = tf.one_hot([[1, 2, 0, 1], [0, 1, 1, 1], [2, 2, 2, 2]], 3)
    assert vae.observation(logits).numpy().tolist() == [b"ab", b"", b"bbbb"]


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ("", "tokens is empty"),
        ("aba", "holds 'a' twice"),
        (["a", ""], "holds ''"),
        ([1], "holds 1"),
    ],
)
def test_tokens_are_different_strings(tokens, message):
    with pytest.raises((TypeError, ValueError), match=message):
        Vocabulary(tokens)


def test_a_tokenizer_has_its_methods():
    with pytest.raises(ValueError, match="tokenizer is 'letters'; expected one of characters"):
        TextVAE(2, tokenizer="letters")
    with pytest.raises(TypeError, match="without the method split"):
        TextVAE(2, tokenizer=object())
    assert TextVAE(2, tokenizer=Characters(lower=True), **SMALL).encode(["Ab"])[0].shape == (1, 2)


@pytest.mark.parametrize("name", ["vae.keras", "vae"])
def test_a_loaded_model_gives_the_same_answers(vae, tmp_path, name):
    vae.save(tmp_path / name)
    loaded = keras.models.load_model(tmp_path / name)
    assert loaded.reconstruct(["Seven"]).tolist() == ["seven"]
    assert loaded.tokens == vae.tokens
    np.testing.assert_array_equal(loaded.encode(TEXTS)[0], vae.encode(TEXTS)[0])
    assert float(loaded.kl_weight()) == pytest.approx(0.01)


def test_a_served_model_takes_and_returns_strings(vae, tmp_path):
    vae.save(str(tmp_path / "1"), include_optimizer=False, save_traces=False)
    with ServedModel(tmp_path / "1") as served:
        assert served.unservable() == []
        answer = served.run("serving_default", {"texts": np.array(["SEVEN", "ten"], object)})
        assert answer["texts"].tolist() == [b"seven", b"ten"]
        z = served.run("encode", {"texts": np.array(TEXTS, object)})["z_mean"]
        np.testing.assert_allclose(z, vae.encode(TEXTS)[0], atol=1e-5)
        assert served.run("decode", {"z": z})["texts"].tolist() == [t.encode() for t in TEXTS]
        with pytest.raises(SavedModelError, match="texts must hold tokens among"):
            served.run("encode", {"texts": np.array(["été"], object)})
        with pytest.raises(SavedModelError, match="at most 8 tokens"):
            served.run("encode", {"texts": np.array(["nineninenine"], object)})

"""Words belong to the language in which they are far more frequent, and are never in two splits."""

import importlib
import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filvm.data import words as module
from filvm.data.words import LANGUAGES, Words, WordsError, fold, load_words, split_words


@pytest.mark.parametrize(
    ("text", "folded"),
    [("Größe", "grosse"), ("Œuvre", "oeuvre"), ("señor", "senor"), ("perché", "perche"), ("", "")],
)
def test_accents_are_folded(text, folded):
    assert fold(text) == folded


@given(st.text("abcdefghijklmnopqrstuvwxyz"))
def test_folding_leaves_plain_letters_alone(text):
    assert fold(text) == fold(text.upper()) == text


def test_every_word_is_far_more_frequent_in_its_own_language():
    wordfreq = pytest.importorskip("wordfreq", reason="needs the extra text")
    words = load_words(most_frequent=3_000)
    assert set(words.language) == set(LANGUAGES)
    assert len(set(words.text.tolist())) == len(words) > 5_000
    assert words.length.min() >= 3
    assert words.length.max() <= 12
    assert all(word.isascii() and word.islower() for word in words.text.tolist())
    frequencies = {language: Counter() for language in LANGUAGES}
    for language, known in frequencies.items():
        listed = wordfreq.get_frequency_dict(language, "large")
        for form, frequency in itertools.islice(listed.items(), 3_000):
            known[fold(form)] += frequency
    for word, own in zip(words.text.tolist(), words.language.tolist(), strict=True):
        others = [frequencies[other][word] for other in LANGUAGES if other != own]
        assert frequencies[own][word] >= 10 * max(others)


def test_an_absent_package_and_an_unknown_language_are_named(monkeypatch):
    if importlib.util.find_spec("wordfreq"):
        with pytest.raises(WordsError, match=r"languages are \['xx'\]; expected some of"):
            load_words(["en", "xx"])

    def absent(name):
        raise ImportError(name)

    monkeypatch.setattr(module.importlib, "import_module", absent)
    with pytest.raises(WordsError, match=r"pip install 'filvm\[text\]'"):
        load_words()


def test_no_word_is_in_two_splits():
    text = np.array([f"w{i}" for i in range(100)])
    words = Words(text, np.array(["en", "fr"])[np.arange(100) % 2])
    splits = split_words(words, validation=10, test=20, seed=3)
    parts = [set(part.text.tolist()) for part in (splits.train, splits.validation, splits.test)]
    assert [len(part) for part in parts] == [70, 10, 20]
    assert set.union(*parts) == set(text.tolist())
    assert np.array_equal(split_words(words, 10, 20, seed=3).test.text, splits.test.text)
    assert not np.array_equal(split_words(words, 10, 20, seed=4).test.text, splits.test.text)
    own = dict(zip(words.text.tolist(), words.language.tolist(), strict=True))
    pairs = zip(splits.train.text.tolist(), splits.train.language.tolist(), strict=True)
    assert all(own[word] == language for word, language in pairs)
    with pytest.raises(ValueError, match="training needs words too"):
        split_words(words, 50, 50)

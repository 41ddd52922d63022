"""The judge reads letters; generated words are compared with what was asked for."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from filvm.analysis.words import (
    LanguageJudge,
    Made,
    letters_right,
    novelty,
    other_languages,
)
from filvm.data.words import Words


@pytest.fixture(scope="module")
def words():
    """Two languages that differ in their endings alone."""
    rng = np.random.default_rng(0)
    stems = ["".join(rng.choice(list("abcdef"), 4)) for _ in range(400)]
    endings = {"xx": "ung", "yy": "ione"}
    language = np.array(["xx", "yy"])[np.arange(400) % 2]
    return Words(np.array([s + endings[c] for s, c in zip(stems, language, strict=True)]), language)


def test_the_judge_learns_endings_and_reads_new_words_by_them(words):
    judge = LanguageJudge(words[:300])
    assert judge.languages == ("xx", "yy")
    assert judge.accuracy(words[300:]) == 1.0
    assert judge(["fadeung", "fadeione"]).tolist() == ["xx", "yy"]


def test_requests_are_met_one_by_one_and_together():
    made = Made(
        text=np.array(["abc", "abcd", "ab", "abcd"]),
        language=np.array(["xx", "xx", "yy", "yy"]),
        length=np.array([3, 3, 4, 4]),
        judged=np.array(["xx", "yy", "yy", "yy"]),
    )
    assert made.summary() == {
        "language": 0.75,
        "per_language": {"xx": 0.5, "yy": 1.0},
        "length_exact": 0.5,
        "length_within_one": 0.75,
        "both": 0.5,
    }


@given(st.lists(st.sampled_from(["en", "fr", "de"]), min_size=1), st.integers(0, 99))
def test_another_language_is_never_the_own_one(own, seed):
    languages = ["de", "en", "fr"]
    other = other_languages(np.array(own), languages, seed)
    assert (other != np.array(own)).all()
    assert set(other) <= set(languages)


def test_new_words_are_told_from_those_of_the_lists():
    found = novelty(["one", "two", "two", "zzz"], ["one"], ["one", "two"])
    assert found == {"in_training": 0.25, "real": 0.75, "different": 0.75}


def test_letters_beyond_the_shorter_word_are_wrong():
    assert letters_right(["abcd"], ["ab"]) == 0.5
    assert letters_right(["abcd", ""], ["abcd", ""]) == 1.0

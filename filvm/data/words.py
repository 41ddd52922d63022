"""Words of several languages, with language and length as side information.

The words are those of wordfreq's lists (extra `text`; the lists are inside the package, nothing is
downloaded). A word is folded to the letters a to z, and belongs to the language in which it is far
more frequent than in every other one:

    language(w) = argmax_l f_l(w),   kept if   max_l f_l(w) >= ratio * (second largest f_l(w))

where f_l(w) is the frequency of all forms of language l that fold to w. Source: R. Speer, wordfreq
3.1, https://doi.org/10.5281/zenodo.7199437.
"""

from __future__ import annotations

import importlib
import itertools
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

LANGUAGES = ("en", "fr", "de", "es", "it")
_LIGATURES = str.maketrans({"ß": "ss", "æ": "ae", "œ": "oe"})


class WordsError(ValueError):
    """The words cannot be read; the message says why and what to do."""


@dataclass(frozen=True)
class Words:
    """Words and their attributes, as arrays that share their first dimension.

    Attributes:
        text: the words, str [n].
        language: the code of each word's language, such as "en", str [n].

    `len`, indexing and slicing work along the first dimension.
    """

    text: np.ndarray
    language: np.ndarray

    @property
    def length(self) -> np.ndarray:
        """Number of letters, int64 [n]."""
        return np.char.str_len(self.text).astype(np.int64)

    def __len__(self) -> int:
        return len(self.text)

    def __getitem__(self, index: Any) -> Words:
        return Words(self.text[index], self.language[index])


@dataclass(frozen=True)
class WordSplits:
    """Training, validation and test words; no word is in two of them."""

    train: Words
    validation: Words
    test: Words


def fold(text: str) -> str:
    """Lower case without accents; ß, æ and œ become two letters.

    >>> fold("Größe"), fold("œuvre"), fold("señor")
    ('grosse', 'oeuvre', 'senor')
    """
    text = text.lower()
    if text.isascii():  # most of a million forms
        return text
    decomposed = unicodedata.normalize("NFKD", text.translate(_LIGATURES))
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def load_words(
    languages: Sequence[str] = LANGUAGES,
    *,
    most_frequent: int = 60_000,
    lengths: tuple[int, int] = (3, 12),
    ratio: float = 10.0,
) -> Words:
    """Words that belong to one of the languages, in alphabetical order.

    Args:
        languages: codes of wordfreq's large lists.
        most_frequent: entries read of each list, the most frequent ones.
        lengths: smallest and largest number of letters, both included.
        ratio: a word is kept if it is at least so many times as frequent in its language as in
            every other one.

    Raises:
        WordsError: wordfreq is not installed, or has no list of a language.

    With its defaults 182,504 words: en 35,813, fr 33,771, de 37,833, es 37,538, it 37,549.
    """
    shortest, longest = lengths
    frequencies: dict[str, np.ndarray] = {}
    for place, listed in enumerate(_lists(languages)):
        for form, frequency in itertools.islice(listed.items(), most_frequent):
            word = fold(form)
            if shortest <= len(word) <= longest and word.isascii() and word.isalpha():
                row = frequencies.setdefault(word, np.zeros(len(languages)))
                row[place] += frequency
    text = np.array(sorted(frequencies), dtype=str)
    table = np.array([frequencies[word] for word in text.tolist()])
    two_largest = np.sort(table, axis=1)[:, -2:]
    kept = two_largest[:, -1] >= ratio * two_largest[:, 0] if len(languages) > 1 else slice(None)
    return Words(text[kept], np.array(languages, dtype=str)[table[kept].argmax(axis=1)])


def split_words(
    words: Words, validation: int = 10_000, test: int = 10_000, seed: int = 0
) -> WordSplits:
    """Split words at random in three parts.

    Args:
        words: all of them; every word once.
        validation: number of validation words.
        test: number of test words.
        seed: of the order.

    Raises:
        ValueError: no word would be left to train on.
    """
    held_out = validation + test
    if not 0 < held_out < len(words):
        raise ValueError(
            f"validation and test are {validation} and {test} of {len(words)} words; expected "
            "fewer, and at least one: training needs words too"
        )
    order = np.random.default_rng(seed).permutation(len(words))
    held, train = order[:held_out], order[held_out:]
    return WordSplits(words[train], words[held[:validation]], words[held[validation:]])


def listed_forms(languages: Sequence[str] = LANGUAGES) -> frozenset[str]:
    """Every entry of the languages' large lists, folded: about a million forms.

    A generated word that is none of them is probably no word of these languages.

    Raises:
        WordsError: as in `load_words`.
    """
    return frozenset(fold(form) for listed in _lists(languages) for form in listed) - {""}


def _lists(languages: Sequence[str]) -> list[dict[str, float]]:
    """wordfreq's large list of each language: entry -> frequency, most frequent first."""
    try:
        wordfreq = importlib.import_module("wordfreq")
    except ImportError:
        raise WordsError(
            "wordfreq is not installed; expected the extra text: pip install 'filvm[text]'"
        ) from None
    known = sorted(wordfreq.available_languages("large"))
    if unknown := [language for language in languages if language not in known]:
        raise WordsError(f"languages are {unknown}; expected some of {known}")
    return [wordfreq.get_frequency_dict(language, "large") for language in languages]

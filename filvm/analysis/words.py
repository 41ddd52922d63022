"""Measures of generated words: a language judge, exact lengths, and novelty.

The judge reads the letters of a word, never a latent. Its own accuracy on real words is the level
that agreement with it is to be compared with: names and loan words have no clear language.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import SGDClassifier
from sklearn.pipeline import make_pipeline

from filvm.analysis.manipulation import other_classes
from filvm.vae.elbo import collapse_sentence

if TYPE_CHECKING:
    from filvm.data.words import Words
    from filvm.lens import LensPipeline
    from filvm.vae import TextVAE


class LanguageJudge:
    """A linear classifier of the n-grams of letters, from 1 to 5, with the word's ends.

    Args:
        words: to learn from.
        seed: of the order of its training.

    Attributes:
        languages: that it can answer, in alphabetical order.
    """

    def __init__(self, words: Words, seed: int = 0) -> None:
        grams = TfidfVectorizer(
            analyzer="char_wb", ngram_range=(1, 5), min_df=min(3, len(words)), dtype=np.float32
        )
        machine = SGDClassifier(alpha=2e-6, max_iter=6, tol=None, random_state=seed)
        self._classifier = make_pipeline(grams, machine).fit(words.text, words.language)
        self.languages = tuple(self._classifier.classes_.tolist())

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """The languages of words, str [n]."""
        return self._classifier.predict(np.asarray(texts, dtype=str))

    def accuracy(self, words: Words) -> float:
        """The share of words that are given their own language."""
        return float(np.mean(self(words.text) == words.language))


def lengths(texts: Sequence[str]) -> np.ndarray:
    """Number of letters, int64 [n]."""
    return np.char.str_len(np.asarray(texts, dtype=str)).astype(np.int64)


def letters_right(true: Sequence[str], texts: Sequence[str]) -> float:
    """The share of places that hold the same letter, of the places up to the longer word's end.

    >>> letters_right(["abc", "de"], ["abd", "d"])
    0.6
    """
    same = places = 0
    for a, b in zip(np.asarray(true).tolist(), np.asarray(texts).tolist(), strict=True):
        same += sum(x == y for x, y in zip(a, b, strict=False))
        places += max(len(a), len(b))
    return same / max(places, 1)


def text_report(vae: TextVAE, texts: Sequence[str], seed: int = 0) -> dict[str, Any]:
    """Measure a VAE of texts on held-out ones.

    Returns:
        `right`: the share of texts that come back whole, with z = z_mean, and `right_sampled` with
        a draw of z; `letters_right`; `length_exact`; `kl` and `kl_per_dimension` in nats; and
        `collapse`, the sentence of `VAE.collapse_report`.
    """
    texts = np.asarray(texts, dtype=str)
    made, drawn = vae.reconstruct(texts), vae.reconstruct(texts, sampled=True, seed=seed)
    kl = vae.kl_per_dimension(texts)
    return {
        "right": float(np.mean(made == texts)),
        "right_sampled": float(np.mean(drawn == texts)),
        "letters_right": letters_right(texts, made),
        "length_exact": float(np.mean(lengths(made) == lengths(texts))),
        "kl": float(kl.sum()),
        "kl_per_dimension": kl.tolist(),
        "collapse": collapse_sentence(kl),
    }


@dataclass(frozen=True)
class Made:
    """Generated words, with the language and the length asked for: arrays [n].

    Attributes:
        text: the words.
        language: asked for, or to be kept.
        length: the same.
        judged: the languages that the judge gives.
    """

    text: np.ndarray
    language: np.ndarray
    length: np.ndarray
    judged: np.ndarray

    def summary(self) -> dict[str, Any]:
        """`language`: share of words whose judged language is the one asked for, in all and
        `per_language`; `length_exact`; `length_within_one`; and `both`."""
        agrees = self.judged == self.language
        difference = np.abs(lengths(self.text) - self.length)
        return {
            "language": float(agrees.mean()),
            "per_language": {
                str(language): float(agrees[self.language == language].mean())
                for language in np.unique(self.language)
            },
            "length_exact": float(np.mean(difference == 0)),
            "length_within_one": float(np.mean(difference <= 1)),
            "both": float(np.mean(agrees & (difference == 0))),
        }


def novelty(
    texts: Sequence[str], training: Collection[str], real: Collection[str]
) -> dict[str, float]:
    """Shares of the words that are in the training list, and that are real words at all.

    Args:
        texts: generated.
        training: the words of the training split.
        real: all known words, such as `filvm.data.words.listed_forms()`.
    """
    texts = np.asarray(texts).tolist()
    trained, listed = frozenset(training), frozenset(real)
    n = max(len(texts), 1)
    return {
        "in_training": sum(text in trained for text in texts) / n,
        "real": sum(text in listed for text in texts) / n,
        "different": len(set(texts)) / n,
    }


def words_on_request(
    model: LensPipeline, judge: LanguageJudge, words: Words, *, seed: int = 0
) -> Made:
    """Ask for the language and the length of every word, with the rest of z* drawn from its prior.

    Args:
        model: VAE and lens with the attributes `language` and `length`.
        judge: of the languages.
        words: real words, whose languages and lengths are asked for.
        seed: of the rest.
    """
    asked = {"language": words.language, "length": words.length.astype(np.float64)}
    text = model.sample(len(words), seed=seed, **asked)
    return Made(text, words.language, words.length, judge(text))


def change_language(
    model: LensPipeline, judge: LanguageJudge, words: Words, *, seed: int = 0
) -> tuple[Made, float]:
    """Change the language of every word to another one, then set z*_0 back.

    Args:
        model, judge: as in `words_on_request`.
        words: real words.
        seed: of the new languages.

    Returns:
        The changed words, whose lengths were to stay; and the share of words that are the VAE's
        reconstruction again after the way back.
    """
    other = other_languages(words.language, judge.languages, seed)
    z = model.latents(words.text)
    changed = model.lens.manipulate(z, language=other)
    dimension = model.lens.dimension("language")
    own = model.lens.infer(z)[:, dimension]
    back = model.vae.decode(model.lens.set_dimension(changed, dimension, own))
    text = model.vae.decode(changed)
    returned = float(np.mean(back == model.vae.decode(z)))
    return Made(text, other, words.length, judge(text)), returned


def other_languages(own: np.ndarray, languages: Sequence[str], seed: int = 0) -> np.ndarray:
    """For each language another one, drawn uniformly.

    >>> other_languages(np.array(["en", "fr"]), ["en", "fr"]).tolist()
    ['fr', 'en']
    """
    languages = np.asarray(languages)
    place = np.array([int(np.flatnonzero(languages == language)[0]) for language in own])
    return languages[other_classes(place, len(languages), seed)]


def words_returned(model: LensPipeline, words: Words) -> dict[str, float]:
    """The share of words that come back, whole, from the VAE alone and through the lens.

    vae: x -> z -> x          lens: x -> z -> z* -> z -> x
    """
    z = model.latents(words.text)
    through = model.vae.decode(model.lens.generate(model.lens.infer(z)))
    return {
        "vae": float(np.mean(model.vae.decode(z) == words.text)),
        "lens": float(np.mean(through == words.text)),
    }

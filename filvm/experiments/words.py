"""The task of words: language and length, on the latents of vae-words."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np

from filvm.analysis.round_trip import round_trip_report
from filvm.analysis.words import (
    LanguageJudge,
    change_language,
    novelty,
    words_on_request,
    words_returned,
)
from filvm.data import Categorical, Continuous
from filvm.data.side_information import Attribute
from filvm.data.words import LANGUAGES, Words, WordSplits, listed_forms, load_words, split_words
from filvm.experiments.measures import LensMetrics, Samples, code_measures
from filvm.experiments.seeds import same_seed
from filvm.experiments.settings import Recipe, TextVaeSettings
from filvm.lens import LensPipeline
from filvm.runs.experiment import kept_settings
from filvm.runs.run import Run
from filvm.vae import VAE

DRAWS = 2  # of z, for each word in the training of a lens


all_words, all_forms = cache(load_words), cache(listed_forms)  # read once per process


def word_splits(settings: TextVaeSettings) -> WordSplits:
    """The words of vae-words; a function of its settings."""
    splits = split_words(all_words(), settings.validation, settings.test, settings.seed)
    return WordSplits(splits.train[: settings.train_limit or None], splits.validation, splits.test)


def trained_words(run: Run) -> WordSplits:
    """The words that a run of vae-words was trained on."""
    return word_splits(kept_settings(run, TextVaeSettings()))


def word_attributes(words: Words) -> dict[str, np.ndarray]:
    """Language, str [n], and length, float32 [n]."""
    return {"language": words.language, "length": words.length.astype(np.float32)}


@dataclass(frozen=True)
class WordTask:
    """Language and length of words."""

    vae: str = "vae-words"
    attributes: tuple[Attribute, ...] = (
        Categorical("language", LANGUAGES),
        Continuous("length"),
    )

    def training_samples(self, run: Run, vae: VAE, recipe: Recipe) -> tuple[Samples, Samples]:
        words = trained_words(same_seed(run, self.vae))
        train = words.train[: recipe.train_limit or None]
        rng = np.random.default_rng(recipe.seed)

        def draws(part: Words, copies: int) -> Samples:
            """Draws from q(z|x): z_mean also holds what the decoder does not use."""
            mean, log_var = vae.encode(part.text)
            sd = np.exp(0.5 * log_var)
            z = [mean + sd * rng.standard_normal(mean.shape, np.float32) for _ in range(copies)]
            known = {name: np.tile(v, copies) for name, v in word_attributes(part).items()}
            return np.concatenate(z), known

        return draws(train, DRAWS), draws(words.validation, 1)

    def measure(self, run: Run, model: LensPipeline, recipe: Recipe) -> LensMetrics:
        splits = trained_words(same_seed(run, self.vae))
        words = splits.test[: recipe.test_limit or None]
        judge, known = LanguageJudge(splits.train), word_attributes(words)
        z = model.latents(words.text)
        read = model.lens.predict_side_information(z)
        test = {
            **code_measures(model.lens, z, known),
            "secondary_network": {
                "language_accuracy": float(np.mean(read["language"] == words.language)),
                "length_mae": float(np.mean(np.abs(read["length"] - words.length))),
            },
            "judge_accuracy": judge.accuracy(words),
            "words_right": words_returned(model, words),
        }
        asked = words_on_request(model, judge, words)
        changed, returned = change_language(model, judge, words)
        manipulation = {
            "on_request": {
                **asked.summary(),
                **novelty(asked.text, splits.train.text, all_forms()),
            },
            "changed_language": {**changed.summary(), "returned": returned},
        }
        other = {"language": changed.language}
        back = round_trip_report(model, z, known, other)
        return LensMetrics(test, run.training_seconds(), manipulation, back)

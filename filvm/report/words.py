"""From the finished runs of words to the figures and tables of docs/beyond.md."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from filvm.analysis.words import LanguageJudge, lengths
from filvm.data.words import LANGUAGES
from filvm.experiments.words import trained_words
from filvm.figures.words import word_map_figure, word_table_figure
from filvm.lens import LensPipeline
from filvm.report.registry import save
from filvm.report.tables import text_of, value_at
from filvm.runs.workspace import Workspace

LENS = "invertible-words"  # of the figures
NAMES = {"en": "English", "fr": "French", "de": "German", "es": "Spanish", "it": "Italian"}
ASKED_LENGTHS = range(3, 13)
MORPHED = ("window", "parapluie", "freundschaft", "corazon", "finestra")
WORDS_INTRODUCTION = """## Words of five languages

The report leaves texts to the future. `TextVAE` maps words of 3 to 12 letters to 24 numbers and
back; a lens gives language and length a dimension each. The words are wordfreq's (English, French,
German, Spanish, Italian; accents folded). An n-gram classifier of the letters judges languages; its
own accuracy on real words is {judge}. Of held-out words, {right} come back from the VAE whole, with
a KL term of {kl} nats; {collapse}.

![Test words in the dimensions of language and length](words_map.png)

![One word for each language and length asked for](words_asked.png)

![Five words with another language, and with another length](words_morphing.png)

"""
WORDS_LIMITS = """What limits it: all letters of a word together tell its language, so in z the
languages overlap, and most of N(0, I) decodes to strings that are no words. About these the judge's
answer means little. Language is therefore read better than it is made. The length is read nearly
exactly; on request it is often one letter off.

"""


def words_introduction(workspace: Workspace) -> str:
    """The text above the table, with the levels to compare with."""
    vae, lens = (workspace.run(name).metrics() for name in ("vae-words", LENS))
    return WORDS_INTRODUCTION.format(
        judge=text_of(value_at(lens, "test.judge_accuracy", LENS), ".3f"),
        right=text_of(value_at(vae, "test.right", "vae-words"), ".3f"),
        kl=text_of(value_at(vae, "test.kl", "vae-words"), ".0f"),
        collapse=value_at(vae, "test.collapse", "vae-words").partition(";")[0],
    )


def draw_words(workspace: Workspace, folder: Path) -> None:
    """Write the three figures of words into `folder`."""
    splits = trained_words(workspace.run("vae-words"))
    run = workspace.run(LENS)
    model, judge = run.model(), LanguageJudge(splits.train)
    test = splits.test[:10_000]
    alignment = run.metrics()["test"]["codes"]["alignment"]
    figure = word_map_figure(
        model.encode(test.text)[:, :2],
        test.language,
        test.length,
        order=LANGUAGES,
        notes=(
            f"language read from z*[0]: {alignment['language']['accuracy']:.3f}",
            f"Spearman of z*[1] with length: {alignment['length']['spearman']:.3f}",
        ),
        title="test words, language and length withheld",
    )
    save(figure, folder / "words_map.png")

    asked = [(length, language) for length in ASKED_LENGTHS for language in LANGUAGES]
    wanted, languages = map(np.array, zip(*asked, strict=True))
    made = model.sample(len(asked), seed=0, language=languages, length=wanted.astype(np.float64))
    shape = (len(ASKED_LENGTHS), len(LANGUAGES))
    figure = word_table_figure(
        made.reshape(shape),
        (judge(made) == languages).reshape(shape),
        (lengths(made) == wanted).reshape(shape),
        rows=[f"{length} letters" for length in ASKED_LENGTHS],
        columns=list(NAMES.values()),
        title="words for each language and length asked for, the rest of z* random",
    )
    save(figure, folder / "words_asked.png")

    words, right, exact = morphs(model, judge)
    figure = word_table_figure(
        words,
        right,
        exact,
        rows=MORPHED,
        columns=[*NAMES.values(), *(f"{length} letters" for length in (5, 7, 9))],
        title="five words with another language, and with another length",
    )
    save(figure, folder / "words_morphing.png")


def morphs(model: LensPipeline, judge: LanguageJudge) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Each word of `MORPHED` in every language, then with 5, 7 and 9 letters.

    Returns:
        The words, str [words, changes]; whether the judge gives the language asked for, or, where
        the length changes, that of the word; and whether the length is the one asked for.
    """
    rows, right, exact = [], [], []
    for word in MORPHED:
        other = model.manipulate([word] * len(LANGUAGES), language=np.array(LANGUAGES))
        resized = model.manipulate([word] * 3, length=np.array([5.0, 7.0, 9.0]))
        own = judge([word])[0]
        rows.append([*other, *resized])
        right.append([*(judge(other) == LANGUAGES), *(judge(resized) == own)])
        exact.append([*(lengths(other) == len(word)), *(lengths(resized) == [5, 7, 9])])
    return np.array(rows), np.array(right), np.array(exact)

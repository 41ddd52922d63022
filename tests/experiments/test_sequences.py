"""The sequence experiments run end to end on little data, and give what the figures need."""

import numpy as np
import pytest

from filvm.data import Continuous
from filvm.experiments import EXPERIMENTS
from filvm.experiments.sequences import SEQUENCE_RANGES, sequence_splits
from filvm.experiments.settings import SequenceVaeSettings
from filvm.report import arrays


@pytest.fixture(scope="module")
def run(train_smoke):
    return train_smoke("filvm-sequences").run("vae-sequences")


def test_the_vae_leaves_a_model_and_every_level_in_its_metrics(run):
    test = run.metrics()["test"]
    for level in ("mean_absolute_error", "length_exact", "median_step_exact", "whole_exact"):
        assert np.isfinite(test[level]), level
    true, numbers, lengths = arrays.reconstructed_sequences(run.workspace)
    assert true.length.tolist() == [20, 24, 7, 13]
    assert numbers.shape == (4, 30, 1)
    assert lengths.shape == (4,)


def test_full_quick_and_smoke_hold_out_sequences_that_none_trains_on():
    settings = SequenceVaeSettings(sequences=5_000, validation=500, test=500)
    parts = sequence_splits(settings)
    train, validation, test = (
        set(map(tuple, part.triples)) for part in (parts.train, parts.validation, parts.test)
    )
    assert not train & validation
    assert not train & test
    assert not validation & test


def test_a_lens_trains_on_the_vae_measures_every_level_and_gives_what_figures_need(run):
    own = run.workspace.run("filvm-sequences")
    test = own.metrics()["test"]
    assert test["codes"]["assigned"] == {"start": 0, "step": 1, "length": 2}
    for table in ("spearman", "moved", "moved_elsewhere"):
        assert {key: len(row) for key, row in test[table].items()} == dict.fromkeys(
            SEQUENCE_RANGES, 4
        )
    assert own.model().lens.attribute_weights == {"start": 50.0, "step": 50.0, "length": 50.0}
    clouds, values = arrays.sequence_clouds(run.workspace, {"filvm-sequences": "ours"})
    assert len(clouds) == 2
    assert set(values) == {"start", "step", "length", "final"}
    assert arrays.effects(run.workspace, "filvm-sequences", points=5).read["step"].shape == (4, 5)
    groups = arrays.swept_sequences(run.workspace, "filvm-sequences", points=3)
    assert [len(group) for group in groups] == [3, 3, 3, 3]


def test_the_report_recipe_is_the_reports():
    report = EXPERIMENTS["filvm-sequences-report"].profiles["full"]
    assert (report.beta, report.scaling) == (0.03, 3.0)
    assert report.terms(4, [Continuous("start")]) == {
        "beta": 0.03,
        "latent_variance": 2.0,
        "attribute_weights": {"start": 18.0},
    }
    assert report.swap_weight == 0
    assert not report.informed_generative
    assert not report.positive_slopes

import typing
from dataclasses import replace
from typing import Annotated

import numpy as np
import pytest

from filvm import cli
from filvm.experiments import (
    ABLATIONS,
    EXPERIMENTS,
    Experiment,
    TrainOptions,
    Workspace,
    catalogue,
    find_experiment,
    train_with_needs,
)
from filvm.experiments.ablations import ablation_name, variants
from filvm.experiments.catalogue import ABLATION_STUDIES
from filvm.experiments.digit_data import with_known
from filvm.experiments.seeds import same_seed
from filvm.experiments.settings import TARGETS, FilvmRecipe, FlowSettings, as_reported
from filvm.runs.experiment import checked_settings

LABELS = np.arange(50, dtype=np.uint8) % 10
THICKNESS = np.linspace(1, 4, 50)
KNOWN = {"digit": LABELS, "thickness": THICKNESS}


def test_side_information_is_kept_for_as_many_digits_as_asked():
    side = with_known(KNOWN, 7, seed=0)
    known = side["digit"] >= 0
    assert known.sum() == 7
    assert np.array_equal(known, ~np.isnan(side["thickness"]))
    assert np.array_equal(side["digit"][known], LABELS[known])
    assert np.array_equal(side["thickness"][known], THICKNESS[known].astype(np.float32))
    assert not np.array_equal(known, with_known(KNOWN, 7, seed=1)["digit"] >= 0)


def test_zero_keeps_the_side_information_of_all():
    side = with_known(KNOWN, 0, seed=0)
    assert np.array_equal(side["digit"], LABELS)
    assert np.array_equal(side["thickness"], THICKNESS.astype(np.float32))


def test_what_an_experiment_needs_is_trained_first(tmp_path, monkeypatch):
    trained = []

    def step(name, needs=()):
        return Experiment(
            name,
            "",
            {"smoke": FlowSettings()},
            lambda settings, run: trained.append((run.name, settings.steps)),
            lambda settings, run: {},
            needs,
        )

    experiments = {"first": step("first"), "second": step("second", ["first"])}
    monkeypatch.setattr(catalogue, "EXPERIMENTS", experiments)
    workspace, options = Workspace("smoke", tmp_path), TrainOptions(["steps=5"])
    for _ in range(2):
        train_with_needs("second", workspace, options)
    # overrides are for the one that is named
    assert trained == [("first", FlowSettings().steps), ("second", 5)]


@pytest.mark.parametrize("experiment", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_every_number_has_a_range_that_holds_all_profiles(experiment):
    for profile, settings in experiment.profiles.items():
        assert checked_settings(experiment, profile, []) == settings
        kinds = typing.get_type_hints(type(settings), include_extras=True)
        for name, kind in kinds.items():
            kind = typing.get_args(kind)[0] if typing.get_origin(kind) is tuple else kind
            assert kind is bool or typing.get_origin(kind) is Annotated, name


def test_the_targets_are_the_energies():
    from filvm.flows import ENERGIES

    assert tuple(ENERGIES) == TARGETS


@pytest.mark.parametrize(
    ("name", "override"),
    [
        ("vae-mnist", "batch_size=0"),
        ("vae-mnist", "batch_size=-4"),
        ("vae-mnist", "latent_dim=0"),
        ("vae-mnist", "latent_dim=1000000000"),  # TensorFlow would end the process
        ("vae-mnist", "train_limit=3000000000"),
        ("vae-mnist", "epochs=-1"),
        ("vae-mnist", "epochs=9"),
        ("vae-mnist", "steps=0"),
        ("vae-mnist", "distorted=2"),
        ("vae-mnist", "distorted=nan"),
        ("vae-mnist", "train_limit=-5"),
        ("vae-mnist", "validation=100000"),
        ("vae-mnist", "beta=-1"),
        ("vae-mnist", "learning_rate=inf"),
        ("vae-mnist", "seed=-1"),
        ("vae-sequences", "dense_units=0"),
        ("vae-sequences", "beta_2=1"),
        ("filvm-mnist", "hidden_units=8,0"),
        ("filvm-mnist", "attribute_weights=1"),
        ("filvm-mnist", "lens=pca"),
        ("filvm-mnist", "latent_variance=0"),
        ("flow-density", "target=circle"),
        ("flow-density", "lengths=2,0"),
        ("flow-density", "pixels=100000"),
        ("invertible-mnist", "num_couplings=0"),
        ("vae-sequences", "sequences=1000000000"),
    ],
)
def test_a_setting_out_of_its_range_is_one_sentence_and_nothing_is_written(
    tmp_path, capsys, name, override
):
    setting = override.split("=")[0]
    folders = ["--runs", str(tmp_path / "runs"), "--data", str(tmp_path / "data")]
    assert cli.main(["train", name, "--profile", "smoke", "--set", override, *folders]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert err.startswith(f"filvm: {name}: {setting} ")
    assert "; expected " in err
    assert not list(tmp_path.iterdir())


def test_the_reports_recipe_has_nothing_of_ours_but_its_sizes_and_steps():
    ours = FilvmRecipe(attribute_weights=(20.0, 40.0), critic_weight=20.0, aggregate_weight=10.0)
    plain = replace(ours, critic_weight=0.0, aggregate_weight=0.0)
    assert as_reported(ours, beta=0.1, scaling=3.0) == as_reported(plain, beta=0.1, scaling=3.0)


def test_an_amendment_alone_is_the_reports_recipe_and_its_weight_in_the_reports_terms():
    ours = FilvmRecipe(attribute_weights=(20.0, 40.0), swap_weight=50.0, independence_weight=100.0)
    reported = as_reported(ours, beta=0.1, scaling=3.0)
    found = variants(reported, ours, labels=True)
    swap = found["with swap consistency alone"]
    assert swap == replace(reported, swap_weight=2.5)  # 50 / 20 * 1
    assert found["with independence alone"] == replace(reported, independence_weight=5.0)
    assert found["with ordered softmax alone"] == replace(reported, ordered_softmax=True)
    assert found["numbers not scaled"] == replace(reported, scaling=1.0)
    assert "numbers not scaled" not in variants(found["numbers not scaled"], ours, labels=True)
    assert found["without swap consistency"] == replace(ours, swap_weight=0.0)


def test_a_number_has_the_weight_of_the_scaling_and_no_ordered_softmax():
    ours = FilvmRecipe(attribute_weights=(50.0, 50.0), swap_weight=25.0)
    found = variants(as_reported(ours, beta=0.1, scaling=3.0), ours, labels=False)
    assert found["with swap consistency alone"].swap_weight == 9.0  # 25 / 50 * 2 * 3^2
    assert not [name for name in found if "ordered softmax" in name]


def test_all_variants_of_a_data_set_are_shortened_by_the_same_factor():
    for data, study in ABLATION_STUDIES.items():
        for variant, full in study.variants.items():
            short = ABLATIONS[ablation_name(data, variant, 2)].profiles["full"]
            changes = {"epochs": 4, "seed": 2, **study.changes}
            assert short == replace(full, steps=full.steps // study.divisor, **changes)


@pytest.mark.parametrize(
    ("lens", "vae"),
    [
        ("filvm-mnist", "vae-mnist"),
        ("seeds/filvm-mnist/seed-2", "seeds/vae-mnist/seed-2"),
        ("ablations/mnist/ours/seed-2", "vae-mnist"),
    ],
)
def test_a_lens_reads_the_vae_that_the_catalogue_says_it_needs(tmp_path, lens, vae):
    assert same_seed(Workspace("full", tmp_path).run(lens), "vae-mnist").name == vae
    assert find_experiment(lens).needs[0] == vae

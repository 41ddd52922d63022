import typing
from typing import Annotated

import numpy as np
import pytest

from filvm import cli
from filvm.experiments import (
    EXPERIMENTS,
    Experiment,
    TrainOptions,
    Workspace,
    catalogue,
    train_with_needs,
)
from filvm.experiments.settings import TARGETS, FlowSettings
from filvm.experiments.tasks import with_known
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

import numpy as np

from filvm.experiments import Experiment, TrainOptions, Workspace, catalogue, train_with_needs
from filvm.experiments.settings import FlowSettings
from filvm.experiments.tasks import with_known

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

"""flow-density: fits are kept and taken up again, and the moons are what they are said to be."""

import dataclasses

import numpy as np
import pytest
from sklearn.datasets import make_moons
from sklearn.neighbors import KernelDensity

from filvm.experiments import (
    EXPERIMENTS,
    RunError,
    TrainOptions,
    Workspace,
    flow_density,
    run_experiment,
)
from filvm.experiments.flow_density import moons_references, two_moons
from filvm.flows import FlowFits
from filvm.flows.density import Parameters


def some_fits():
    rng = np.random.default_rng(0)
    shapes = [(3, 4, 2), (3, 4, 2), (3, 4), (3, 2), (3, 2)]
    parameters = Parameters(*(rng.normal(size=shape).astype(np.float32) for shape in shapes))
    history = rng.normal(size=(2, 3)).astype(np.float32)
    return FlowFits(parameters, np.arange(5, 8), np.array([250, 400]), history)


def test_fits_come_back_from_their_file_and_are_not_made_twice(tmp_path):
    fits, path = some_fits(), tmp_path / "model" / "two-modes_4.npz"
    made, seconds = flow_density.fitted_once(path, lambda: fits)
    assert made is fits
    kept, same_seconds = flow_density.fitted_once(path, lambda: pytest.fail("fitted twice"))
    assert seconds == same_seconds
    for left, right in zip(kept.parameters, fits.parameters, strict=True):
        np.testing.assert_array_equal(left, right)
    for name in ("seeds", "steps", "history"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(fits, name))


def test_history_has_a_row_for_every_look_at_every_attempt():
    fits = some_fits()
    rows = flow_density.history_rows(fits, "wave", 4)
    assert rows.step.tolist() == [250] * 3 + [400] * 3
    assert rows.seed.tolist() == [5, 6, 7] * 2
    np.testing.assert_array_equal(rows.loss, fits.history.ravel())


def test_the_truth_about_the_moons_agrees_with_a_density_estimated_from_many_of_them():
    settings = dataclasses.replace(
        EXPERIMENTS["flow-density"].profiles["smoke"], moons_samples=2000
    )
    _, held_out = two_moons(settings)
    many, _ = make_moons(40_000, noise=settings.moons_noise, random_state=1)
    many = (many - flow_density.MOONS_MEAN) / flow_density.MOONS_SCALE
    estimate = KernelDensity(bandwidth=0.05).fit(many).score(held_out) / len(held_out)
    references = moons_references(settings)
    assert references["truth"] == pytest.approx(estimate, abs=0.03)
    assert references["truth"] > references["gaussian"] + 0.8


def test_an_unknown_energy_is_refused_with_the_known_ones(tmp_path):
    run = Workspace("smoke", tmp_path).run("flow-density")
    with pytest.raises(RunError, match="target is moon; expected two-modes or "):
        run_experiment(EXPERIMENTS["flow-density"], run, TrainOptions(["target=moon"]))

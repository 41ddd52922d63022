"""Every experiment runs at the smoke size, is done once, and every figure is drawn from it."""

import json
import math

import pytest

from filvm.experiments import EXPERIMENTS, run_experiment
from filvm.figures.report import FIGURES, draw
from filvm.figures.results import write_results

pytestmark = pytest.mark.filterwarnings("ignore:MNIST could not be had")


def numbers(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    return [value] if isinstance(value, int | float) else []


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_leaves_finite_metrics_and_a_model(trained_runs, name):
    run = trained_runs.of(name)
    found = numbers(run.metrics())
    assert found
    assert all(math.isfinite(number) for number in found)
    assert json.loads((run.folder / "config.json").read_text())["settings"]["seed"] == 0
    assert not (run.folder / "checkpoint").exists()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_that_is_done_is_not_done_again(trained_runs, name):
    run = trained_runs.of(name)
    before = (run.folder / "metrics.json").stat().st_mtime_ns
    run_experiment(EXPERIMENTS[name], run)
    assert (run.folder / "metrics.json").stat().st_mtime_ns == before


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_drawn_from_its_runs(trained_runs, tmp_path, name):
    path = draw(name, trained_runs, tmp_path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert path.stat().st_size > 5_000


def test_the_table_has_every_experiment_with_results(trained_runs, tmp_path):
    write_results(trained_runs, tmp_path / "RESULTS.md")
    text = (tmp_path / "RESULTS.md").read_text("utf-8")
    assert "nan" not in text
    assert "## vae-mnist" in text

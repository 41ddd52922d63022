"""Every experiment runs at the smoke size, is done once, and every figure is drawn from it."""

import json
import math
import shutil
from pathlib import Path

import pytest

from filvm.experiments import (
    EXPERIMENTS,
    RunError,
    Workspace,
    run_experiment,
    train_with_needs,
)
from filvm.experiments.ablations import ablation_name
from filvm.report.beyond import draw_beyond
from filvm.report.figures import FIGURES, draw
from filvm.report.hero import draw_hero
from filvm.report.publish import publish
from filvm.report.results import write_results
from filvm.runs import models

pytestmark = pytest.mark.filterwarnings("ignore:Made from a built-in sample")


def numbers(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for item in value for number in numbers(item)]
    return [value] if isinstance(value, int | float) else []


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_leaves_finite_metrics_and_a_model(trained_runs, name):
    run = trained_runs.run(name)
    found = numbers(run.metrics())
    assert found
    assert all(math.isfinite(number) for number in found)
    assert json.loads((run.folder / "config.json").read_text())["settings"]["seed"] == 0
    assert not (run.folder / "checkpoint").exists()


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_that_is_done_is_not_done_again(trained_runs, name):
    run = trained_runs.run(name)
    before = (run.folder / "metrics.json").stat().st_mtime_ns
    run_experiment(EXPERIMENTS[name], run)
    assert (run.folder / "metrics.json").stat().st_mtime_ns == before


def test_a_finished_run_loads_its_model_once_until_it_is_made_anew(trained_runs, tmp_path):
    folder = tmp_path / "smoke" / "vae-mnist"
    shutil.copytree(trained_runs.run("vae-mnist").folder, folder)
    run = Workspace("smoke", tmp_path).run("vae-mnist")
    model = run.model()
    assert run.workspace.run("vae-mnist").model() is model
    (folder / "model" / "model.keras").touch()
    assert run.model() is not model
    (folder / ".done").unlink()
    with pytest.raises(RunError, match="is not a complete run"):
        run.model()


def test_lenses_on_one_vae_share_it(trained_runs, monkeypatch):
    monkeypatch.setattr(models, "_models", {})
    names = ("vae-mnist", "filvm-mnist", "ilvm-mnist", "filvm-mnist-r")
    vae, filvm, ilvm, rotated = (trained_runs.run(name).model() for name in names)
    assert filvm.vae is vae
    assert ilvm.vae is vae
    assert rotated.vae is not vae


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


def test_the_moving_picture_of_the_readme_is_small(trained_runs, tmp_path):
    draw_hero(trained_runs, tmp_path / "hero.gif")
    assert (tmp_path / "hero.gif").read_bytes().startswith(b"GIF89a")
    assert 5_000 < (tmp_path / "hero.gif").stat().st_size < 2_000_000


def test_what_is_beyond_the_report_stands_beside_the_filvm(trained_runs, tmp_path):
    draw_beyond(trained_runs, tmp_path)
    for name in ("undone", "trade_off", "traversals"):
        assert (tmp_path / f"{name}.png").stat().st_size > 5_000
    text = (tmp_path / "beyond.md").read_text("utf-8")
    assert "nan" not in text
    assert "| FILVM, draws " in text
    assert "| numbers   | numbers and differences   |" in text
    for name in ("invertible-mnist", "invertible-mnist-r", "invertible-sequences"):
        assert f"## {name.removeprefix('invertible-')}\n" in text
        of_way_back = trained_runs.run(name).metrics()["way_back"]
        assert of_way_back["round_trip"] < 1e-4
        assert of_way_back["latents"] < 1e-3


def test_an_ablation_is_trained_with_its_variant_and_its_seed(trained_runs, eager):
    found = []
    for seed in (0, 1):
        name = ablation_name("mnist", "side information of 100 digits", seed)
        found.append(train_with_needs(name, trained_runs)["test"])
        settings = trained_runs.run(name).config()["settings"]
        assert (settings["known"], settings["seed"]) == (100, seed)
    assert found[0] != found[1]


def test_what_was_not_made_from_mnist_is_not_published(trained_runs, tmp_path):
    with pytest.raises(RunError, match="sample of 5,000 MNIST digits"):
        publish(trained_runs, tmp_path, tmp_path)
    assert not any(tmp_path.iterdir())


def test_what_a_complete_run_made_is_published(tmp_path):
    workspace, docs, notebooks = (
        Workspace("smoke", tmp_path / "runs"),
        tmp_path / "docs",
        tmp_path / "nb",
    )
    notebooks.mkdir()
    (notebooks / "one.ipynb").write_text("not executed")
    with pytest.raises(RunError, match="is missing"):
        publish(workspace, docs, notebooks)
    made = {"RESULTS.md": docs / "RESULTS.md", "notebooks/one.ipynb": notebooks / "one.ipynb"}
    made |= {f"figures/{name}.png": docs / "figures" / f"{name}.png" for name in FIGURES}
    pages = {
        "ablations/ablations.md": "![a figure](one.png) and ![another](two.png)",
        "ablations/ablations.csv": "",
        "ablations/one.png": "",
        "ablations/two.png": "",
    }
    made |= {name: docs / Path(name).name for name in pages}
    made["hero.gif"] = docs / "hero.gif"
    for name in (*made, "explorer/explorer.json"):
        (workspace.folder / name).parent.mkdir(parents=True, exist_ok=True)
        text = pages.get(name, f"what was made of {name}")
        (workspace.folder / name).write_text(text)
    assert set(publish(workspace, docs, notebooks)) == {*made.values(), docs / "explorer"}
    assert "explorer.json" in (docs / "explorer" / "explorer.json").read_text()
    for name, copy in made.items():
        assert copy.read_text() == (workspace.folder / name).read_text()

"""Every path of every table exists in the metrics, and a path that does not is an error."""

import numpy as np
import pandas as pd
import pytest

from filvm.experiments import EXPERIMENTS, RunError, Workspace
from filvm.experiments.catalogue import COMPARED
from filvm.report.beyond import (
    ERRORS,
    LINES,
    columns_of,
    comparison_table,
    metrics_of_seeds,
    morpho_table,
)
from filvm.report.results import results_rows, results_table
from filvm.report.tables import markdown_table, text_of, value_at

METRICS = {
    "test": {"kl": [1.0, 2.0, 3.0], "mse": None},
    "lengths": {"2": {"kl": 1}, "8": {"kl": 2}},
}


def cells(line):
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


def test_every_path_of_the_results_leads_to_a_value(trained_runs):
    names = results_rows()["experiment"].unique()
    assert set(names) <= set(EXPERIMENTS)
    for name in names:
        table = results_table(trained_runs, name)
        assert not table.isin(["-", "nan", ""])[["what", "ours"]].any(axis=None)


def test_every_path_beyond_the_report_leads_to_a_number(trained_runs):
    assert LINES.keys() == COMPARED.keys()
    for task, lines in LINES.items():
        metrics = metrics_of_seeds(trained_runs, COMPARED[task])
        assert list(metrics) == list(COMPARED[task])  # of one seed
        table = comparison_table(task, metrics)
        assert len(table) == len(lines) + len(ERRORS) + 1
        assert np.isfinite(table.astype(float)).all(axis=None)
    test = trained_runs.run("filvm-mnist-morpho").metrics()["test"]
    assert morpho_table(test).astype(float).notna().all(axis=None)


def test_a_cell_of_several_seeds_is_their_mean_and_standard_deviation():
    metrics = {"one": [{"a": 0.5}], "three": [{"a": 0.1}, {"a": 0.2}, {"a": 0.3}]}
    table = columns_of(metrics, {("what", "a"): ".2f"})
    assert table.loc["what"].to_dict() == {"one": "0.50", "three": "0.20 ± 0.10"}


def test_only_seeds_that_are_complete_are_counted(tmp_path, monkeypatch):
    monkeypatch.setattr("filvm.runs.run.Run.metrics", lambda run: {"of": run.name})
    complete = ("filvm-mnist", "seeds/filvm-mnist/seed-2")
    monkeypatch.setattr(
        "filvm.runs.run.Run.digest", lambda run: "x" * (run.name in complete) or None
    )
    found = metrics_of_seeds(Workspace("full", tmp_path), {"FILVM": "filvm-mnist"})
    assert found == {"FILVM, 2 seeds": [{"of": name} for name in complete]}


def test_a_row_with_several_seeds_has_their_mean_and_is_judged_by_it(tmp_path, monkeypatch):
    errors = {"vae-mnist": 0.020, "seeds/vae-mnist/seed-1": 0.012, "seeds/vae-mnist/seed-2": 0.016}

    def metrics(run):
        test = {"mse": errors[run.name], "mse_sampled": 0.03, "kl": 1, "kl_per_dimension": [1, 2.0]}
        return {"test": test, "pca_mse": 0.04, "seconds_to_report_mse": None}

    monkeypatch.setattr("filvm.runs.run.Run.metrics", metrics)
    monkeypatch.setattr("filvm.runs.run.Run.digest", lambda run: run.name)
    table = results_table(Workspace("full", tmp_path), "vae-mnist").set_index("what")
    assert list(table) == ["report's section", "report", "ours", "3 seeds", ""]
    error = "MNIST, 8 dimensions: test MSE per pixel, z = mean"
    assert table.loc[error, ["ours", "3 seeds", ""]].tolist() == [
        "0.02000",  # seed 0 alone does not reach the report's 0.01904
        "0.01600 ± 0.00400",
        "surpassed",
    ]
    assert table.loc["KL of each dimension, nats", "3 seeds"] == ""  # their order is accidental


def test_a_path_picks_entries_of_lists_and_of_dictionaries():
    assert value_at(METRICS, "test.kl[2,0]") == [3.0, 1.0]
    assert value_at(METRICS, "lengths.*.kl") == {"2": 1, "8": 2}
    assert value_at({"a": {"x": [1, 2], "y": [3, 4]}}, "a.*[1]") == {"x": [2], "y": [4]}
    assert value_at(METRICS, "test.mse") is None


@pytest.mark.parametrize(
    "path", ["test.mae", "tset.kl", "test.kl[3]", "test.kl.mean", "lengths.*.n"]
)
def test_a_path_that_does_not_exist_is_an_error_that_names_it(path):
    with pytest.raises(RunError, match="is missing in the metrics of vae-mnist") as raised:
        value_at(METRICS, path, "vae-mnist")
    assert path in str(raised.value)


def test_values_are_texts_by_their_format():
    assert text_of(0.01904, ".5f") == "0.01904"
    assert text_of([0.5, 0.25], ".1%") == "50.0%, 25.0%"
    assert text_of({"2": {"n": 3, "of": 4}, "8": {"n": 1, "of": 4}}, "{n} of {of}") == (
        "2: 3 of 4; 8: 1 of 4"
    )
    assert text_of(None, ".2f") == "none"


def test_a_cell_of_markdown_keeps_its_text_and_its_column():
    table = pd.DataFrame({"what": ["q(z*|z)", "x"], "value": ["0.10", "1e-4"]})
    lines = markdown_table(table).splitlines()
    assert cells(lines[0]) == ["what", "value"]
    assert cells(lines[2].replace("\\|", "¦")) == ["q(z*¦z)", "0.10"]
    assert cells(lines[3]) == ["x", "1e-4"]


def test_a_level_that_a_short_training_does_not_reach_is_not_comparable(trained_runs):
    table = results_table(trained_runs, "vae-mnist")
    assert "smoke profile: not comparable" in set(table[""])
    assert "not reached" not in set(table[""])

"""The page of the ablations: what it says follows from the metrics of the runs."""

import json

import numpy as np
import pandas as pd
import pytest

from filvm.experiments import RunError, Workspace
from filvm.experiments.ablations import OURS, REPORTED, ablation_name, alone, left_out
from filvm.experiments.catalogue import ABLATION_STUDIES
from filvm.report.ablations import (
    MEASURES,
    ablations_table,
    directions_text,
    draw_ablations,
    table_markdown,
)
from filvm.report.effects import (
    ALONE,
    IN_OURS,
    REPLACED,
    Change,
    Comparison,
    Measure,
    changes_text,
    comparisons,
    effects,
    verdict,
    verdicts_table,
    verdicts_text,
)
from filvm.report.tables import value_at
from filvm.version import __version__

HIGHER, LOWER = (
    Measure("accuracy", "a"),
    Measure("error", "e", better=-1, form=".4f", matters=0.001),
)


def complete(workspace, data, variant, seed, values=None):
    """A complete run with a metrics.json; every measure is 0.5 unless `values` has another one."""
    metrics = {}
    for measure in MEASURES[data]:
        *keys, last = measure.path.split(".")
        place = metrics
        for key in keys:
            place = place.setdefault(key, {})
        place[last] = (values or {}).get(measure.name, 0.5)
    if variant == "ILVM":
        metrics["manipulation"] = {}
    folder = workspace.run(ablation_name(data, variant, seed)).folder
    folder.mkdir(parents=True)
    (folder / "metrics.json").write_text(json.dumps(metrics))
    (folder / "config.json").write_text(json.dumps({"filvm": __version__, "settings": {}}))
    (folder / ".done").write_text("digest\n")


def table(**rows):
    """A table of the ablations from variant=[accuracy of every seed]; the error is a tenth."""
    return pd.DataFrame(
        [
            {"variant": name, "seed": seed, "accuracy": v, "error": v / 10}
            for name, values in rows.items()
            for seed, v in enumerate(values)
        ]
    )


@pytest.mark.parametrize(
    ("data", "names"),
    [
        ("mnist", ("filvm-mnist", "filvm-mnist-report", "invertible-mnist")),
        ("mnist-r", ("filvm-mnist-r", "filvm-mnist-r-report")),
        ("sequences", ("filvm-sequences-start-step", "filvm-sequences-report")),
    ],
)
def test_every_path_of_the_ablations_leads_to_a_number(trained_runs, data, names):
    for name in names:
        metrics = trained_runs.run(name).metrics()
        assert all(np.isfinite(value_at(metrics, measure.path)) for measure in MEASURES[data])


def test_the_page_has_the_data_sets_and_seeds_that_are_complete(tmp_path):
    workspace = Workspace("full", tmp_path)
    with pytest.raises(RunError, match="is not a complete run of the ablations of any data set"):
        draw_ablations(workspace, tmp_path)
    for variant in ABLATION_STUDIES["sequences"].variants:
        for seed in (0, 2):
            gain = 0.1 * (variant in (OURS, alone("independence")))
            complete(
                workspace, "sequences", variant, seed, {"start Spearman": -0.5 - gain - seed / 100}
            )
    complete(workspace, "sequences", OURS, 1)
    complete(workspace, "mnist", "ILVM", 0)
    names = {path.name for path in draw_ablations(workspace, tmp_path)}
    assert names == {"ablations.md", "ablations.csv", "ablations_sequences.png"}
    assert (tmp_path / "ablations_sequences.png").stat().st_size > 5_000

    text = (tmp_path / "ablations.md").read_text("utf-8")
    assert "MNIST is left out: 1 of 51 trainings are complete, and no seed has all 17" in text
    assert "MNIST-R is left out: 0 of 39 trainings" in text
    assert "2 seeds of 11 recipes. Ours has 1,560 steps of 256 samples; its full training" in text
    assert (
        "- **Independence**. In the report's recipe: pays; better: start Spearman (+0.100)." in text
    )
    assert "In ours: pays; better: start Spearman (+0.100)." in text
    assert "an axis falls while its attribute grows in 12 of 12 trainings; with" in text
    assert (
        "Parts that pay in the report's recipe, at a price or not, on every data set: indep" in text
    )
    assert "nan" not in text

    long = pd.read_csv(tmp_path / "ablations.csv")
    assert list(long) == ["data", "variant", "seed", "measure", "value"]
    assert len(long) == 11 * 2 * len(MEASURES["sequences"])
    assert set(long["seed"]) == {0, 2}


def test_what_an_ilvm_does_not_have_is_a_dash(tmp_path):
    workspace = Workspace("full", tmp_path)
    for variant in ABLATION_STUDIES["mnist"].variants:
        complete(workspace, "mnist", variant, 0)
    found = ablations_table(workspace, "mnist").set_index("variant")
    assert np.isnan(found.loc["ILVM", "digit on request"])
    assert found.drop(index="ILVM").notna().all(axis=None)
    line = table_markdown(found.reset_index(), MEASURES["mnist"]).splitlines()[2]
    assert line.count(" - ") == 3  # on request, changed, kept
    draw_ablations(workspace, tmp_path)
    assert "no change is judged" in (tmp_path / "ablations.md").read_text("utf-8")


def test_a_cell_is_mean_and_standard_deviation():
    lines = table_markdown(table(a=[0.25, 0.75], b=[0.5, 0.5]), (HIGHER, LOWER)).splitlines()
    assert "0.500 ± 0.354" in lines[2]
    assert "0.0500 ± 0.0354" in lines[2]
    assert "0.500 ± 0.000" in lines[3]


def test_an_axis_that_falls_is_counted():
    study = ABLATION_STUDIES["mnist"]
    rows = [("ILVM", -0.5), (REPORTED, -0.5), (REPORTED, 0.5), (OURS, 0.5)]
    found = pd.DataFrame(rows, columns=["variant", "thickness Spearman"])
    assert directions_text(found, study).endswith(
        "1 of 2 trainings; with them, in 0 of 1 trainings."
    )


@pytest.mark.parametrize(
    ("size", "spread", "counts"),
    [
        (0.05, 0.02, True),
        (-0.05, 0.02, True),
        (0.05, 0.026, False),
        (0.009, 0.0, False),
        (0.05, float("nan"), False),
    ],
)
def test_a_change_counts_beyond_twice_the_spread_and_what_matters(size, spread, counts):
    change = Change(HIGHER, size, spread)
    assert change.counts == counts
    assert change.text().startswith("**") == counts


def test_the_verdict_tells_gains_from_losses():
    gain, loss = Change(HIGHER, 0.1, 0.0), Change(LOWER, 0.1, 0.0)
    none = Change(HIGHER, -0.1, 0.1)
    assert verdict([gain, none]) == "pays"
    assert verdict([Change(LOWER, -0.1, 0.0)]) == "pays"
    assert verdict([gain, loss]) == "pays at a price"
    assert verdict([loss, none]) == "costs"
    assert verdict([none]) == "no effect"


def test_a_part_is_compared_in_the_reports_recipe_and_in_ours():
    pairs = comparisons(ABLATION_STUDIES["sequences"].variants)
    assert Comparison("independence", ALONE, REPORTED, alone("independence")) in pairs
    assert Comparison("independence", IN_OURS, left_out("independence"), OURS) in pairs
    assert Comparison("ours", REPLACED, REPORTED, OURS) in pairs
    assert "ordered softmax" not in {pair.part for pair in pairs}


def judged(ours, without):
    """Effects of independence, which does nothing alone."""
    rows = {"numbers not scaled": [0.5, 0.5], REPORTED: [0.5, 0.5], OURS: ours}
    rows |= {alone("independence"): [0.5, 0.5], left_out("independence"): without}
    return effects(table(**rows), (HIGHER,))


def test_a_change_is_the_mean_with_the_part_minus_the_mean_without_it():
    found = judged(ours=[0.8, 0.9], without=[0.6, 0.6])
    pair = Comparison("independence", IN_OURS, left_out("independence"), OURS)
    assert found[pair][0].size == pytest.approx(0.25)
    assert found[pair][0].spread == pytest.approx(np.std([0.8, 0.9], ddof=1))
    assert changes_text(found).splitlines()[1] == (
        "- **Independence**. In the report's recipe: no effect. "
        "In ours: pays; better: accuracy (+0.250)."
    )


def test_the_sentences_say_where_a_part_pays():
    verdicts = verdicts_table(
        {"A": judged([0.8, 0.8], [0.6, 0.6]), "B": judged([0.6, 0.6], [0.8, 0.8])}
    )
    assert list(verdicts.loc["independence"]) == ["no effect", "pays", "no effect", "costs"]
    assert list(verdicts.loc["scaled numbers"]) == ["no effect", "-", "no effect", "-"]
    alone_text, ours_text = verdicts_text(verdicts).splitlines()
    assert alone_text.endswith("on none: scaled numbers, independence.")
    assert ours_text.endswith("on some: independence (A).")

"""Every claim follows from the metrics of its runs, by a rule."""

from dataclasses import replace

import pytest

from filvm.experiments import EXPERIMENTS, RunError, Workspace
from filvm.files import write_json
from filvm.report.claims import CLAIMS, VERDICTS, Claim, claims_table
from filvm.version import __version__


def workspace_with(folder, **metrics):
    """A workspace in which the experiments named are complete, with these metrics."""
    workspace = Workspace("smoke", folder)
    for name, content in metrics.items():
        run = workspace.run(name.replace("_", "-"))
        run.folder.mkdir(parents=True)
        write_json(run.folder / "config.json", {"filvm": __version__})
        write_json(run.folder / "metrics.json", content)
        (run.folder / ".done").write_text("0\n")
    return workspace


def better_with_size(finite=20):
    lengths = {
        "2": {"best_kl": 0.3, "finite": 20, "attempts": 20},
        "32": {"best_kl": 0.01, "finite": finite, "attempts": 20},
    }
    return {"figure_6": {"lengths": lengths}}


def test_every_claim_needs_experiments_that_exist():
    for claim in CLAIMS:
        assert set(claim.needs) <= set(EXPERIMENTS)


def test_every_value_of_every_claim_exists_in_the_metrics(trained_runs):
    table = claims_table(trained_runs)
    assert len(table) == len(CLAIMS)
    verdicts = set(table.iloc[:, 3])
    assert verdicts <= {"holds", "surpassed", "contradicted", "not reproduced here"}
    assert all(f"`{verdict}`" in " ".join(VERDICTS.split()) for verdict in verdicts)


def test_a_claim_is_left_out_until_its_runs_are_complete(tmp_path):
    assert claims_table(Workspace("smoke", tmp_path)).empty


@pytest.mark.parametrize(("finite", "verdict"), [(20, "surpassed"), (7, "holds")])
def test_the_verdict_follows_from_the_metrics(tmp_path, finite, verdict):
    table = claims_table(workspace_with(tmp_path, flow_density=better_with_size(finite)))
    assert table["here"].tolist() == [
        "2 flows: KL 0.300, 32 flows: KL 0.010",
        f"{finite} of 20 end finite",
    ]
    assert table.iloc[:, 3].tolist() == ["holds", verdict]


def test_a_claim_whose_rule_is_not_met_is_contradicted(tmp_path):
    workspace = workspace_with(tmp_path, flow_density={"value": 1.0})
    claim = Claim(
        "0", "it is 2", ["flow-density"], lambda v: ("it is 1", v("flow-density", "value") == 2)
    )
    assert claim.row(workspace) == ["0", "it is 2", "it is 1", "contradicted"]
    with_another_vae = replace(claim, other_vae=True)
    assert with_another_vae.row(workspace)[-1] == "not reproduced here"


def test_a_missing_value_is_an_error_that_names_run_and_path(tmp_path):
    workspace = workspace_with(tmp_path, flow_density={"figure_6": {}})
    with pytest.raises(RunError, match=r"figure_6\.lengths.* is missing .* of flow-density"):
        claims_table(workspace)

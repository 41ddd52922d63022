import pytest

from filvm.experiments import EXPERIMENTS, Workspace
from filvm.files import write_json
from filvm.report.claims import CLAIMS, Claim, claims_table
from filvm.version import __version__


def run_with(folder, **metrics):
    """A complete run of every experiment named, with these metrics."""
    workspace = Workspace("smoke", folder)
    for name, content in metrics.items():
        of = workspace.run(name.replace("_", "-"))
        of.folder.mkdir(parents=True)
        write_json(of.folder / "config.json", {"filvm": __version__})
        write_json(of.folder / "metrics.json", content)
        (of.folder / ".done").write_text("0\n")
    return workspace


def better_with_size(finite=20):
    lengths = {
        "2": {"best_kl": 0.3, "finite": 20, "attempts": 20},
        "32": {"best_kl": 0.01, "finite": finite, "attempts": 20},
    }
    return {"figure_6": {"lengths": lengths}}


def test_every_claim_needs_experiments_that_there_are():
    for claim in CLAIMS:
        assert set(claim.needs) <= set(EXPERIMENTS)


def test_a_claim_is_not_judged_before_its_runs_are_complete(tmp_path):
    assert claims_table(Workspace("smoke", tmp_path)) == []


@pytest.mark.parametrize(("finite", "verdict"), [(20, "surpassed"), (7, "holds")])
def test_the_verdict_follows_from_the_metrics(tmp_path, finite, verdict):
    run = run_with(tmp_path, flow_density=better_with_size(finite))
    rows = claims_table(run)[4:-1]
    assert len(rows) == 2
    assert "2 flows: KL 0.300, 32 flows: KL 0.010 | holds |" in rows[0]
    assert f"{finite} of 20 end finite | {verdict} |" in rows[1]


def test_a_claim_that_fails_is_called_contradicted(tmp_path):
    run = run_with(tmp_path, flow_density={"value": 1.0})
    claim = Claim(
        "0",
        "it is 2",
        ["flow-density"],
        lambda m: "it is 1",
        lambda m: m["flow-density"]["value"] == 2.0,
    )
    assert claim.row(run) == ["0", "it is 2", "it is 1", "contradicted"]

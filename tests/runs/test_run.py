"""A run is made once, continued, never silently replaced, and made anew when its basis changes."""

import dataclasses
import json
from dataclasses import dataclass

import pytest

from filvm.files import exclusive
from filvm.runs.experiment import (
    Experiment,
    TrainOptions,
    evaluate,
    run_experiment,
    with_overrides,
)
from filvm.runs.run import RunError
from filvm.runs.workspace import Workspace


@dataclass(frozen=True)
class Settings:
    epochs: int = 3
    beta: float = 1.0
    layers: tuple[int, ...] = (8, 8)
    fast: bool = False
    title: str = "a"


class Counted:
    """An experiment that counts how often it is trained."""

    def __init__(self, name, needs=()):
        self.times = 0
        self.experiment = Experiment(
            name, "", {"smoke": Settings()}, self.train, self.measure, needs
        )

    def train(self, settings, run):
        self.times += 1

    def measure(self, settings, run):
        return {"value": self.times}


def experiment_of(name, train, needs=()):
    """An experiment that measures nothing."""
    return Experiment(name, "", {"smoke": Settings()}, train, lambda settings, run: {}, needs)


@pytest.fixture
def run(tmp_path):
    return Workspace("smoke", tmp_path / "runs", tmp_path / "data").run("first")


def test_overrides_keep_the_types_of_the_settings():
    changed = with_overrides(
        Settings(), ["epochs=7", "beta=1e-2", "layers=1,2,3", "fast=true", "title=b=c"]
    )
    assert changed == Settings(7, 0.01, (1, 2, 3), True, "b=c")


@pytest.mark.parametrize("override", ["epochs=x", "epoch=3", "epochs", "fast=1", "layers=1,,2"])
def test_an_override_that_makes_no_sense_is_named(override):
    with pytest.raises(RunError, match=f"--set {override}: expected"):
        with_overrides(Settings(), [override])


def test_what_is_done_is_not_done_again(run):
    first = Counted("first")
    assert run_experiment(first.experiment, run) == {"value": 1}
    assert run_experiment(first.experiment, run) == {"value": 1}
    assert first.times == 1


def test_other_settings_do_not_replace_a_run_unless_asked_to(run):
    first = Counted("first")
    run_experiment(first.experiment, run)
    with pytest.raises(RunError, match=r"epochs is 3, 5 was asked for.*--restart"):
        run_experiment(first.experiment, run, TrainOptions(overrides=["epochs=5"]))
    run_experiment(first.experiment, run, TrainOptions(overrides=["epochs=5"], restart=True))
    assert run.config()["settings"]["epochs"] == 5


def test_settings_of_tuples_come_back_equal(run):
    first = Counted("first")
    run_experiment(first.experiment, run, TrainOptions(overrides=["layers=1,2"]))
    run_experiment(first.experiment, run, TrainOptions(overrides=["layers=1,2"]))
    assert first.times == 1


def test_a_run_is_made_anew_when_what_it_was_built_on_changes(run):
    first, second = Counted("first"), Counted("second", needs=["first"])
    of_second = run.workspace.run("second")
    with pytest.raises(RunError, match="first.*is not a complete run"):
        run_experiment(second.experiment, of_second)
    run_experiment(first.experiment, run)
    run_experiment(second.experiment, of_second)
    run_experiment(second.experiment, of_second)
    assert second.times == 1
    run_experiment(first.experiment, run, TrainOptions(overrides=["epochs=5"], restart=True))
    run_experiment(second.experiment, of_second)
    assert second.times == 2


def test_a_setting_that_is_gone_is_named(run):
    first = Counted("first").experiment
    run_experiment(first, run)
    config = run.config()
    config["settings"]["old"] = 4
    (run.folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match="trained with old, which this version.*--restart"):
        evaluate(first, run)
    with pytest.raises(RunError, match=r"other settings \(old is 4, None was asked for\)"):
        run_experiment(first, run)


def test_a_run_of_another_version_is_explained(run):
    first = Counted("first")
    run_experiment(first.experiment, run)
    config = {**run.config(), "filvm": "0.0.1"}
    (run.folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(RunError, match=r"made by filvm 0\.0\.1"):
        run_experiment(first.experiment, run)


def test_nothing_reads_a_run_of_another_version_or_of_a_model_made_anew_since(run):
    first, second = Counted("first"), Counted("second", ["first"])
    of_second = run.workspace.run("second")
    run_experiment(first.experiment, run)
    run_experiment(second.experiment, of_second)
    run_experiment(first.experiment, run, TrainOptions(overrides=["epochs=5"], restart=True))
    for read in (of_second.metrics, of_second.model):
        with pytest.raises(RunError, match="was built on another first than the present one"):
            read()
    config = {**run.config(), "filvm": "0.0.1"}
    (run.folder / "config.json").write_text(json.dumps(config))
    for read in (run.metrics, run.model):
        with pytest.raises(RunError, match=r"made by filvm 0\.0\.1; expected"):
            read()
    with pytest.raises(RunError, match=r"made by filvm 0\.0\.1"):
        run_experiment(second.experiment, of_second)


def test_a_kill_between_the_measures_and_the_end_leaves_nothing_behind(run):
    first = Counted("first")
    run_experiment(first.experiment, run)
    (run.folder / ".done").unlink()
    (run.folder / "checkpoint").mkdir()
    assert run_experiment(first.experiment, run) == {"value": 2}
    (run.folder / "checkpoint").mkdir()  # of a kill just after .done was written
    assert run_experiment(first.experiment, run) == {"value": 2}
    assert {path.name for path in run.folder.iterdir()} == {"config.json", "metrics.json", ".done"}


def test_what_is_there_without_its_settings_is_not_trusted(run):
    first = Counted("first")
    run_experiment(first.experiment, run)
    (run.folder / "checkpoint").mkdir()
    (run.folder / "config.json").unlink()
    assert run_experiment(first.experiment, run) == {"value": 2}
    assert not (run.folder / "checkpoint").exists()


def test_a_run_is_deterministic_from_beginning_to_end_or_not_at_all(run):
    first = Counted("first")
    run_experiment(first.experiment, run)
    with pytest.raises(RunError, match="was begun without `--deterministic`"):
        run_experiment(first.experiment, run, TrainOptions(deterministic=True))
    run_experiment(first.experiment, run, TrainOptions(deterministic=True, restart=True))
    assert run.config()["deterministic"]
    run_experiment(first.experiment, run)  # done is done
    for name in (".done", "metrics.json"):
        (run.folder / name).unlink()
    with pytest.raises(RunError, match="was begun with `--deterministic`: continue with it"):
        run_experiment(first.experiment, run)


def test_a_model_that_cannot_be_loaded_is_named(run):
    run_experiment(Counted("first").experiment, run)
    run.model_folder.mkdir()
    (run.model_folder / "model.keras").write_bytes(b"half of it")
    with pytest.raises(RunError, match=r"model cannot be loaded \(.*--restart` trains it again"):
        run.model()


def test_two_processes_do_not_train_the_same_run(run, monkeypatch):
    monkeypatch.setattr("filvm.files.LOCK_SECONDS", 0.0)
    with exclusive(run.folder), pytest.raises(BlockingIOError, match="first is being made by"):
        run_experiment(Counted("first").experiment, run)
    run_experiment(Counted("first").experiment, run)


def test_a_file_where_the_folder_should_be_is_named(run):
    run.folder.parent.mkdir(parents=True)
    run.folder.touch()
    with pytest.raises(NotADirectoryError, match="first is a file; expected a folder"):
        run_experiment(Counted("first").experiment, run)


def test_a_damaged_config_is_named(run):
    run_experiment(Counted("first").experiment, run)
    (run.folder / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is damaged"):
        run_experiment(Counted("first").experiment, run)


def test_a_run_does_not_go_on_with_other_data(run):
    def train(settings, run):
        run.record_data({"source": "MNIST", "sha256": "1"})
        run.record_data({"source": "MNIST", "sha256": "1"})
        with pytest.raises(
            RunError, match="was trained on MNIST; expected a sample, which is found"
        ):
            run.record_data({"source": "a sample", "sha256": "2"})

    run_experiment(experiment_of("first", train), run)
    assert run.config()["data"] == {"source": "MNIST", "sha256": "1"}


def test_a_run_is_not_made_from_other_data_than_what_it_is_built_on(run):
    def train(settings, run):
        run.record_data(found)

    first = experiment_of("first", train)
    second = experiment_of("second", train, ["first"])
    found = {"source": "MNIST", "sha256": "1"}
    run_experiment(first, run)
    found = {"source": "a sample", "sha256": "2"}
    with pytest.raises(RunError, match="first was trained on MNIST; expected a sample"):
        run_experiment(second, run.workspace.run("second"))
    found = {"source": "MNIST", "sha256": "1"}
    run_experiment(second, run.workspace.run("second"))


def test_what_stood_in_for_mnist_is_not_taken_for_it(run, data_dir, monkeypatch):
    def train(settings, run):
        run.mnist()

    experiment = experiment_of("first", train)
    run_experiment(experiment, run)
    run_experiment(experiment, run)
    required = dataclasses.replace(run.workspace, require_mnist=True).run("first")
    with pytest.raises(RunError, match=r"sample of 5,000 digits, and MNIST is required: delete"):
        run_experiment(experiment, required)
    monkeypatch.setenv("FILVM_MNIST_DIR", str(data_dir))
    with pytest.raises(RunError, match=r"sample of 5,000 digits, and MNIST is found now: delete"):
        run.metrics()


def test_what_is_not_there_says_how_to_make_it(run):
    for read in (run.config, run.metrics, run.model):
        with pytest.raises(RunError, match="filvm train first --profile smoke"):
            read()


def test_an_experiment_is_measured_again_without_being_trained(run):
    first, second = Counted("first"), Counted("second", ["first"])
    run_experiment(first.experiment, run)
    run_experiment(second.experiment, run.workspace.run("second"))
    again = dataclasses.replace(first.experiment, measure=lambda settings, run: {"value": 7})
    assert evaluate(again, run) == {"value": 7}
    assert run.metrics() == {"value": 7}
    assert first.times == 1
    assert run.workspace.run("second").metrics() == {"value": 1}  # its basis is the same model
    with pytest.raises(RunError, match="is not a complete run"):
        evaluate(first.experiment, run.workspace.run("third"))

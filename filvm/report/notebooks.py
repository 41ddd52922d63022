"""Notebooks: the workspace that their cells ask for, and their execution by `filvm notebooks`.

A notebook asks for its runs with `trained`. Environment variables choose the workspace:
FILVM_PROFILE the profile, FILVM_RUNS and FILVM_DATA the folders of runs and data (by default next
to the folder of the notebooks). `filvm.report.live` has pictures that change.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from filvm.experiments import PROFILES, RunError, Workspace, find_experiment, train_with_needs
from filvm.files import exclusive, write_text

FOLDER = Path("notebooks")  # of the repository, in the current directory
BEYOND = ("10_a_lens_that_can_be_undone", "11_words")  # their runs: `make beyond`
WIDGET = "application/vnd.jupyter.widget-view+json"
FOLDERS = ("FILVM_MNIST_DIR", "KERAS_HOME")  # where MNIST is searched
CELL_TIMEOUT = 3 * 3600  # seconds; a cell may have to train


# For cells.


def trained(*names: str) -> Workspace:
    """The workspace of a notebook; experiments that are missing in it are trained first.

    Without FILVM_PROFILE, the profile is "full" if all of the experiments are trained under it, and
    otherwise "quick", whose trainings take half a minute each.

    Raises:
        RunError: FILVM_PROFILE or a name is unknown, or a training fails.
    """
    profile = os.environ.get("FILVM_PROFILE") or _profile_at_hand(names)
    if profile not in PROFILES:
        raise RunError(
            f"FILVM_PROFILE is {profile!r}; expected one of {', '.join(PROFILES)}: set it, or "
            "leave it unset for the full profile"
        )
    workspace = _workspace(profile)
    missing = [name for name in names if workspace.run(name).digest() is None]
    for place, name in enumerate(missing, start=1):
        summary = find_experiment(name).summary
        print(f"{name} ({place} of {len(missing)} to be trained, once): {summary}")
        train_with_needs(name, workspace)
    if missing and "ipykernel" in sys.modules:
        from IPython.display import clear_output

        clear_output()  # of the epochs
    import tensorflow as tf

    # It warns of retracing, which many models in one process cause.
    tf.get_logger().setLevel("ERROR")
    for name in names:
        print(f"{name}: trained (profile {profile})")
    return workspace


def _workspace(profile: str) -> Workspace:
    above = Path("..") if Path.cwd().name == FOLDER.name else Path()
    return Workspace(
        profile,
        Path(os.environ.get("FILVM_RUNS", above / "runs")),
        Path(os.environ.get("FILVM_DATA", above / "data")),
        require_mnist=bool(os.environ.get("FILVM_REQUIRE_MNIST")),
    )


def _profile_at_hand(names: tuple[str, ...]) -> str:
    full = _workspace("full")
    missing = [name for name in names if full.run(name).digest() is None]
    return "quick" if missing else "full"


# For the command.


def notebook_names(folder: Path = FOLDER) -> list[str]:
    """The notebooks, in the order in which their README lists them.

    Raises:
        RunError: the folder has no README.
    """
    readme = folder / "README.md"
    if not readme.is_file():
        raise RunError(f"{readme} is missing: call this in the repository, which has notebooks/")
    return list(dict.fromkeys(re.findall(r"\((\w+)\.ipynb\)", readme.read_text("utf-8"))))


def execute(name: str, workspace: Workspace, folder: Path = FOLDER) -> Path:
    """Execute a notebook of `folder` with the runs of a workspace; return the executed copy.

    The copy is in runs/<profile>/notebooks; `filvm publish` copies those of a full run into the
    repository. stderr, sliders, and all traces of the machine and the time are left out.

    Raises:
        RunError: a cell fails; the message names the notebook and the cell's error.
    """
    path = workspace.folder / "notebooks" / f"{name}.ipynb"
    with exclusive(path):
        write_text(path, _executed(folder / f"{name}.ipynb", workspace))
    return path


def _executed(path: Path, workspace: Workspace) -> str:
    try:
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError, DeadKernelError

        from filvm.report.kernel import PolledClient
    except ImportError as error:
        raise RunError(f"{error}: install it with `pip install 'filvm[notebooks]'`") from None

    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        shutdown_kernel="immediate",  # TensorFlow is slow to end
    )
    client.create_kernel_manager().client_factory = PolledClient
    try:
        # TensorFlow and Jupyter log to stderr. `client.execute` would take Ctrl-C for a kernel that
        # died.
        with client.setup_kernel(env=_environment(workspace), stderr=subprocess.DEVNULL):
            for index, cell in enumerate(notebook.cells):
                client.execute_cell(cell, index)
    except CellExecutionError as error:
        raise RunError(f"{path.name}: {error.ename}: {error.evalue}") from error
    except DeadKernelError:
        raise RunError(f"{path.name}: its kernel died, possibly for lack of memory") from None
    return nbformat.writes(stripped(notebook)) + "\n"


def _environment(workspace: Workspace) -> dict[str, str]:
    """Environment variables of a kernel; folders are absolute, for it starts in notebooks/."""
    paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]
    folders = {name: os.path.abspath(os.environ[name]) for name in FOLDERS if os.environ.get(name)}
    return {
        **os.environ,
        **folders,
        "FILVM_PROFILE": workspace.profile,
        "FILVM_RUNS": str(workspace.runs.resolve()),
        "FILVM_DATA": str(workspace.data.resolve()),
        "FILVM_REQUIRE_MNIST": "1" if workspace.require_mnist else "",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }


def stripped(notebook: Any) -> Any:
    """Remove from a notebook all that differs between machines or is of no use to a reader."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type != "code":
            continue
        cell.outputs = [
            output
            for output in cell.outputs
            if output.get("name") != "stderr" and WIDGET not in output.get("data", {})
        ]
        for output in cell.outputs:
            if "metadata" in output:  # a picture's is its size on the page
                kept = {kind: size for kind, size in output.metadata.items() if "image" in kind}
                output.metadata = kept
    return notebook

"""Notebooks: functions that their cells call, and their execution by `filvm notebooks`.

A notebook asks for its runs with `trained`. Environment variables choose the workspace:
FILVM_PROFILE the profile (full by default), FILVM_RUNS and FILVM_DATA the folders of runs and data
(by default next to the folder of the notebooks).
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filvm.experiments import PROFILES, RunError, Workspace, find_experiment, train_with_needs
from filvm.files import exclusive, replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = Path("notebooks")  # of the repository, in the current directory
BEYOND = ("10_a_lens_that_can_be_undone", "11_words")  # their runs: `make beyond`
WIDGET = "application/vnd.jupyter.widget-view+json"
FOLDERS = ("FILVM_MNIST_DIR", "KERAS_HOME")  # where MNIST is searched
CELL_TIMEOUT = 3 * 3600  # seconds; a cell may have to train


# Functions for cells.


def trained(*names: str) -> Workspace:
    """The workspace of a notebook; experiments that are missing in it are trained first.

    Raises:
        RunError: FILVM_PROFILE or a name is unknown, or a training fails.
    """
    profile = os.environ.get("FILVM_PROFILE", "full")
    if profile not in PROFILES:
        raise RunError(
            f"FILVM_PROFILE is {profile!r}; expected one of {', '.join(PROFILES)}: set it, or "
            "leave it unset for the full profile"
        )
    above = Path("..") if Path.cwd().name == FOLDER.name else Path()
    workspace = Workspace(
        profile,
        Path(os.environ.get("FILVM_RUNS", above / "runs")),
        Path(os.environ.get("FILVM_DATA", above / "data")),
        require_mnist=bool(os.environ.get("FILVM_REQUIRE_MNIST")),
    )
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


def with_sliders(draw: Callable[..., Figure], **ranges: tuple[float, float, float]) -> None:
    """Show `draw(**values)`, and a slider for each value; a moved slider draws it again.

    The picture is an ordinary one: it stays in a notebook without a kernel, and is all there is
    without ipywidgets.

    Args:
        draw: values by name -> a figure.
        ranges: for each value the ends of its slider and its first position; three whole numbers
            make a slider of whole numbers.
    """
    from IPython.display import display

    first = {name: position for name, (_, _, position) in ranges.items()}
    shown = display(draw(**first), display_id=True)
    try:
        import ipywidgets
    except ImportError:
        print("`pip install ipywidgets` shows sliders here")
        return
    sliders = {}
    for name, (low, high, position) in ranges.items():
        options = {"min": low, "max": high, "description": name}
        if all(isinstance(value, int) for value in (low, high, position)):
            sliders[name] = ipywidgets.IntSlider(position, **options)
        else:
            sliders[name] = ipywidgets.FloatSlider(position, **options, step=(high - low) / 60)
    errors = ipywidgets.interactive_output(lambda **values: shown.update(draw(**values)), sliders)
    display(ipywidgets.VBox([*sliders.values(), errors]))


# Functions for the command.


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
        text = _executed(folder / f"{name}.ipynb", workspace)
        with replacing(path) as temporary:
            temporary.write_text(text, "utf-8")
    return path


def _executed(path: Path, workspace: Workspace) -> str:
    try:
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError, DeadKernelError
    except ImportError as error:
        raise RunError(f"{error}: install it with `pip install 'filvm[notebooks]'`") from None

    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        store_widget_state=False,
        shutdown_kernel="immediate",  # TensorFlow is slow to end
    )
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
            if "metadata" in output:
                output.metadata = {}
    return notebook

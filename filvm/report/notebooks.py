"""Notebooks: what their cells need, and how `filvm notebooks` executes them.

A notebook asks for its runs with `trained`. The environment variable FILVM_PROFILE says of which
profile (full by default), FILVM_RUNS and FILVM_DATA where runs and data are; by default they are
beside the folder of the notebooks.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filvm.experiments import EXPERIMENTS, PROFILES, Run, RunError, Workspace, run_experiment
from filvm.files import exclusive, replacing

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = Path("notebooks")  # of the repository, where the command is called
WIDGET = "application/vnd.jupyter.widget-view+json"
FOLDERS = ("FILVM_MNIST_DIR", "KERAS_HOME")  # where digits are looked for
CELL_TIMEOUT = 3 * 3600  # seconds; a cell may have to train


# What cells call.


def trained(*names: str) -> Run:
    """The run of the first experiment named; those of them that are missing are trained first.

    Without a name, a run that leads to the data, and by its `of` to every other run.
    """
    profile = os.environ.get("FILVM_PROFILE", "full")
    if profile not in PROFILES:
        raise RunError(f"FILVM_PROFILE is {profile!r}; expected one of {', '.join(PROFILES)}")
    above = Path("..") if Path.cwd().name == "notebooks" else Path()
    workspace = Workspace(
        profile,
        Path(os.environ.get("FILVM_RUNS", above / "runs")),
        Path(os.environ.get("FILVM_DATA", above / "data")),
        require_mnist=bool(os.environ.get("FILVM_REQUIRE_MNIST")),
    )
    missing = [name for name in _with_needs(names) if workspace.run(name).digest() is None]
    for place, name in enumerate(missing, start=1):
        print(
            f"{name} ({place} of {len(missing)} to be trained, once): {EXPERIMENTS[name].summary}"
        )
        run_experiment(EXPERIMENTS[name], workspace.run(name))
    if missing and "ipykernel" in sys.modules:
        from IPython.display import clear_output

        clear_output()  # of the epochs
    import tensorflow as tf

    # It advises against many models in one process, which is what is done here on purpose.
    tf.get_logger().setLevel("ERROR")
    for name in names:
        print(f"{name}: trained (profile {profile})")
    return workspace.run(names[0] if names else "")


def _with_needs(names: Sequence[str]) -> list[str]:
    """The experiments and what they build on, each after what it builds on."""
    ordered: list[str] = []
    for name in names:
        if name not in EXPERIMENTS:
            raise RunError(f"there is no experiment {name!r}; there are {', '.join(EXPERIMENTS)}")
        ordered += [*_with_needs(EXPERIMENTS[name].needs), name]
    return list(dict.fromkeys(ordered))


def with_sliders(draw: Callable[..., Figure], **ranges: tuple[float, float, float]) -> None:
    """Show `draw(**values)`, and a slider for each value that draws it again as it moves.

    Args:
        draw: the values by name -> a figure.
        ranges: of each value, where its slider begins and ends, and where it stands at first; all
            three whole numbers make a slider of whole numbers.

    The picture is an ordinary one, so where nobody can move a slider (no ipywidgets, or a page on
    the web) it is there as at first.
    """
    from IPython.display import display

    shown = display(draw(**{name: at for name, (_, _, at) in ranges.items()}), display_id=True)
    try:
        import ipywidgets
    except ImportError:
        print("`pip install ipywidgets` gives sliders here")
        return
    sliders = {}
    for name, (low, high, at) in ranges.items():
        whole = all(isinstance(value, int) for value in (low, high, at))
        kind = ipywidgets.IntSlider if whole else ipywidgets.FloatSlider
        step = {} if whole else {"step": (high - low) / 60}
        sliders[name] = kind(at, min=low, max=high, description=name, **step)

    def redraw(_: Any) -> None:
        shown.update(draw(**{name: slider.value for name, slider in sliders.items()}))

    for slider in sliders.values():
        slider.observe(redraw, "value")
    display(ipywidgets.VBox(list(sliders.values())))


# What the command calls.


def notebook_names(folder: Path = FOLDER) -> list[str]:
    """The notebooks in the order their README lists them, which is the order to read them in."""
    readme = folder / "README.md"
    if not readme.is_file():
        raise RunError(f"{readme} is missing: call this where the repository's notebooks/ is")
    return list(dict.fromkeys(re.findall(r"\((\w+)\.ipynb\)", readme.read_text("utf-8"))))


def execute(name: str, workspace: Workspace, folder: Path = FOLDER) -> Path:
    """Execute a notebook of `folder` with the runs of a profile; return where it is kept.

    The executed copy is in runs/<profile>/notebooks; `filvm publish` brings those of a full run to
    the repository. Left out are what goes to stderr, sliders, and everything about the machine and
    the time. A RunError says which cell failed and how.
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
        raise RunError(f"{error}: `pip install 'filvm[notebooks]'` brings it") from None

    notebook = nbformat.read(path, as_version=4)
    paths = [str(Path(__file__).parent.parent), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "FILVM_PROFILE": workspace.profile,
        "FILVM_RUNS": str(workspace.runs.resolve()),
        "FILVM_DATA": str(workspace.data.resolve()),
        "FILVM_REQUIRE_MNIST": "1" if workspace.require_mnist else "",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    for name in FOLDERS:  # a kernel starts in the notebook's folder
        if value := os.environ.get(name):
            environment[name] = os.path.abspath(value)
    client = NotebookClient(
        notebook,
        timeout=CELL_TIMEOUT,
        resources={"metadata": {"path": str(path.parent)}},
        record_timing=False,
        store_widget_state=False,
        shutdown_kernel="immediate",  # it has nothing left to do, and TensorFlow is slow to end
    )
    try:
        # What goes to stderr is TensorFlow's and Jupyter's. `client.execute` would take Ctrl-C for
        # a kernel that died.
        with client.setup_kernel(env=environment, stderr=subprocess.DEVNULL):
            for index, cell in enumerate(notebook.cells):
                client.execute_cell(cell, index)
    except CellExecutionError as error:
        raise RunError(f"{path.name}: {error.ename}: {error.evalue}") from error
    except DeadKernelError:
        raise RunError(f"{path.name}: its kernel died, maybe for want of memory") from None
    return nbformat.writes(stripped(notebook)) + "\n"


def stripped(notebook: Any) -> Any:
    """The notebook with nothing left that differs from machine to machine or is of no use read."""
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

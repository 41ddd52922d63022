"""Notebooks: the workspace that their cells ask for, and their execution by `filvm notebooks`.

A notebook asks for its runs with `trained`. Environment variables choose the workspace:
FILVM_PROFILE the profile, FILVM_RUNS and FILVM_DATA the folders of runs and data (by default next
to the folder of the notebooks). `filvm.report.live` has pictures that change.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from filvm.experiments import PROFILES, RunError, Workspace, find_experiment, train_with_needs
from filvm.files import exclusive, write_text

FOLDER = Path("notebooks")  # of the repository, in the current directory
BEYOND = ("10_a_lens_that_can_be_undone", "11_words")  # their runs: `make beyond`
FOLDERS = ("FILVM_MNIST_DIR", "KERAS_HOME")  # where MNIST is searched


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
        RunError: a cell fails; the message names the notebook and the cell's error. Or the extra
            `notebooks` is not installed.
    """
    try:
        from filvm.report.kernel import executed
    except ImportError as error:
        raise RunError(f"{error}: install it with `pip install 'filvm[notebooks]'`") from None
    path = workspace.folder / "notebooks" / f"{name}.ipynb"
    with exclusive(path):
        write_text(path, executed(folder / f"{name}.ipynb", _environment(workspace)))
    return path


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

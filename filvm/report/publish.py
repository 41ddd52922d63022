"""Figures, tables and notebooks of a full run, copied to where readers of the repository look."""

from __future__ import annotations

import shutil
from pathlib import Path

from filvm.experiments import EXPERIMENTS, RunError, Workspace
from filvm.experiments.invertible import NOTEBOOK
from filvm.files import replacing
from filvm.report.figures import FIGURES, sample_note


def publish(workspace: Workspace, docs: Path, notebooks: Path) -> list[Path]:
    """Copy figures, RESULTS.md, notebooks, and ablations and beyond if made; return the copies.

    Raises RunError where something is not complete, or was not made from MNIST.
    """
    begun = [name for name in EXPERIMENTS if (workspace.run(name).folder / "config.json").is_file()]
    if note := sample_note(workspace, begun):
        raise RunError(f"{workspace.folder} is not published. {note}")
    made = workspace.folder
    wanted = {docs / "RESULTS.md": made / "RESULTS.md"}
    for name in FIGURES:
        wanted[docs / "figures" / f"{name}.png"] = made / "figures" / f"{name}.png"
    for path in sorted(notebooks.glob("*.ipynb")):
        if path.stem != NOTEBOOK or (made / "notebooks" / path.name).is_file():
            wanted[path] = made / "notebooks" / path.name
    if (made / "ablations" / "ablations.md").is_file():
        for kind in ("md", "csv", "png"):
            wanted[docs / f"ablations.{kind}"] = made / "ablations" / f"ablations.{kind}"
    if (made / "beyond" / "beyond.md").is_file():
        for name in ("beyond.md", "undone.png", "traversals.png"):
            wanted[docs / name] = made / "beyond" / name
    if missing := sorted(str(source) for source in wanted.values() if not source.is_file()):
        raise RunError(
            f"{', '.join(missing)} is missing: "
            f"`make reproduce-figures PROFILE={workspace.profile}` makes all of it"
        )
    for path, source in wanted.items():
        with replacing(path) as temporary:
            shutil.copyfile(source, temporary)
    return list(wanted)

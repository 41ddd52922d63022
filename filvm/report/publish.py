"""Copies figures, tables and notebooks of a full run into the repository."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from filvm.experiments import EXPERIMENTS, RunError, Workspace
from filvm.files import replacing
from filvm.report.figures import FIGURES
from filvm.report.notebooks import BEYOND
from filvm.report.registry import sample_note
from filvm.serving.page import publish_page

# By folder of a workspace: files that are published if the first one, a page, was made. The images
# that the page shows are published with it.
EXTRA = {"ablations": ("ablations.md", "ablations.csv"), "beyond": ("beyond.md",)}
IMAGE = re.compile(r"!\[[^\]]*\]\(([^)]+)\)")


def publish(workspace: Workspace, docs: Path, notebooks: Path) -> list[Path]:
    """Copy figures, RESULTS.md and notebooks; and ablations, beyond and explorer if they were made.

    Args:
        workspace: a complete one.
        docs: the folder of figures and tables.
        notebooks: the folder of notebooks; those in it are replaced by their executed copies.

    Returns:
        The copies.

    Raises:
        RunError: a file is missing, or a run was made from the built-in sample.
    """
    made = workspace.folder
    begun = [name for name in EXPERIMENTS if (made / name / "config.json").is_file()]
    if note := sample_note(workspace, begun):
        raise RunError(f"{made} is not published. {note}")
    copies = {docs / "RESULTS.md": made / "RESULTS.md"}
    copies |= {docs / "figures" / f"{n}.png": made / "figures" / f"{n}.png" for n in FIGURES}
    for path in sorted(notebooks.glob("*.ipynb")):
        executed = made / "notebooks" / path.name
        if path.stem not in BEYOND or executed.is_file():
            copies[path] = executed
    if (made / "hero.gif").is_file():
        copies[docs / "hero.gif"] = made / "hero.gif"
    for folder, names in EXTRA.items():
        page = made / folder / names[0]
        if page.is_file():
            images = IMAGE.findall(page.read_text("utf-8"))
            copies |= {docs / name: made / folder / name for name in (*names, *images)}
    if missing := sorted(str(source) for source in copies.values() if not source.is_file()):
        raise RunError(
            f"{', '.join(missing)} is missing: "
            f"`make reproduce-figures PROFILE={workspace.profile}` makes it"
        )
    for path, source in copies.items():
        with replacing(path) as temporary:
            shutil.copyfile(source, temporary)
    published = list(copies)
    if (made / "explorer" / "explorer.json").is_file():
        publish_page(made / "explorer", docs / "explorer")
        published.append(docs / "explorer")
    return published

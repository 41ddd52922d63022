"""Figures and tables of a full run, copied to where the README shows them from."""

from __future__ import annotations

import shutil
from pathlib import Path

from filvm.experiments import EXPERIMENTS, Run, RunError
from filvm.figures.report import FIGURES, sample_note
from filvm.files import replacing


def publish(run: Run, docs: Path) -> list[Path]:
    """Copy every figure, RESULTS.md and, where there are any, the ablations; return what is there.

    Raises RunError where something is not complete, or was not made from MNIST.
    """
    begun = [name for name in EXPERIMENTS if (run.of(name).folder / "config.json").is_file()]
    if note := sample_note(run, begun):
        raise RunError(f"{run.folder} is not published. {note}")
    made = run.folder
    figures = {f"figures/{name}.png": made / "figures" / f"{name}.png" for name in FIGURES}
    ablations = {
        f"ablations.{kind}": made / "ablations" / f"ablations.{kind}"
        for kind in ("md", "csv", "png")
    }
    wanted = {"RESULTS.md": made / "RESULTS.md", **figures}
    if any(source.is_file() for source in ablations.values()):
        wanted.update(ablations)
    if missing := sorted(str(source) for source in wanted.values() if not source.is_file()):
        raise RunError(
            f"{', '.join(missing)} is missing: `make reproduce-figures PROFILE={run.profile}` "
            "makes all of it"
        )
    for name, source in wanted.items():
        with replacing(docs / name) as temporary:
            shutil.copyfile(source, temporary)
    return [docs / name for name in wanted]

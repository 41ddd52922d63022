"""Experiments with other seeds: of the VAE, and of every lens on the VAE of its own seed.

    runs/full/vae-mnist/                  runs/full/filvm-mnist/                  seed 0
    runs/full/seeds/vae-mnist/seed-1/     runs/full/seeds/filvm-mnist/seed-1/     seed 1

The oracles that judge are those of seed 0, and MNIST's split is the same. Sequences, and the split
of the words, are drawn with the seed of their VAE.
"""

from __future__ import annotations

from dataclasses import replace

from filvm.runs.experiment import Experiment
from filvm.runs.run import Run
from filvm.runs.workspace import Workspace

OTHER_SEEDS = (1, 2)


def seed_name(name: str, seed: int) -> str:
    """The run of an experiment with another seed: seeds/filvm-mnist/seed-1, for one."""
    return f"seeds/{name}/seed-{seed}"


def with_seed(one: Experiment, seed: int) -> Experiment:
    """The experiment with another seed; a lens needs the VAE of that seed."""
    needs = [seed_name(name, seed) if name.startswith("vae-") else name for name in one.needs]
    return replace(
        one,
        name=seed_name(one.name, seed),
        summary=f"{one.summary}, seed {seed}",
        profiles={profile: replace(s, seed=seed) for profile, s in one.profiles.items()},
        needs=tuple(needs),
    )


def same_seed(run: Run, name: str) -> Run:
    """The run of another experiment with the seed of `run`: the VAE of a lens, for one."""
    if run.name.startswith("seeds/"):
        name = seed_name(name, int(run.name.rpartition("-")[2]))
    return run.workspace.run(name)


def every_seed(workspace: Workspace, name: str) -> list[Run]:
    """The run of an experiment, and those of its other seeds that are complete."""
    others = [workspace.run(seed_name(name, seed)) for seed in OTHER_SEEDS]
    return [workspace.run(name), *(run for run in others if run.digest() is not None)]

"""How beta and the scaling of the report's recipe are chosen, for every data set.

    python benchmarks/report_recipe.py [--runs runs/full] [--data data] [--tasks mnist] [--share 1]

Section 6 of the report: beta and the scaling of side information were tuned. The grid is

    beta 0.01, 0.03, 0.1, 0.3, 1   x   scaling 1, 3

Each pair trains one FILVM with the widths, flows and steps of `filvm-<task>-report`, on the same
training samples. The score is the mean of two kinds of values, each the mean over the attributes:

    read        z*_j -> attribute j on validation samples: accuracy, or |Spearman|
    on request  asked -> measured on samples with random other dimensions: agreement of the oracle,
                or |Spearman|; no data are needed for it

Beside the score stands what is kept: R2 of z on validation samples after z to z* and back, mean
over the dimensions. A large beta empties the free dimensions, which no score of attributes sees.
`docs/report_recipe.md` says which pairs the catalogue has, and why. Test data are not used. The
report judged by what is read alone; the table has all, so that a reader can choose otherwise. Needs
the VAEs and oracles in `--runs`; a pair takes a minute or more.
"""

from __future__ import annotations

import argparse
import itertools
import os
from dataclasses import replace
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
import pandas as pd
import tf_keras as keras
from sklearn.metrics import r2_score

from filvm.analysis.alignment import alignment
from filvm.analysis.correlation import rank_correlation
from filvm.analysis.oracles import predict_digit, predict_rotation
from filvm.analysis.sequences import decoded_attributes
from filvm.data import stroke_thickness
from filvm.experiments import EXPERIMENTS, Workspace
from filvm.experiments.tasks import TASKS
from filvm.lens import LensPipeline
from filvm.runs.training import cosine_adam

BETAS, SCALINGS = (0.01, 0.03, 0.1, 0.3, 1.0), (1.0, 3.0)
NAMES = {"mnist": "mnist", "mnist-r": "mnist-r", "sequences": "sequences-start-step"}


def measured(task: str, workspace: Workspace, model: LensPipeline, z: np.ndarray) -> dict[str, Any]:
    """Attributes of the observations that latents are decoded to, measured without the lens."""
    if task == "sequences":
        return decoded_attributes(*model.vae.decode(z))
    images, oracle = model.vae.decode(z), workspace.run(f"oracles-{task}").model()
    other = (
        {"thickness": stroke_thickness(images)}
        if task == "mnist"
        else {"rotation": predict_rotation(oracle, images)}
    )
    return {"digit": predict_digit(oracle, images), **other}


def scores(task: str, workspace: Workspace, model: LensPipeline, held_out: Any) -> dict[str, float]:
    """What is read and what is made on request, by attribute, and what is kept of z."""
    lens, (z, side) = model.lens, held_out
    chosen = np.random.default_rng(0).permutation(len(z))[:5_000]
    known = {name: values[chosen] for name, values in side.items()}
    found = {}
    own = {name: lens.dimension(name) for name in lens.names}
    for name, value in alignment(lens.infer(z[chosen]), known, own).items():
        found[f"{name} read"] = (
            value.accuracy if value.accuracy is not None else abs(value.spearman)
        )
    asked = {name: values[:2_000] for name, values in known.items()}
    made = measured(task, workspace, model, lens.sample(2_000, seed=0, attributes=asked))
    for name, values in asked.items():
        agreed = (
            np.mean(made[name] == values)
            if name == "digit"
            else abs(rank_correlation(values[:, None].astype(float), made[name].astype(float))[0])
        )
        found[f"{name} on request"] = float(agreed)
    found["score"] = float(np.mean([*found.values()]))
    back = lens.generate(lens.infer(z[chosen]))
    found["kept"] = float(r2_score(z[chosen], back))
    return found


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--runs", default="runs/full")
    parser.add_argument("--data", default="data")
    parser.add_argument("--share", type=float, default=1.0, help="of the usual steps")
    parser.add_argument("--tasks", nargs="*", default=list(NAMES), choices=list(NAMES))
    parser.add_argument("--betas", type=float, nargs="+", default=list(BETAS))
    parser.add_argument("--scalings", type=float, nargs="+", default=list(SCALINGS))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    options = parser.parse_args(arguments)
    folder, profile = os.path.split(options.runs.rstrip("/"))
    workspace = Workspace(profile, folder or ".", options.data)
    for name in options.tasks:
        task = TASKS[NAMES[name]]
        usual = EXPERIMENTS[f"filvm-{name}-report"].profiles[profile]
        vae = workspace.run(task.vae).model()
        known, held_out = task.training_samples(workspace.run("report-recipe"), vae, usual)
        rows = []
        grid = itertools.product(options.betas, options.scalings, options.seeds)
        for beta, scaling, seed in grid:
            steps = round(options.share * usual.steps)
            recipe = replace(usual, beta=beta, scaling=scaling, steps=steps, seed=seed)
            keras.utils.set_random_seed(recipe.seed)
            lens = recipe.build(vae.latent_dim, task.attributes)
            lens.compile(cosine_adam(recipe.learning_rate, recipe.steps), steps_per_execution=32)
            batches = len(known[0]) // recipe.batch_size
            epochs = max(1, round(recipe.steps / batches))
            lens.fit(*known, batch_size=recipe.batch_size, epochs=epochs, verbose=0)
            lens.place_labels(*known)
            row = {"beta": beta, "scaling": scaling, "seed": seed}
            row |= scores(name, workspace, LensPipeline(vae, lens), held_out)
            print(name, {key: round(float(value), 3) for key, value in row.items()}, flush=True)
            rows.append(row)
        share = "" if options.share == 1 else f" ({options.share:.0%} of the steps)"
        print(f"\n## {name}{share}\n\n{pd.DataFrame(rows).round(3).to_markdown(index=False)}\n")


if __name__ == "__main__":
    main()

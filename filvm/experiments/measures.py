"""The content of `metrics.json`, and the measures of a lens that all tasks share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import joblib
import numpy as np

from filvm.analysis.disentanglement import disentanglement_report
from filvm.lens import Lens

Samples = tuple[np.ndarray, dict[str, np.ndarray]]  # latents [n, d], and attributes [n] by name


@dataclass(frozen=True)
class Metrics:
    """What `metrics.json` holds of an oracle, or of a VAE of sequences or words.

    Attributes:
        test: measures on test data.
        training_seconds: of all epochs.
    """

    test: dict[str, Any]
    training_seconds: float


@dataclass(frozen=True)
class LensMetrics(Metrics):
    """What `metrics.json` holds of a lens; `test` are measures of z*.

    Attributes:
        manipulation: measures of generated and changed samples, by oracles.
        way_back: what the heads read, and what is left of a change that is taken back.
    """

    manipulation: dict[str, Any] | None = None
    way_back: dict[str, Any] | None = None


def code_measures(lens: Lens, z: np.ndarray, factors: dict[str, np.ndarray]) -> dict[str, Any]:
    """All measures of z*: of the centres that `infer` returns, and of draws.

    `codes` are the centres, which people read and change; `sampled_codes` are drawn from
    q(z*|z, s), as the objective uses z*: a centre may hide in its digits what the posterior's noise
    covers. `along` are Spearman's correlations of the centres with the numbers that own their
    dimensions, in the direction in which the heads say that each number rises.
    """
    owns = lens.heads[0].dimension is not None
    assigned = lens.assigned() if owns else None
    codes = {"codes": lens.infer(z), "sampled_codes": lens.infer(z, sampled=True)}
    report = joblib.delayed(disentanglement_report)
    # The readers release Python's lock while they learn, so threads run in parallel.
    reports = joblib.Parallel(n_jobs=len(codes), prefer="threads")(
        report(values, factors, assigned) for values in codes.values()
    )
    found = dict(zip(codes, reports, strict=True))
    directions = lens.directions()
    along = {
        name: read["spearman"] * float(directions[assigned[name]] if owns else 1.0)
        for name, read in found["codes"]["alignment"].items()
        if "spearman" in read
    }
    return {**found, "along": along}

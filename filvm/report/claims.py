"""Statements that the report makes in words, each beside the values that support or refute it.

A claim is a function of values. It returns the evidence, as a phrase, and whether its rule is met;
`VERDICTS` has the words for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from filvm.report.tables import value_at
from filvm.runs.workspace import Workspace

Value = Callable[[str, str], Any]  # (experiment, path through its metrics) -> value
Judged = tuple[str, bool]  # a phrase, and whether the rule is met
Evidence = Callable[[Value], Judged]


VERDICTS = """`holds`: our runs show the same. `contradicted`: our runs show otherwise.
`not reproduced here`: our run of the report's recipe shows otherwise, but the statement depends on
the VAE, and ours is another one. `surpassed`: the statement is a limit that our recipe does not
have; where it has the limit, too, the statement `holds`."""


@dataclass(frozen=True)
class Claim:
    """One statement of the report: its section, itself in our words, and the runs that decide it.

    `limit` marks a limit that may be surpassed, `other_vae` a statement that depends on the latents
    of the report's own VAE.
    """

    section: str
    what: str
    needs: Sequence[str]
    evidence: Evidence
    limit: bool = False
    other_vae: bool = False

    def row(self, workspace: Workspace) -> list[str]:
        """The row of the table: section, statement, evidence, verdict.

        Raises:
            RunError: a run is not complete, or its metrics lack a value.
        """
        metrics = {name: workspace.run(name).metrics() for name in self.needs}
        phrase, met = self.evidence(lambda name, path: value_at(metrics[name], path, name))
        words = ("not reproduced here" if self.other_vae else "contradicted", "holds")
        if self.limit:
            words = ("holds", "surpassed")
        return [self.section, self.what, phrase, words[met]]


CLAIMS: list[Claim] = []
TITLES = ("ours", "the report's recipe")


def claim(
    section: str, what: str, *needs: str, limit: bool = False, other_vae: bool = False
) -> Callable:
    """Enter a function of values in `CLAIMS`; the arguments are those of `Claim`."""

    def enter(evidence: Evidence) -> Evidence:
        CLAIMS.append(Claim(section, what, needs, evidence, limit, other_vae))
        return evidence

    return enter


def claims_table(workspace: Workspace) -> pd.DataFrame:
    """The claims whose runs are complete."""
    rows = [
        claim.row(workspace)
        for claim in CLAIMS
        if all(workspace.run(name).digest() is not None for name in claim.needs)
    ]
    return pd.DataFrame(rows, columns=["section", "the report's statement", "here", ""])


def _owned(value: Value, name: str) -> dict[str, float]:
    """Each attribute read from its own dimension: accuracy, or abs(Spearman) of a number."""
    owned = {}
    for attribute in value(name, "test.codes.assigned"):
        reading = value(name, f"test.codes.alignment.{attribute}")
        owned[attribute] = reading.get("accuracy", abs(reading.get("spearman", 0.0)))
    return owned


def _listed(owned: dict[str, float]) -> str:
    return ", ".join(f"{attribute} {quality:.3f}" for attribute, quality in owned.items())


def _both(value: Value, name: str, path: str) -> tuple[Any, Any]:
    """A value of our FILVM and of the report's, in the order of `TITLES`."""
    return value(name, path), value(f"{name}-report", path)


def _by_length(value: Value, key: str) -> dict[int, Any]:
    """A value of the flows of Figure 6 by their number, ascending."""
    found = value("flow-density", f"figure_6.lengths.*.{key}")
    return dict(sorted((int(length), entry) for length, entry in found.items()))


@claim("5.2, Figure 6", "more flows come nearer to the target", "flow-density")
def more_flows(value: Value) -> Judged:
    kl = _by_length(value, "best_kl")
    phrase = ", ".join(f"{length} flows: KL {best:.3f}" for length, best in kl.items())
    return phrase, kl[max(kl)] < kl[min(kl)]


@claim(
    "5.2",
    "long flows cannot be fitted reliably: with 32, one attempt of 20 ended finite",
    "flow-density",
    limit=True,
)
def long_flows(value: Value) -> Judged:
    finite, attempts = _by_length(value, "finite"), _by_length(value, "attempts")
    longest = max(finite)
    phrase = f"{finite[longest]} of {attempts[longest]} end finite"
    return phrase, finite[longest] == attempts[longest]


@claim(
    "5.3.1, Figure 7",
    "FILVM aligns digit and thickness with dimensions, ILVM does not",
    "ilvm-mnist",
    "filvm-mnist-report",
)
def aligned(value: Value) -> Judged:
    ilvm, filvm = _owned(value, "ilvm-mnist"), _owned(value, "filvm-mnist-report")
    phrase = f"ILVM: {_listed(ilvm)}; the report's FILVM: {_listed(filvm)}"
    return phrase, all(filvm[attribute] > ilvm[attribute] for attribute in filvm)


@claim(
    "5.3.1, Figures 7 and 8",
    "rotated digits are aligned far less well than plain ones",
    "filvm-mnist",
    "filvm-mnist-r",
    limit=True,
)
def rotated_digits(value: Value) -> Judged:
    plain, rotated = _owned(value, "filvm-mnist"), _owned(value, "filvm-mnist-r")
    phrase = (
        f"ours: digit {rotated['digit']:.3f} against {plain['digit']:.3f}, "
        f"rotation {rotated['rotation']:.3f} against thickness {plain['thickness']:.3f}"
    )
    pairs = (("digit", "digit"), ("rotation", "thickness"))
    return phrase, all(rotated[one] > plain[other] - 0.05 for one, other in pairs)


@claim(
    "5.3.2, Figure 10", "moving z*[0] alone makes every digit", "filvm-mnist", "filvm-mnist-report"
)
def every_digit(value: Value) -> Judged:
    agreement = _both(value, "filvm-mnist", "manipulation.on_request.agreement")
    sweeps = _both(value, "filvm-mnist", "manipulation.digits_in_sweeps")
    phrase = "; ".join(
        f"{title}: z*[0] over its own range makes {found['from_origin']} of 10 digits where all "
        f"else is 0, and {found['mean']:.1f} on average from {found['samples']} test digits; on "
        f"request, all else drawn, the oracle agrees in {agreed:.3f}"
        for title, found, agreed in zip(TITLES, sweeps, agreement, strict=True)
    )
    return phrase, sweeps[0]["from_origin"] == 10 and sweeps[0]["mean"] > 9.5


@claim(
    "5.3.2, Figure 10",
    "the range of thickness is narrow; no extremely thin digits are made",
    "filvm-mnist",
    "filvm-mnist-report",
    limit=True,
)
def range_of_thickness(value: Value) -> Judged:
    ranges = _both(value, "filvm-mnist", "manipulation.thickness_sweep.reached_by_all")
    kept = _both(value, "filvm-mnist", "manipulation.thickness_sweep.digit_kept")
    phrase = "; ".join(
        f"{title}: {low:.2f} to {high:.2f} px at every digit, which is kept in {share:.3f}"
        for title, (low, high), share in zip(TITLES, ranges, kept, strict=True)
    )
    # The 2nd and 98th percentile of MNIST's digits are 1.6 and 4.5 px.
    (low, high), share = ranges[0], kept[0]
    phrase += "; the 2nd and 98th percentile of MNIST: 1.6 and 4.5 px"
    return phrase, low <= 1.6 and high >= 4.5 and share > 0.95


@claim(
    "5.3.2, Figure 11",
    "moving one dimension does not make all digits at one rotation",
    "filvm-mnist-r",
    "filvm-mnist-r-report",
    limit=True,
)
def digits_at_one_rotation(value: Value) -> Judged:
    agreement = _both(value, "filvm-mnist-r", "manipulation.on_request.agreement")
    error = _both(value, "filvm-mnist-r", "manipulation.on_request.median_absolute_error")
    phrase = "; ".join(
        f"{title}: the oracle agrees in {agreed:.3f}, rotation off by {degrees:.1f} degrees"
        for title, agreed, degrees in zip(TITLES, agreement, error, strict=True)
    )
    return phrase, agreement[0] > 0.9


def _moved(value: Value, dimensions: str) -> list[float]:
    """Shares of the attributes' ranges that sweeps of the dimensions move them over."""
    shares = value("filvm-sequences-report", f"test.moved.*[{dimensions}]").values()
    return [share for of_attribute in shares for share in of_attribute]


@claim(
    "5.3.2, Figure 12",
    "moving either of the first two dimensions alters every attribute of a sequence",
    "filvm-sequences-report",
    other_vae=True,
)
def first_two_dimensions(value: Value) -> Judged:
    least = min(_moved(value, "0,1"))
    phrase = f"the least moved attribute moves over {100 * least:.0f} % of its range"
    return f"the report's recipe: {phrase}", least > 0.1


@claim(
    "5.3.2, Figure 12",
    "the other dimensions alter hardly anything",
    "filvm-sequences-report",
    other_vae=True,
)
def other_dimensions(value: Value) -> Judged:
    most = max(_moved(value, "2,3"))
    phrase = f"the most moved attribute moves over {100 * most:.0f} % of its range"
    return f"the report's recipe: {phrase}", most < 0.2


@claim("6", "length as a third attribute may separate start, step and length", "filvm-sequences")
def length_as_attribute(value: Value) -> Judged:
    phrases, met = [], True
    for i, name in enumerate(("start", "step", "length")):
        shares = value("filvm-sequences", f"test.moved.{name}")
        own, other = shares[i], max(shares[:i] + shares[i + 1 :])
        phrases.append(
            f"z*[{i}] moves {name} over {100 * own:.0f} %, another dimension at most "
            f"{100 * other:.1f} %"
        )
        met = met and own > 0.9 and other < 0.05
    return "; ".join(phrases), met


@claim(
    "7",
    "the results on MNIST do not carry over easily to rotated digits and sequences",
    "filvm-mnist",
    "filvm-mnist-r",
    "filvm-sequences",
    limit=True,
)
def other_data(value: Value) -> Judged:
    names = ("filvm-mnist", "filvm-mnist-r", "filvm-sequences")
    owned = {name: _owned(value, name) for name in names}
    phrase = "; ".join(f"{name}: {_listed(qualities)}" for name, qualities in owned.items())
    return phrase, all(min(qualities.values()) > 0.9 for qualities in owned.values())

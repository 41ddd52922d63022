"""Statements that the report makes in words, each beside the values that support or refute it.

A claim is a function of metrics that returns the evidence, as a phrase, and whether its rule is
met. The verdict is `holds` where our run of the same recipe confirms the report, `surpassed` where
the report states a limit that our run does not have, and `contradicted` where the run shows the
opposite.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from filvm.report.tables import value_at
from filvm.runs.workspace import Workspace

Value = Callable[[str, str], Any]  # (experiment, path through its metrics) -> value
Evidence = tuple[str, bool]  # a phrase, and whether the rule is met


@dataclass(frozen=True)
class Claim:
    """One statement of the report.

    Attributes:
        section: of the report, and the figure.
        what: the statement, in our words.
        needs: the experiments whose metrics decide.
        evidence: values -> a phrase, and whether the rule is met.
        verdict: the word if the rule is met; `otherwise` if it is not.
    """

    section: str
    what: str
    needs: Sequence[str]
    evidence: Callable[[Value], Evidence]
    verdict: str = "holds"
    otherwise: str = "contradicted"

    def row(self, workspace: Workspace) -> list[str]:
        """The row of the table: section, statement, evidence, verdict.

        Raises:
            RunError: a run is not complete, or its metrics lack a value.
        """
        metrics = {name: workspace.run(name).metrics() for name in self.needs}
        phrase, met = self.evidence(lambda name, path: value_at(metrics[name], path, name))
        return [self.section, self.what, phrase, self.verdict if met else self.otherwise]


CLAIMS: list[Claim] = []


def claim(section: str, what: str, *needs: str, limit: bool = False) -> Callable:
    """Enter a function of values in `CLAIMS`; `limit` marks a limit, which may be surpassed."""
    words = ("surpassed", "holds") if limit else ("holds", "contradicted")

    def enter(evidence: Callable[[Value], Evidence]) -> Callable[[Value], Evidence]:
        CLAIMS.append(Claim(section, what, needs, evidence, *words))
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


def _own(value: Value, name: str, attribute: str) -> float:
    """The attribute read from its own dimension: accuracy of a label, abs(Spearman) of a number."""
    reading = value(name, f"test.codes.alignment.{attribute}")
    return reading["accuracy"] if "accuracy" in reading else abs(reading["spearman"])


def _all_owned(value: Value, name: str) -> dict[str, float]:
    assigned = value(name, "test.codes.assigned")
    return {attribute: _own(value, name, attribute) for attribute in assigned}


def _listed(owned: dict[str, float]) -> str:
    return ", ".join(f"{attribute} {quality:.3f}" for attribute, quality in owned.items())


def _by_length(value: Value, key: str) -> dict[int, Any]:
    """A value of the flows of Figure 6 by their number, ascending."""
    found = value("flow-density", f"figure_6.lengths.*.{key}")
    return dict(sorted((int(length), entry) for length, entry in found.items()))


@claim("5.2, Figure 6", "more flows come nearer to the target", "flow-density")
def more_flows(value: Value) -> Evidence:
    kl = _by_length(value, "best_kl")
    phrase = ", ".join(f"{length} flows: KL {best:.3f}" for length, best in kl.items())
    return phrase, kl[max(kl)] < kl[min(kl)]


@claim(
    "5.2",
    "long flows cannot be fitted reliably: with 32, one attempt of 20 ended finite",
    "flow-density",
    limit=True,
)
def long_flows(value: Value) -> Evidence:
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
def alignment(value: Value) -> Evidence:
    ilvm, filvm = (_all_owned(value, name) for name in ("ilvm-mnist", "filvm-mnist-report"))
    phrase = f"ILVM: {_listed(ilvm)}; the report's FILVM: {_listed(filvm)}"
    return phrase, all(filvm[attribute] > ilvm[attribute] for attribute in filvm)


@claim(
    "5.3.1, Figures 7 and 8",
    "rotated digits are aligned far less well than plain ones",
    "filvm-mnist",
    "filvm-mnist-r",
    limit=True,
)
def alignment_of_rotated_digits(value: Value) -> Evidence:
    plain, rotated = (_all_owned(value, name) for name in ("filvm-mnist", "filvm-mnist-r"))
    phrase = (
        f"ours: digit {rotated['digit']:.3f} against {plain['digit']:.3f}, "
        f"rotation {rotated['rotation']:.3f} against thickness {plain['thickness']:.3f}"
    )
    return phrase, (
        rotated["digit"] > plain["digit"] - 0.05 and rotated["rotation"] > plain["thickness"] - 0.05
    )


@claim(
    "5.3.2, Figure 10",
    "moving z*[0] alone makes every digit",
    "filvm-mnist",
    "filvm-mnist-report",
)
def digits_on_request(value: Value) -> Evidence:
    ours, report = (
        value(name, "manipulation.on_request.agreement")
        for name in ("filvm-mnist", "filvm-mnist-report")
    )
    phrase = (
        f"the oracle agrees in {ours:.3f} (the report's recipe: {report:.3f}), "
        "the other dimensions drawn at random"
    )
    return phrase, ours > 0.95


@claim(
    "5.3.2, Figure 10",
    "the range of thickness is narrow; no extremely thin digits are made",
    "filvm-mnist",
    "filvm-mnist-report",
    limit=True,
)
def range_of_thickness(value: Value) -> Evidence:
    ours, report = (
        value(name, "manipulation.thickness_sweep.reached_by_all")
        for name in ("filvm-mnist", "filvm-mnist-report")
    )
    phrase = "; ".join(
        f"{title}: {low:.1f} to {high:.1f} px at every digit"
        for title, (low, high) in (("ours", ours), ("the report's recipe", report))
    )
    # The 2nd and 98th percentile of MNIST's digits are 1.6 and 4.5 px.
    return phrase, ours[0] < 1.8 and ours[1] > 4.4


@claim(
    "5.3.2, Figure 11",
    "moving one dimension does not make all digits at one rotation",
    "filvm-mnist-r",
    "filvm-mnist-r-report",
    limit=True,
)
def digits_at_one_rotation(value: Value) -> Evidence:
    found = {
        title: value(name, "manipulation.on_request")
        for title, name in (
            ("ours", "filvm-mnist-r"),
            ("the report's recipe", "filvm-mnist-r-report"),
        )
    }
    phrase = "; ".join(
        f"{title}: the oracle agrees in {asked['agreement']:.3f}, rotation off by "
        f"{asked['median_absolute_error']:.1f} degrees"
        for title, asked in found.items()
    )
    return phrase, found["ours"]["agreement"] > 0.9


def _moved(value: Value, dimensions: Sequence[int]) -> list[float]:
    """Shares of the attributes' ranges that sweeps of the dimensions move them over."""
    places = ",".join(map(str, dimensions))
    shares = value("filvm-sequences-report", f"test.moved.*[{places}]").values()
    return [share for of_attribute in shares for share in of_attribute]


@claim(
    "5.3.2, Figure 12",
    "moving either of the first two dimensions alters every attribute of a sequence",
    "filvm-sequences-report",
)
def first_two_dimensions(value: Value) -> Evidence:
    least = min(_moved(value, (0, 1)))
    phrase = f"the least moved attribute moves over {100 * least:.0f} % of its range"
    return f"the report's recipe: {phrase}", least > 0.1


@claim(
    "5.3.2, Figure 12",
    "the other dimensions alter hardly anything",
    "filvm-sequences-report",
)
def other_dimensions(value: Value) -> Evidence:
    most = max(_moved(value, (2, 3)))
    phrase = f"the most moved attribute moves over {100 * most:.0f} % of its range"
    return f"the report's recipe: {phrase}", most < 0.2


@claim("6", "length as a third attribute may separate start, step and length", "filvm-sequences")
def length_as_attribute(value: Value) -> Evidence:
    own, other = {}, {}
    for i, name in enumerate(("start", "step", "length")):
        shares = value("filvm-sequences", f"test.moved.{name}")
        own[name], other[name] = shares[i], max(shares[:i] + shares[i + 1 :])
    phrase = "; ".join(
        f"z*[{i}] moves {name} over {100 * own[name]:.0f} %, another dimension at most "
        f"{100 * other[name]:.1f} %"
        for i, name in enumerate(own)
    )
    return phrase, min(own.values()) > 0.9 and max(other.values()) < 0.05


@claim(
    "7",
    "the results on MNIST do not carry over easily to rotated digits and sequences",
    "filvm-mnist",
    "filvm-mnist-r",
    "filvm-sequences",
    limit=True,
)
def other_data(value: Value) -> Evidence:
    names = ("filvm-mnist", "filvm-mnist-r", "filvm-sequences")
    owned = {name: _all_owned(value, name) for name in names}
    phrase = "; ".join(f"{name}: {_listed(qualities)}" for name, qualities in owned.items())
    return phrase, all(min(qualities.values()) > 0.9 for qualities in owned.values())

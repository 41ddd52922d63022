"""What one part of a recipe changes: two rows of a table, compared with the spread over seeds.

    change = mean(with the part) - mean(without it)

A change counts if |change| exceeds twice the larger standard deviation of the two rows, and the
smallest change of that measure that matters.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import pandas as pd

from filvm.experiments.ablations import NOT_SCALED, OURS, REPORTED, alone, left_out
from filvm.experiments.settings import AMENDMENTS
from filvm.report.tables import markdown_table

ALONE, IN_OURS = "in the report's recipe", "in ours"  # where a part is added or missing
REPLACED = "in place of the report's recipe"
PAYS, AT_A_PRICE, COSTS, NO_EFFECT = "pays", "pays at a price", "costs", "no effect"


@dataclass(frozen=True)
class Measure:
    """A column of a table.

    Attributes:
        name: the column.
        path: through the metrics, as in `filvm.report.tables`.
        better: 1 if higher values are better, -1 if lower ones are.
        form: format of a value.
        matters: the smallest change that counts.
    """

    name: str
    path: str
    better: int = 1
    form: str = ".3f"
    matters: float = 0.01


@dataclass(frozen=True)
class Comparison:
    """A part of a recipe, the place where it is tried, and the variants without and with it."""

    part: str
    place: str
    without: str
    having: str


@dataclass(frozen=True)
class Change:
    """The change of one measure; `spread` is the larger standard deviation of the two rows."""

    measure: Measure
    size: float
    spread: float

    @property
    def counts(self) -> bool:
        """Whether it exceeds twice the spread and what matters; no, if the spread is unknown."""
        size = abs(self.size)  # nothing exceeds a spread that is nan
        return size > 2.0 * self.spread and size > self.measure.matters

    @property
    def improves(self) -> bool:
        """Whether the change goes in the better direction."""
        return self.size * self.measure.better > 0

    def text(self) -> str:
        """The change with its sign, bold if it counts."""
        text = format(self.size, "+" + self.measure.form)
        return f"**{text}**" if self.counts else text


def comparisons(variants: Collection[str]) -> list[Comparison]:
    """The comparisons that the variants of a data set allow."""
    scaled = Comparison("scaled numbers", ALONE, NOT_SCALED, REPORTED)
    found = [scaled] if NOT_SCALED in variants else []
    for name in AMENDMENTS:
        if alone(name) in variants:
            found.append(Comparison(name, ALONE, REPORTED, alone(name)))
            found.append(Comparison(name, IN_OURS, left_out(name), OURS))
    return [*found, Comparison("ours", REPLACED, REPORTED, OURS)]


def effects(table: pd.DataFrame, measures: Sequence[Measure]) -> dict[Comparison, list[Change]]:
    """Every comparison's change of every measure.

    Args:
        table: columns `variant`, `seed` and the measures' names; a row for every training.
        measures: columns to compare.
    """
    groups = table.drop(columns="seed").groupby("variant")
    mean, deviation = groups.mean(), groups.std()

    def change(pair: Comparison, measure: Measure) -> Change:
        size = mean.loc[pair.having, measure.name] - mean.loc[pair.without, measure.name]
        # nan, which fmax would ignore, with one seed
        spread = deviation.loc[[pair.without, pair.having], measure.name].max(skipna=False)
        return Change(measure, float(size), float(spread))

    return {
        pair: [change(pair, measure) for measure in measures]
        for pair in comparisons(set(table["variant"]))
    }


def verdict(changes: Sequence[Change]) -> str:
    """One of `PAYS`, `AT_A_PRICE`, `COSTS` and `NO_EFFECT`, by the changes that count."""
    improves = {change.improves for change in changes if change.counts}
    if improves == {True, False}:
        return AT_A_PRICE
    return PAYS if True in improves else COSTS if improves else NO_EFFECT


def changes_table(found: Mapping[Comparison, Sequence[Change]]) -> str:
    """The changes as a Markdown table: a row for every comparison, a column for every measure."""
    rows = {
        f"{pair.part}, {pair.place}": {change.measure.name: change.text() for change in changes}
        for pair, changes in found.items()
    }
    return markdown_table(pd.DataFrame(rows).T, index=True)


def changes_text(found: Mapping[Comparison, Sequence[Change]]) -> str:
    """A list entry for every part: its verdict in every place, and the changes that count."""
    parts: dict[str, list[str]] = {}
    for pair, changes in found.items():
        sentence = f"{pair.place.capitalize()}: {verdict(changes)}"
        for word, improves in (("better", True), ("worse", False)):
            counted = [c for c in changes if c.counts and c.improves == improves]
            if counted:
                listed = (f"{c.measure.name} ({c.size:+{c.measure.form}})" for c in counted)
                sentence += f"; {word}: {', '.join(listed)}"
        parts.setdefault(pair.part, []).append(sentence + ".")
    return "\n".join(f"- **{part.capitalize()}**. {' '.join(s)}" for part, s in parts.items())


def verdicts_table(found: Mapping[str, Mapping[Comparison, Sequence[Change]]]) -> pd.DataFrame:
    """The verdict on every part (rows) in every place of every data set (columns).

    Args:
        found: title of a data set -> its `effects`.

    Returns:
        Text; "-" where a part does not apply.
    """
    cells = pd.DataFrame(
        [
            {"": pair.part, "where": f"{title}, {pair.place}", "verdict": verdict(changes)}
            for title, pairs in found.items()
            for pair, changes in pairs.items()
            if pair.place != REPLACED
        ]
    )
    order = {name: list(dict.fromkeys(cells[name])) for name in ("", "where")}
    wide = cells.pivot_table("verdict", "", "where", aggfunc="first", observed=True)
    return wide.reindex(index=order[""], columns=order["where"]).fillna("-")


def verdicts_text(verdicts: pd.DataFrame) -> str:
    """Sentences: the parts that pay everywhere, somewhere and nowhere, for each place.

    Args:
        verdicts: of `verdicts_table`.
    """
    lines = []
    for place in (ALONE, IN_OURS):
        end = f", {place}"
        columns = [name for name in verdicts if name.endswith(end)]
        titles = [name.removesuffix(end) for name in columns]
        told: dict[str, list[str]] = {"on every data set": [], "on some": [], "on none": []}
        for part, row in verdicts[columns].set_axis(titles, axis="columns").iterrows():
            tried = row[row != "-"]
            paid = tried[tried.isin((PAYS, AT_A_PRICE))].index
            if len(paid) == 0 < len(tried):
                told["on none"].append(str(part))
            elif len(paid) < len(tried):
                told["on some"].append(f"{part} ({' and '.join(paid)})")
            elif len(tried):
                told["on every data set"].append(str(part))
        listed = "; ".join(f"{where}: {', '.join(parts)}" for where, parts in told.items() if parts)
        lines.append(f"- Parts that pay {place}, at a price or not, {listed}.")
    return "\n".join(lines)

"""Tables of metrics: a value by its path, the value as text, and the table as Markdown.

A path leads through metrics.json:

    test.mse                            keys, joined by dots
    test.absolute_error_by_place[0,4]   entries of a list
    figure_6.lengths.*.best_kl          the same value of every entry of a dictionary
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from filvm.runs.run import RunError


def value_at(metrics: Any, path: str, name: str = "metrics.json") -> Any:
    """Return the value at a path.

    Args:
        metrics: of one run.
        path: as this module describes it.
        name: of the experiment, for the error.

    Raises:
        RunError: the metrics have no such path.

    >>> value_at({"test": {"kl": [1.0, 2.0, 3.0]}}, "test.kl[0,2]")
    [1.0, 3.0]
    >>> value_at({"lengths": {"2": {"kl": 0.3}, "8": {"kl": 0.1}}}, "lengths.*.kl")
    {'2': 0.3, '8': 0.1}
    """
    try:
        return _follow(metrics, path.split("."))
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        raise RunError(
            f"{path} is missing in the metrics of {name} ({error!r}): `filvm evaluate` measures "
            "a run again"
        ) from error


def _follow(value: Any, steps: list[str]) -> Any:
    if not steps:
        return value
    key, places = re.fullmatch(r"([^\[]+)(?:\[([\d,]+)\])?", steps[0]).groups()

    def entry(name: str) -> Any:
        found = value[name]
        if places:
            found = [found[int(place)] for place in places.split(",")]
        return _follow(found, steps[1:])

    return {name: entry(name) for name in value} if key == "*" else entry(key)


def text_of(value: Any, form: str) -> str:
    """A value as text: numbers by a format such as ".3f", dictionaries by "{key:.3f} of {other}".

    Entries of lists are joined by ", ", those of dictionaries by "; ".

    >>> text_of([0.5, 0.25], ".1%")
    '50.0%, 25.0%'
    >>> text_of({"2": {"finite": 20, "attempts": 20}}, "{finite} of {attempts}")
    '2: 20 of 20'
    """
    if isinstance(value, dict):
        if "{" in form and not any(isinstance(entry, dict) for entry in value.values()):
            return form.format(**value)
        return "; ".join(f"{key}: {text_of(entry, form)}" for key, entry in value.items())
    if isinstance(value, list):
        return ", ".join(text_of(entry, form) for entry in value)
    if value is None:
        return "none"
    return value if isinstance(value, str) else format(value, form)


def over_seeds(values: Sequence[float], form: str) -> str:
    """The value of one seed; mean ± standard deviation of several.

    >>> over_seeds([0.25, 0.75], ".3f"), over_seeds([0.25], ".3f")
    ('0.500 ± 0.354', '0.250')
    """
    if len(values) == 1:
        return text_of(values[0], form)
    return f"{np.mean(values):{form}} ± {np.std(values, ddof=1):{form}}"


def markdown_table(table: pd.DataFrame, *, index: bool = False) -> str:
    r"""A table as Markdown; every cell is text.

    >>> print(markdown_table(pd.DataFrame({"of": ["q(z*|z)"], "value": [0.5]})))
    | of       | value   |
    |:---------|:--------|
    | q(z*\|z) | 0.5     |
    """
    escaped = table.astype(str).map(lambda text: text.replace("|", "\\|"))
    return escaped.to_markdown(index=index, disable_numparse=True)

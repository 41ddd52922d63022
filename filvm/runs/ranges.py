"""The ranges of settings, stated in the types of their fields and checked before anything runs.

>>> @dataclasses.dataclass(frozen=True)
... class Settings:
...     epochs: Count = 20
...     beta: NotNegative = 1.0
>>> out_of_range(Settings(epochs=-1))
'epochs is -1; expected an integer >= 1 and <= 2147483647'
>>> out_of_range(Settings())
''
"""

from __future__ import annotations

import dataclasses
import math
import typing
from typing import Annotated, Any


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers from `least` (or only above it) to `most`."""

    least: float
    most: float = math.inf
    above: bool = False

    def holds(self, value: Any) -> bool:
        """Whether a number is finite and in the range."""
        enough = value > self.least if self.above else value >= self.least
        return math.isfinite(value) and enough and value <= self.most

    def __str__(self) -> str:
        text = f"{'>' if self.above else '>='} {self.least:g}"
        return text if self.most == math.inf else f"{text} and <= {self.most:.10g}"


@dataclasses.dataclass(frozen=True)
class OneOf:
    """One of a few strings."""

    values: tuple[str, ...]

    def holds(self, value: Any) -> bool:
        """Whether it is one of the strings."""
        return value in self.values

    def __str__(self) -> str:
        return " or ".join(self.values)


LARGEST_COUNT = 2**31 - 1  # of TensorFlow's 32 bits
Count = Annotated[int, Range(1, LARGEST_COUNT)]
CountOrZero = Annotated[int, Range(0, LARGEST_COUNT)]
Size = Annotated[int, Range(1, 65_536)]  # of an axis of an array, which needs memory
Samples = Annotated[int, Range(1, 10_000_000)]  # that are made, in memory
Seed = Annotated[int, Range(0, 2**31 - 1)]
Positive = Annotated[float, Range(0, above=True)]
NotNegative = Annotated[float, Range(0)]
Share = Annotated[float, Range(0, 1)]


def out_of_range(settings: Any) -> str:
    """One sentence about the first setting outside its range; "" if there is none.

    Args:
        settings: a dataclass whose fields have types such as `Count`, or `tuple[Count, ...]`.
    """
    kinds = typing.get_type_hints(type(settings), include_extras=True)
    for field in dataclasses.fields(settings):
        value, kind = getattr(settings, field.name), kinds[field.name]
        values = (value,)
        if typing.get_origin(kind) is tuple:
            values, kind = value, typing.get_args(kind)[0]
            if not values:
                return f"{field.name} is empty; expected one or more numbers"
        for limit in getattr(kind, "__metadata__", ()):
            for one in values:
                if not limit.holds(one):
                    noun = {int: "an integer ", float: "a number "}.get(kind.__origin__, "")
                    return f"{field.name} is {value}; expected {noun}{limit}"
    return ""

"""The arguments of the methods of a lens: attributes by name, and the places of labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from filvm.data.columns import named_columns
from filvm.data.side_information import Categorical, attribute_values


def first_argument(name: str, value: Any, named: dict[str, Any]) -> Any:
    """A method's first argument, by position, or by `name` if it was not given by position.

    By position, it leaves its name free for an attribute: `sample(2, n=1.0)`.
    """
    if value is not None:
        return value
    if name not in named:
        raise TypeError(f"{name} is missing; expected it as the first argument")
    return named.pop(name)


def joined_attributes(attributes: Any, named: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes of a dictionary (or DataFrame) and of keyword arguments together."""
    if attributes is None:
        return dict(named)
    given = named_columns(attributes, "attributes", "the attributes' names")
    if twice := sorted(set(given) & set(named)):
        raise ValueError(f"{twice} are in `attributes` and are arguments; expected one of the two")
    return {**given, **named}


def vary_labels(
    lens: Any,
    coordinates: np.ndarray,
    given: Mapping[str, Any],
    like: np.ndarray,
    rng: np.random.Generator,
) -> None:
    """Replace the places of given labels in `coordinates` by z*_j of `like` (`sample`)."""
    for attribute, head in zip(lens.attributes, lens.heads, strict=True):
        if attribute.name not in given or not isinstance(attribute, Categorical):
            continue
        read = np.argmax(head(tf.cast(like, tf.float32)), axis=-1)
        labels = attribute_values(attribute, np.atleast_1d(given[attribute.name]))
        labels = np.broadcast_to(labels.astype(int), len(coordinates))
        for label in np.unique(labels):
            found, rows = like[read == label, head.dimension], labels == label
            if len(found):
                coordinates[rows, head.dimension] = rng.choice(found, rows.sum())

"""Checks of what a lens is given: weights, latents, and the batches of a dataset."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from filvm.data.columns import plain_array
from filvm.data.side_information import Attribute, Categorical
from filvm.vae.sizes import check_at_least


def weights_by_name(
    attributes: Sequence[Attribute],
    weights: float | Mapping[str, float] | None,
    defaults: Mapping[type, float],
) -> dict[str, float]:
    """lambda_j by the attribute's name.

    Args:
        attributes: in order.
        weights: one number for all, or a dictionary with some names.
        defaults: the weight of each kind of attribute.

    Raises:
        TypeError, ValueError: a name is unknown, or a weight is no number >= 0.
    """
    by_name = {a.name: defaults[type(a)] for a in attributes}
    if isinstance(weights, Mapping):
        if unknown := sorted(set(weights) - set(by_name)):
            raise ValueError(f"attribute_weights names {unknown}; expected some of {list(by_name)}")
        by_name.update(weights)
    elif weights is not None:
        by_name = dict.fromkeys(by_name, weights)
    for name, weight in by_name.items():
        check_at_least(f"attribute_weights of {name!r}", weight, 0)
    return {name: float(weight) for name, weight in by_name.items()}


def latents_array(name: str, z: Any, latent_dim: int) -> np.ndarray:
    """z [n, latent_dim] as an array of its own type.

    Raises:
        TypeError or ValueError with `name`, unless z has numbers, that shape, n >= 1 and only
        values that are finite in float32.
    """
    array = plain_array(name, z)
    if array.dtype.kind not in "iuf":
        raise TypeError(f"{name} has dtype {array.dtype}; expected floating point numbers")
    if array.ndim != 2 or array.shape[1] != latent_dim or not len(array):
        raise ValueError(
            f"{name} has shape {list(array.shape)}; expected [n, {latent_dim}], n >= 1"
        )
    with np.errstate(over="ignore"):
        finite = np.isfinite(array.astype(np.float32)).all(axis=1)
    if not finite.all():
        row = int((~finite).argmax())
        raise ValueError(f"{name} is not finite at row {row}; expected numbers within float32")
    return array


def check_names(names: Sequence[str], values: Mapping[str, Any]) -> None:
    """Raise a ValueError unless the batches of a dataset have a value for every attribute."""
    if sorted(values) != sorted(names):
        raise ValueError(f"the dataset has the names {sorted(values)}; expected {sorted(names)}")


def check_column(attribute: Attribute, column: Any) -> None:
    """Raise a TypeError or ValueError unless a column of a dataset has the rank and the type."""
    column = tf.convert_to_tensor(column)
    if column.shape.rank not in (1, None):
        raise ValueError(
            f"{attribute.name!r} has shape {list(column.shape)} in the dataset; expected [n], one "
            "value per sample: pass the only column of [n, 1], or labels for one-hot rows"
        )
    strings = column.dtype == tf.string
    labels = isinstance(attribute, Categorical) and attribute.labels.dtype.kind == "U"
    if strings and not labels:
        raise TypeError(
            f"{attribute.name!r} has strings in the dataset; expected numbers: convert them, or "
            "give the list of all labels to Categorical"
        )
    if labels and not strings:
        raise TypeError(
            f"{attribute.name!r} has {column.dtype.name} in the dataset; expected some of "
            f"{attribute.labels.tolist()}, or '' where missing"
        )

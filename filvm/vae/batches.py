"""Data in every form that Keras takes, checked before a model trains on them.

A `tf.data.Dataset` is checked batch by batch inside its own graph, so that a training step has no
more operations than without; arrays, generators and `keras.utils.Sequence` are checked in NumPy.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import tensorflow as tf
import tf_keras as keras

from filvm.data.columns import plain_array
from filvm.serving.signatures import require


class Checks(Protocol):
    """What a model checks: the methods that it gives to `checked_data`."""

    def checked_arrays(self, x: Any, y: Any) -> tuple[Any, Any]:
        """x and y as arrays [n, ...], or a TypeError or ValueError."""

    def checked_tensors(self, x: tf.Tensor, y: Any) -> tuple[tf.Tensor, Any]:
        """The same inside the graph of a dataset, which fails with `require`."""

    def check_spec(self, x: Any) -> None:
        """Raise a TypeError or ValueError unless batches of this spec fit."""


class Inputs:
    """The checks of a model for `predict`, which uses x alone."""

    def __init__(self, model: Any) -> None:
        self.model = model
        self.check_spec = model.check_spec

    def checked_arrays(self, x: Any, y: Any) -> tuple[Any, None]:
        return self.model.checked_inputs(x), None

    def checked_tensors(self, x: tf.Tensor, y: Any) -> tuple[tf.Tensor, None]:
        x, _ = self.model.with_lengths(x, y)
        return self.model.checked_input_tensors(x), None


def require_tf_keras(value: Any, what: str) -> None:
    """Raise a TypeError if `value` is an object of Keras 3, which tf_keras cannot use."""
    for base in type(value).__mro__:
        package = base.__module__.partition(".")[0]
        if package == "tf_keras":
            return
        if package == "keras":
            raise TypeError(
                f"{what} is {type(value).__name__} of Keras 3; expected one of tf_keras: write "
                "`import tf_keras as keras` in place of `tf.keras`, or set the environment "
                "variable TF_USE_LEGACY_KERAS=1 before TensorFlow is imported"
            )


def checked_weights(weights: Any, n: int) -> np.ndarray | None:
    """The sample weights [n] as float32; None stays None.

    Raises:
        TypeError, ValueError: they are not n finite numbers >= 0.
    """
    if weights is None:
        return None
    array = plain_array("sample_weight", weights)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"sample_weight has dtype {array.dtype}; expected numbers")
    if array.shape not in ((n,), (n, 1)):
        raise ValueError(f"sample_weight has shape {list(array.shape)}; expected [{n}]")
    array = array.astype(np.float32).reshape(n)
    wrong = ~((array >= 0) & np.isfinite(array))
    if wrong.any():
        row = int(wrong.argmax())
        raise ValueError(
            f"sample_weight is {array[row]:g} at row {row}; expected finite numbers >= 0"
        )
    return array


def checked_batch(checks: Checks, batch: Any) -> tuple[Any, ...]:
    """A batch of arrays, x or (x, y) or (x, y, weights), checked."""
    x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
    x, y = checks.checked_arrays(x, y)
    return _packed(x, y, checked_weights(weights, len(x)))


def checked_data(
    checks: Checks, x: Any, y: Any, weights: Any, problems: list[Exception]
) -> tuple[Any, Any, Any]:
    """x, y and sample weights as Keras takes them, checked now or when a batch is read.

    Args:
        checks: the model.
        x, y, weights: as in `keras.Model.fit`.
        problems: gets the errors of generators, for `one_sentence`.

    Raises:
        TypeError, ValueError: an array is at fault.
    """
    if isinstance(x, tf.data.Dataset):
        spec = keras.utils.unpack_x_y_sample_weight(x.element_spec)[0]
        checks.check_spec(spec)

        @tf.autograph.experimental.do_not_convert  # it would wrap errors in its own report
        def checked(*batch: Any) -> tuple[Any, ...]:
            x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
            x, y = checks.checked_tensors(x, y)
            if weights is not None:
                shape, dtype = weights.shape, weights.dtype
                if not (shape.is_compatible_with([None]) or shape.is_compatible_with([None, 1])):
                    raise ValueError(
                        f"sample_weight has shape {list(shape)} in the dataset; expected [n]"
                    )
                if not (dtype.is_floating or dtype.is_integer or dtype.is_bool):
                    raise TypeError(f"sample_weight has dtype {dtype.name}; expected numbers")
                weights = tf.cast(weights, tf.float32)
                require(
                    (weights >= 0) & tf.math.is_finite(weights),
                    "sample_weight must hold finite numbers >= 0",
                )
            return _packed(x, y, weights)

        return x.map(checked), y, weights
    if isinstance(x, tf.distribute.DistributedDataset | keras.utils.experimental.DatasetCreator):
        return x, y, weights
    require_tf_keras(x, "x")
    if isinstance(x, keras.utils.Sequence):
        return _CheckedSequence(x, checks, problems), y, weights
    if hasattr(x, "__next__"):
        return _checked_generator(x, checks, problems), y, weights
    x, y = checks.checked_arrays(x, y)
    weights = checked_weights(weights, len(x))
    if weights is not None and y is None:
        y = np.zeros((len(x), 0), np.float32)  # Keras drops weights without y
    return x, y, weights


def _packed(x: Any, y: Any, weights: Any) -> tuple[Any, ...]:
    """(x,), (x, y) or (x, y, weights): a place for y if there are weights."""
    if weights is not None:
        return x, x[:, :0] if y is None else y, weights
    return (x,) if y is None else (x, y)


def _checked_generator(
    batches: Iterator[Any], checks: Checks, problems: list[Exception]
) -> Iterator[tuple[Any, ...]]:
    for batch in batches:
        with _recorded(problems):
            checked = checked_batch(checks, batch)
        yield checked


class _CheckedSequence(keras.utils.Sequence):
    """The same batches, each checked when it is read."""

    def __init__(
        self, batches: keras.utils.Sequence, checks: Checks, problems: list[Exception]
    ) -> None:
        self.batches, self.checks, self.problems = batches, checks, problems

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int) -> tuple[Any, ...]:
        batch = self.batches[index]
        with _recorded(self.problems):
            return checked_batch(self.checks, batch)

    def on_epoch_end(self) -> None:
        self.batches.on_epoch_end()


def first_arrays(x: Any, y: Any, weights: Any, call: str) -> tuple[Any, Any, Any]:
    """Checked x, y and weights as arrays, of all batches of a dataset or `keras.utils.Sequence`.

    Raises:
        ValueError: x is neither an array nor finite; the message says to make `call` before.
    """
    dataset = isinstance(x, tf.data.Dataset)
    infinite = dataset and x.cardinality() == tf.data.INFINITE_CARDINALITY
    if isinstance(x, keras.utils.Sequence) or (dataset and not infinite):
        parts = x.as_numpy_iterator() if dataset else (x[index] for index in range(len(x)))
        joined = tuple(np.concatenate(part) for part in zip(*parts, strict=True))
        x, y, weights = keras.utils.unpack_x_y_sample_weight(joined)
    if not isinstance(x, np.ndarray):
        kind = "an infinite dataset" if infinite else f"a {type(x).__name__}"
        raise ValueError(
            f"the units of the data are not set, and x is {kind}; expected arrays or a finite "
            f"dataset for the first fit: call {call} before"
        )
    return x, y, weights


@contextlib.contextmanager
def _recorded(problems: list[Exception]) -> Iterator[None]:
    try:
        yield
    except (TypeError, ValueError) as error:
        problems.append(error)
        raise


@contextlib.contextmanager
def one_sentence(problems: list[Exception]) -> Iterator[None]:
    """Raise the problem of the data where TensorFlow would raise a report about its graph."""
    try:
        yield
    except Exception as error:
        if problems:
            raise problems[0] from None
        failed = re.search(r"assertion failed: \[(.*)\]", str(error))
        if isinstance(error, tf.errors.InvalidArgumentError) and failed:
            # TensorFlow writes quotes and the bytes of UTF-8 as escapes.
            sentence = failed[1].encode("ascii", "backslashreplace").decode("unicode_escape")
            raise ValueError(sentence.encode("latin-1").decode("utf-8", "replace")) from None
        raise

"""What VAEs and lenses share as Keras models: checked data, sample weights, a step counter."""

from __future__ import annotations

import inspect
import math
import numbers
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tf_keras as keras

from filvm.serving.signatures import Served
from filvm.vae.adam import FusedAdam
from filvm.vae.batches import Inputs, checked_data, one_sentence, require_tf_keras

# Arguments of `fit`, `evaluate` and `predict` that are counts, and their smallest values.
COUNTS = {
    "batch_size": 1,
    "validation_batch_size": 1,
    "epochs": 1,
    "initial_epoch": 0,
    "steps_per_epoch": 1,
    "validation_steps": 1,
    "steps": 1,
}


DATA = ("x", "y", "sample_weight")  # arguments of these methods


def check_precision() -> None:
    """Raise a ValueError unless Keras is set to float32 or mixed_bfloat16.

    With mixed_bfloat16, the inner layers of networks compute in bfloat16. Outputs of networks,
    losses, flows and log-determinants stay float32, and so do recurrent layers and the networks of
    couplings: the 8 bits of bfloat16 cannot hold a number up to 1000 or invert a flow.
    """
    floatx = keras.backend.floatx()
    if floatx != "float32":
        raise ValueError(
            f"keras.backend.floatx() is {floatx!r}; expected 'float32': call "
            "keras.backend.set_floatx('float32') before the model is created"
        )
    policy = keras.mixed_precision.global_policy().name
    if policy not in ("float32", "mixed_bfloat16"):
        raise ValueError(
            f"the global policy of Keras is {policy!r}; expected 'float32' or 'mixed_bfloat16', "
            "which needs no scaling of the loss: call "
            "keras.mixed_precision.set_global_policy('mixed_bfloat16') before the model is created"
        )


def in_float32(outputs: Any) -> Any:
    """The outputs of a network as float32, whatever its policy."""
    return tf.nest.map_structure(lambda output: tf.cast(output, tf.float32), outputs)


def batch_mean(values: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
    """sum_i w_i v_i / sum_i w_i of values [batch], 0 if every weight is 0; the mean without w."""
    if weights is None:
        return tf.reduce_mean(values)
    weighted = tf.math.multiply_no_nan(values, weights)
    return tf.math.divide_no_nan(tf.reduce_sum(weighted), tf.reduce_sum(weights))


def step_seed(model: keras.Model) -> tf.Tensor:
    """The int32 [2] seed of a training step, a function of the model's seed and the step alone.

    A run that was interrupted and resumed therefore draws the same noise as one that was not.
    """
    step = tf.cast(model.steps, tf.int32)
    return tf.stack([tf.constant(model.seed, tf.int32), step])


def update_metrics(
    trackers: Sequence[keras.metrics.Mean],
    losses: Mapping[str, tf.Tensor],
    batch: Any,
    weights: tf.Tensor | None = None,
) -> dict[str, tf.Tensor]:
    """Add the losses of a batch to the trackers of their names.

    Args:
        trackers: a mean per loss.
        losses: scalars by name.
        batch: a tensor, or a structure of tensors, [batch, ...] each.
        weights: of the samples, [batch]; the batch counts by their sum, or else by its size.

    Returns:
        The means so far, by name.
    """
    size = tf.shape(tf.nest.flatten(batch)[0])[0]
    # The share of a replica may be empty in the last batch, and its losses are nan then.
    some = tf.cast(size > 0, tf.float32)
    counted = size if weights is None else tf.reduce_sum(weights)
    for tracker in trackers:
        loss = tf.math.multiply_no_nan(losses[tracker.name], some)
        tracker.update_state(loss, sample_weight=counted)
    return {tracker.name: tracker.result() for tracker in trackers}


def check_count(name: str, value: Any, least: int) -> None:
    """Raise a TypeError or ValueError unless `value` is None or an integer >= least."""
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise TypeError(f"{name} is {value!r}; expected an integer >= {least}")
    if value < least:
        raise ValueError(f"{name} is {value}; expected an integer >= {least}")


def batch_weights(data: Any) -> tf.Tensor | None:
    """The sample weights [batch] of the data of a step, if they have any."""
    weights = keras.utils.unpack_x_y_sample_weight(data)[2]
    return None if weights is None else tf.reshape(tf.cast(weights, tf.float32), [-1])


def _arguments(method: Callable[..., Any], *args: Any, **kwargs: Any) -> dict[str, Any]:
    """The arguments of a call of `method`, without self, by name."""
    bound = inspect.signature(method).bind(None, *args, **kwargs).arguments
    named = dict(list(bound.items())[1:])
    named.update(named.pop("kwargs", {}))
    return named


class CheckedModel(Served, keras.Model):
    """A Keras model whose losses are its own.

    `compile` takes an optimiser and no loss. `fit`, `evaluate`, `predict`, `train_on_batch` and
    `test_on_batch` take arrays, tensors, a `tf.data.Dataset`, a generator or a
    `keras.utils.Sequence`, check every value, and take `sample_weight`: every loss is then the
    weighted mean over the samples of a batch.

    A subclass calls `_count_steps` at the end of its constructor and defines `checked_arrays`,
    `checked_tensors` and `check_spec` (`filvm.vae.batches.Checks`).
    """

    default_batch_size: ClassVar[int | None] = None  # of arrays; Keras' own is 32

    def __init__(self, **kwargs: Any) -> None:
        check_precision()
        if kwargs.get("dtype") not in (None, "float32"):
            raise ValueError(
                f"dtype is {kwargs['dtype']!r}; expected none: for bfloat16 call "
                "keras.mixed_precision.set_global_policy('mixed_bfloat16') before the model is "
                "created"
            )
        super().__init__(**{**kwargs, "dtype": "float32"})

    def _count_steps(self) -> None:
        """Create `steps`, the number of training steps so far.

        It is saved with the weights. `optimizer.iterations` starts at 0 after every `compile`, and
        a SavedModel does not keep it.
        """
        self.steps = self.add_weight(
            "steps",
            [],
            dtype=tf.int64,
            initializer="zeros",
            trainable=False,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def load_own_variables(self, store: Any) -> None:
        """Load the variables of this object itself; older models have no `steps`, the last one."""
        own = [*self._trainable_weights, *self._non_trainable_weights]
        if len(store.keys()) == len(own) - 1:
            own = own[:-1]
        elif len(store.keys()) != len(own):
            super().load_own_variables(store)  # raises Keras' own error
        for index, variable in enumerate(own):
            variable.assign(store[str(index)])

    # Compiling.

    def compile(self, optimizer: Any = "rmsprop", *args: Any, **kwargs: Any) -> None:
        """As `keras.Model.compile`, without `loss` and `metrics`: the model has its own.

        "adam" is a `FusedAdam`, which computes the same numbers faster.

        Raises:
            TypeError: the optimiser is one of Keras 3, or none.
            ValueError: there is a loss or a metric.
        """
        given = _arguments(keras.Model.compile, optimizer, *args, **kwargs)
        require_tf_keras(optimizer, "optimizer")
        if isinstance(optimizer, str) and optimizer.lower() == "adam":
            given["optimizer"] = FusedAdam()
        if isinstance(optimizer, dict | list | tuple):
            raise TypeError(
                f"optimizer is {optimizer!r}; expected a name such as 'adam' or an optimiser of "
                "tf_keras.optimizers"
            )
        for name in ("loss", "metrics", "loss_weights", "weighted_metrics"):
            value = given.get(name)
            if value is not None and value != [] and value != {}:
                raise ValueError(
                    f"{name} is {value!r}; expected none: a {type(self).__name__} has losses and "
                    'metrics of its own, compile("adam") is enough'
                )
        given["weighted_metrics"] = []  # otherwise Keras warns that weights are ignored
        super().compile(**given)
        if given.get("from_serialized"):  # the weights of a SavedModel are there, its optimiser not
            self.optimizer.iterations.assign(self.steps)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compile a loaded model; Keras leaves this to models with a `compile` of their own."""
        self.compile(**keras.saving.deserialize_keras_object(config))
        self._build_optimizer()

    def _build_optimizer(self) -> None:
        """Create the optimiser's variables, in the order in which a loaded model creates them."""
        if isinstance(getattr(self, "optimizer", None), keras.optimizers.Optimizer):
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)

    def make_train_function(self, force: bool = False) -> Callable[..., Any]:
        if self.train_function is None or force:
            self._build_optimizer()
        return super().make_train_function(force)

    def save(self, filepath: str, *args: Any, **kwargs: Any) -> None:
        """As `Served.save`."""
        if str(filepath).endswith(".keras"):
            self._build_optimizer()
        super().save(filepath, *args, **kwargs)

    # Data.

    def with_lengths(self, x: Any, y: Any) -> tuple[Any, Any]:
        """x and y of a batch; a model of sequences takes lengths in y as a part of x."""
        return x, y

    def before_training(self, x: Any, y: Any, weights: Any) -> None:
        """Called with checked data before they are trained on."""

    def inputs_for_keras(self, x: Any) -> Any:
        """Checked x as Keras gets it."""
        return x

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Train as `keras.Model.fit` does, on data in any of its forms.

        Args:
            x, y: the data of the class.
            args, kwargs: of `keras.Model.fit`, without `class_weight`. `sample_weight` [n] makes
                every loss sum_i w_i l_i / sum_i w_i over the samples of a batch.

        Returns:
            The losses by epoch.

        Raises:
            TypeError or ValueError that names the array, tensor or setting at fault.
        """
        problems: list[Exception] = []
        given = self._checked_call(problems, keras.Model.fit, x, y, *args, **kwargs)
        x, y, weights = (given[name] for name in DATA)
        validation = given.pop("validation_data", None)
        split = given.pop("validation_split", 0.0)
        if validation is not None:
            if isinstance(validation, tuple | list):
                validation = keras.utils.unpack_x_y_sample_weight(tuple(validation))
            else:
                validation = (validation, None, None)
            validation = checked_data(self, *validation, problems)
        elif split:
            (x, y, weights), validation = _split(x, y, weights, split)
        with one_sentence(problems):
            self.before_training(x, y, weights)
            given.update(x=x, y=y, sample_weight=weights)
            if validation is not None:
                first, *others = validation
                arrays = isinstance(first, np.ndarray)
                given["validation_data"] = (
                    (self.inputs_for_keras(first), *others) if arrays else first
                )
            return super().fit(**self._for_keras(given))

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """The losses on data as in `fit`; arguments and result as in `keras.Model.evaluate`."""
        if kwargs.get("_use_cached_eval_dataset"):  # called by `fit`, with checked data
            return super().evaluate(x, y, *args, **kwargs)
        problems: list[Exception] = []
        given = self._checked_call(problems, keras.Model.evaluate, x, y, *args, **kwargs)
        with one_sentence(problems):
            return super().evaluate(**self._for_keras(given))

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """`call` on data as in `fit`; arguments and result as in `keras.Model.predict`."""
        given = _arguments(keras.Model.predict, x, *args, **kwargs)
        self._check_call(given)
        problems: list[Exception] = []
        x, _, _ = checked_data(Inputs(self), x, None, None, problems)
        given["x"] = self.inputs_for_keras(x)
        with one_sentence(problems):
            return super().predict(**given)

    def train_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """One training step on arrays as in `fit`; else as `keras.Model.train_on_batch`."""
        given = self._checked_call([], keras.Model.train_on_batch, x, y, *args, **kwargs)
        self.before_training(None, None, None)
        return super().train_on_batch(**{**given, "x": self.inputs_for_keras(given["x"])})

    def test_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """The losses of one batch of arrays as in `fit`; else as `keras.Model.test_on_batch`."""
        given = self._checked_call([], keras.Model.test_on_batch, x, y, *args, **kwargs)
        return super().test_on_batch(**{**given, "x": self.inputs_for_keras(given["x"])})

    def predict_on_batch(self, x: Any) -> Any:
        """`call` on one batch of arrays as in `fit`."""
        return super().predict_on_batch(self.inputs_for_keras(self.checked_inputs(x)))

    def _checked_call(
        self, problems: list[Exception], method: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> dict[str, Any]:
        """The arguments of a call of `method` by name, with checked data."""
        given = _arguments(method, *args, **kwargs)
        self._check_call(given)
        data = checked_data(self, *(given.get(name) for name in DATA), problems)
        return {**given, **dict(zip(DATA, data, strict=True))}

    def _for_keras(self, given: dict[str, Any]) -> dict[str, Any]:
        """The arguments with x as Keras gets it, and with the batch size of arrays."""
        size = given.get("batch_size")
        if size is None and isinstance(given["x"], np.ndarray):
            size = self.default_batch_size
        return {**given, "x": self.inputs_for_keras(given["x"]), "batch_size": size}

    def _check_call(self, given: Mapping[str, Any]) -> None:
        for name, least in COUNTS.items():
            check_count(name, given.get(name), least)
        if given.get("class_weight") is not None:
            raise ValueError(
                f"class_weight is {given['class_weight']!r}; expected sample_weight, one number "
                f"per sample: a {type(self).__name__} has no single label to take classes from"
            )
        callbacks = given.get("callbacks")
        if callbacks is not None and not isinstance(callbacks, keras.callbacks.CallbackList):
            for callback in callbacks if isinstance(callbacks, list | tuple) else [callbacks]:
                require_tf_keras(callback, "a callback")
                if not isinstance(callback, keras.callbacks.Callback):
                    raise TypeError(
                        f"callbacks contain {callback!r}; expected objects of "
                        "keras.callbacks.Callback, such as keras.callbacks.TerminateOnNaN()"
                    )

    def penalty(self) -> tf.Tensor | float:
        """The sum of the regularisation losses of all layers, 0.0 if there are none."""
        return tf.add_n([tf.cast(loss, tf.float32) for loss in self.losses]) if self.losses else 0.0


def _split(x: Any, y: Any, weights: Any, share: float) -> tuple[tuple, tuple]:
    """The first and the last samples of arrays, as Keras splits them for `validation_split`."""
    if not isinstance(x, np.ndarray):
        raise ValueError(
            f"validation_split is {share} for a {type(x).__name__}; expected arrays: pass "
            "validation_data instead"
        )
    first = math.floor(len(x) * (1.0 - share)) if 0 < share < 1 else 0
    if not 0 < first < len(x):
        raise ValueError(
            f"validation_split is {share} for {len(x)} samples; expected a share between 0 and 1 "
            "that leaves samples for both parts"
        )
    arrays = x, y, weights
    return (
        tuple(None if array is None else array[:first] for array in arrays),
        tuple(None if array is None else array[first:] for array in arrays),
    )

"""The Keras model behind every lens: variables, units, training and saving.

`filvm.lens.base.Lens` adds the methods that users call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tf_keras as keras

from filvm.data.scaling import attribute_scaling, warn_of_correlations
from filvm.data.side_information import (
    Attribute,
    Categorical,
    Circular,
    Continuous,
    attributes_from_config,
    attributes_to_config,
    check_attributes,
    stack_side_information,
)
from filvm.lens.attributes import (
    Encoded,
    decode_side_information,
    encode_side_information,
    stack_tensors,
)
from filvm.lens.checks import (
    check_column,
    check_names,
    latents_array,
    weights_by_name,
)
from filvm.serving.signatures import require, require_values
from filvm.vae.batches import first_arrays
from filvm.vae.model import CheckedModel, batch_weights, step_seed, update_metrics
from filvm.vae.sizes import check_at_least, check_seed, check_sizes, size_list

BATCH_SIZE = 256  # of `fit` and `evaluate`
FAR = 1e4  # means larger than this many standard deviations need float64
TINY = 1e-30  # so do standard deviations below this


def dense_layers(tensor: tf.Tensor, units: Sequence[int]) -> tf.Tensor:
    """Dense layers with ReLU, the hidden layers of the networks of a lens."""
    for index, size in enumerate(units, start=1):
        tensor = keras.layers.Dense(size, activation="relu", name=f"hidden_{index}")(tensor)
    return tensor


class TrainableLens(CheckedModel):
    """A lens without its map z <-> z*: attributes, units of z and s, q(s|z), and training.

    The arguments are those of `filvm.lens.base.Lens`, which also lists the methods and attributes
    that a subclass defines.
    """

    default_weights: ClassVar = {Categorical: 1.0, Continuous: 1.0, Circular: 1.0}
    default_batch_size = BATCH_SIZE
    own_settings: ClassVar[tuple[str, ...]] = ()  # arguments that a subclass adds, for its config

    def __init__(
        self,
        latent_dim: int,
        side_information: Sequence[Attribute],
        *,
        hidden_units: Sequence[int] = (256, 256, 256),
        attribute_weights: float | Mapping[str, float] | None = None,
        latent_noise: float = 0.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        check_sizes(latent_dim=latent_dim)
        self.latent_dim = int(latent_dim)
        self.attributes = check_attributes(side_information, self.latent_dim)
        check_at_least("latent_noise", latent_noise, 0)
        check_seed(seed)
        self.hidden_units = size_list("hidden_units", hidden_units)
        self.attribute_weights = weights_by_name(
            self.attributes, attribute_weights, self.default_weights
        )
        self.latent_noise = latent_noise
        self.seed = seed
        d, attributes = self.latent_dim, len(self.attributes)

        def constant(
            name: str, shape: list[int], initializer: str, dtype: str = "float32"
        ) -> tf.Variable:
            return self.add_weight(name, shape, dtype, initializer, trainable=False)

        self.latent_mean = constant("latent_mean", [d], "zeros", "float64")
        self.latent_scale = constant("latent_scale", [d], "ones", "float64")
        self.attribute_mean = constant("attribute_mean", [attributes], "zeros", "float64")
        self.attribute_scale = constant("attribute_scale", [attributes], "ones", "float64")
        self.adapted = constant("adapted", [], "zeros")
        self._count_steps()

    def secondary_network(self) -> keras.Model:
        """A new network z [n, d] -> logits or mean of the network input, [n, width] each."""
        return self.reading_network(self.latent_dim, "z", "secondary_recognition")

    def reading_network(self, size: int, inputs: str, name: str) -> keras.Model:
        """A new network [n, size] -> logits or mean of the network input, [n, width] each."""
        z = keras.Input([size], name=inputs)
        hidden = dense_layers(z, self.hidden_units)
        outputs = [
            keras.layers.Dense(a.width, dtype="float32", name=a.key)(hidden)
            for a in self.attributes
        ]
        return keras.Model(z, outputs, name=name)

    @property
    def names(self) -> list[str]:
        """The attributes' names; `Lens.dimensions_of` is what each owns."""
        return [attribute.name for attribute in self.attributes]

    @property
    def keys(self) -> list[str]:
        """The attributes' names in graphs, signatures and loss names."""
        return [attribute.key for attribute in self.attributes]

    @property
    def weights_by_key(self) -> dict[str, float]:
        """Key of the attribute -> lambda_j."""
        return {a.key: self.attribute_weights[a.name] for a in self.attributes}

    # Tensors.

    def batch_losses(
        self, z: tf.Tensor, side: tf.Tensor, seed: tf.Tensor, weights: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Scalar losses by name: means over the batch of z [n, d] and side [n, attributes].

        `weights` [n] makes them weighted means (`filvm.vae.model.batch_mean`). `lens_loss`
        trains `lens_variables`, `secondary_loss` the secondary network, and `loss` is their sum.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method batch_losses")

    def secondary_outputs(self, z: tf.Tensor) -> list[tf.Tensor]:
        """Standardised z [n, d] -> logits or mean of the network input, [n, width] each."""
        return tf.nest.flatten(self.secondary_recognition(tf.cast(z, tf.float32)))

    def side_information_tensors(self, values: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """[n] by name, labels as indices, -1 or nan where missing -> float64 [n, attributes]."""
        return stack_tensors(self.attributes, values, indices=True)

    def network_inputs(self, side: tf.Tensor) -> list[Encoded]:
        """[n, attributes] in own units -> what `encode_side_information` returns."""
        scaling = self.attribute_mean, self.attribute_scale
        return encode_side_information(self.attributes, side, *scaling)

    def own_units(self, outputs: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
        """Network outputs -> what `decode_side_information` returns."""
        scaling = self.attribute_mean, self.attribute_scale
        return decode_side_information(self.attributes, outputs, *scaling)

    def all_missing(self, z: tf.Tensor) -> tf.Tensor:
        """Side information for the rows of z, every value missing: nan [n, attributes]."""
        return tf.fill([tf.shape(z)[0], len(self.attributes)], np.float64(np.nan))

    @property
    def precision(self) -> Any:
        """The dtype of the z and z* that methods on arrays take and return.

        float32, or float64 if float32 cannot hold the digits of z: if a dimension has a mean more
        than 10,000 times as large as its standard deviation, or a standard deviation below 1e-30.
        """
        return np.float64 if self._is_far() else np.float32

    def _is_far(self) -> bool:
        mean, scale = self.latent_mean.numpy(), self.latent_scale.numpy()
        return bool((np.abs(mean) > FAR * scale).any() or (scale < TINY).any())

    def standardise(self, z: tf.Tensor) -> tf.Tensor:
        """The VAE's units -> mean 0 and variance 1 over the training data, of the dtype of z."""
        z = tf.convert_to_tensor(z)
        return (z - tf.cast(self.latent_mean, z.dtype)) / tf.cast(self.latent_scale, z.dtype)

    def restore(self, z: tf.Tensor) -> tf.Tensor:
        """The inverse of `standardise`."""
        return z * tf.cast(self.latent_scale, z.dtype) + tf.cast(self.latent_mean, z.dtype)

    # Training.

    def adapt(self, z: np.ndarray, side_information: Mapping[str, Any]) -> None:
        """Set the units of latents and attributes from training data; the first `fit` does it too.

        Args:
            z: latents [n, d].
            side_information: values [n] by name, as in `fit`.
        """
        z, side = self.checked_arrays(z, side_information)
        self._set_units(z, side.numpy())

    def _set_units(self, z: np.ndarray, side: np.ndarray) -> None:
        mean, deviation = z.mean(axis=0, dtype=np.float64), z.std(axis=0, dtype=np.float64)
        # Rounding gives a constant dimension a small deviation, relative to its mean. An array of
        # float64 may hold numbers that have been rounded to float32 before.
        single = z.dtype == np.float32 or np.array_equal(z, z.astype(np.float32))
        rounding = 1e-6 if single else 1e-14
        varies = deviation > rounding * np.abs(mean)
        attribute_mean, attribute_scale = attribute_scaling(self.attributes, side)
        warn_of_correlations(self.attributes, side)
        self.latent_mean.assign(mean)
        self.latent_scale.assign(np.where(varies, deviation, 1.0))
        self.attribute_mean.assign(attribute_mean)
        self.attribute_scale.assign(attribute_scale)
        self.adapted.assign(1.0)

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Train on latents and side information. The first `fit` sets the units of z and s.

        Args:
            x: latents z [n, latent_dim] in the VAE's units; or a `tf.data.Dataset`, a generator or
                a `keras.utils.Sequence` of batches (z, dictionary) or (z, dictionary, weights).
            y: values [n] by name for every attribute, -1 (categorical) or nan (continuous) where
                missing; None if x has batches.
            args, kwargs: of `keras.Model.fit`. `batch_size` is 256 by default, `validation_data` a
                pair (z, dictionary) or batches as for `x`, and `sample_weight` [n] makes every loss
                a weighted mean.

        Returns:
            The losses by epoch.

        Raises:
            TypeError or ValueError that names the array, the attribute and the row at fault.
        """
        return super().fit(x, y, *args, **kwargs)

    def before_training(self, x: Any, y: Any, weights: Any) -> None:
        """Set the units of z and s, if `adapt` or an earlier `fit` has not."""
        if self.adapted.numpy():
            return
        x, y, weights = first_arrays(x, y, weights, "adapt(z, side_information)")
        y = np.asarray(y)
        if weights is not None and (weights > 0).any():
            x, y = x[weights > 0], y[weights > 0]
        self._set_units(x, y)

    # Data of `fit`, `evaluate` and `predict`: see `filvm.vae.batches`.

    def checked_inputs(self, x: Any) -> np.ndarray:
        return self.check_latents(x)

    def checked_arrays(self, x: Any, y: Any) -> tuple[np.ndarray, tf.Tensor]:
        z = self.check_latents(x, dtype=None)  # the units, which decide, may not be set yet
        side = stack_side_information(self.attributes, y, len(z), require_all=True)
        return z, tf.constant(side)  # a tensor, because Keras rounds arrays to float32

    def checked_input_tensors(self, x: tf.Tensor) -> tf.Tensor:
        single = tf.cast(x, tf.float32)
        require(tf.math.is_finite(single), "z must hold finite numbers")
        return x if x.dtype == tf.float64 else single

    def inputs_for_keras(self, x: Any) -> Any:
        """Arrays of z as Keras gets them: it rounds arrays to float32, but no tensors."""
        if not isinstance(x, np.ndarray):
            return x
        return tf.constant(x, tf.float64) if self._is_far() else x.astype(np.float32)

    def checked_tensors(self, x: tf.Tensor, y: Any) -> tuple[tf.Tensor, tf.Tensor]:
        if y is None:
            raise TypeError(
                "the dataset has no side information; expected batches (z, dictionary) with the "
                f"names {self.names}"
            )
        if isinstance(y, tf.Tensor) and y.shape.is_compatible_with([None, len(self.attributes)]):
            return self.checked_input_tensors(x), y  # of `stack_side_information`
        if not isinstance(y, Mapping):
            raise TypeError(
                f"the dataset's side information is a {type(y).__name__}; expected a dictionary "
                f"with the names {self.names}"
            )
        check_names(self.names, y)
        for attribute in self.attributes:
            check_column(attribute, y[attribute.name])
        require_values(
            [
                (a.name, a, y[a.name])
                for a in self.attributes
                if not isinstance(a, Categorical) or isinstance(a.classes, int)
            ]
        )
        y = stack_tensors(self.attributes, y, indices=False)
        return self.checked_input_tensors(x), y

    def check_spec(self, x: Any) -> None:
        shape = getattr(x, "shape", None)
        if shape is None or not shape.is_compatible_with([None, self.latent_dim]):
            raise ValueError(
                f"the dataset's z has shape {shape}; expected batches [n, {self.latent_dim}], in "
                "pairs (z, dictionary of side information)"
            )
        if not (x.dtype.is_floating or x.dtype.is_integer):
            raise TypeError(f"the dataset's z has dtype {x.dtype.name}; expected numbers")

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        z, side, _ = keras.utils.unpack_x_y_sample_weight(data)
        weights = batch_weights(data)
        # Gradients are summed over the replicas, so each one minimises its share of the mean.
        replicas = self.distribute_strategy.num_replicas_in_sync
        with tf.GradientTape(persistent=True) as tape:
            losses, penalty = self._losses_and_penalty(z, side, step_seed(self), weights)
            lens_share = (losses["lens_loss"] + penalty) / replicas
            secondary_share = (losses["secondary_loss"] + penalty) / replicas
        steps = []
        for loss, variables in (
            (lens_share, self.lens_variables),
            (secondary_share, self.secondary_recognition.trainable_variables),
        ):
            steps += zip(tape.gradient(loss, variables), variables, strict=True)
        self.optimizer.apply_gradients(steps)
        self.steps.assign_add(1)
        return update_metrics(self.trackers, losses, z, weights)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        z, side, _ = keras.utils.unpack_x_y_sample_weight(data)
        # The same noise at every evaluation: epochs differ by their weights alone.
        seed, weights = tf.constant([self.seed, -1], tf.int32), batch_weights(data)
        losses, _ = self._losses_and_penalty(z, side, seed, weights)
        return update_metrics(self.trackers, losses, z, weights)

    @tf.autograph.experimental.do_not_convert  # a fifth of the time of tracing
    def _losses_and_penalty(
        self, z: tf.Tensor, side: tf.Tensor, seed: tf.Tensor, weights: tf.Tensor | None
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor | float]:
        losses = self.batch_losses(z, side, seed, weights)
        penalty = self.penalty()
        if self.losses:
            losses = {**losses, "loss": losses["loss"] + penalty}
        return losses, penalty

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self.trackers)

    def check_latents(self, z: Any, name: str = "z", dtype: Any = "precision") -> np.ndarray:
        """z [n, latent_dim] as an array of the lens's `precision`, or of another dtype.

        With dtype None it is float32 or float64, whichever holds the numbers of z.

        Raises:
            TypeError or ValueError: as `latents_array`.
        """
        array = latents_array(name, z, self.latent_dim)
        if dtype is None:
            dtype = np.float32 if array.dtype.itemsize <= 4 else np.float64
        return array.astype(self.precision if dtype == "precision" else dtype)

    # Saving.

    def load_own_variables(self, store: Any) -> None:
        """As every model; a lens without `steps` was saved with its optimiser in another order."""
        optimizer = getattr(self, "optimizer", None)
        if optimizer is not None and len(store.keys()) < len(self._non_trainable_weights):
            # One without variables: Keras warns that it skips those of the file.
            self.compile(type(optimizer).from_config(optimizer.get_config()))
        super().load_own_variables(store)

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "latent_dim": self.latent_dim,
            "side_information": attributes_to_config(self.attributes),
            "hidden_units": list(self.hidden_units),
            "attribute_weights": dict(self.attribute_weights),
            "latent_noise": self.latent_noise,
            "seed": self.seed,
            **{name: getattr(self, name) for name in self.own_settings},
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> TrainableLens:
        side_information = attributes_from_config(config["side_information"])
        return cls(**{**config, "side_information": side_information})

"""What every lens offers: units, training data, inference, manipulation, saving.

How z and z* go over into each other is the models' own: `filvm.lens.filvm`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
import tensorflow as tf
import tf_keras as keras

from filvm.data.side_information import (
    Attribute,
    Categorical,
    Continuous,
    attribute_scaling,
    attribute_values,
    attributes_from_config,
    attributes_to_config,
    check_attributes,
    stack_side_information,
)
from filvm.lens.objective import (
    categorical_log_likelihood,
    continuous_log_likelihood,
)
from filvm.serving.signatures import Served, require, signature
from filvm.vae.base import batch_noise, step_seed, tracked

CHUNK = 32768  # samples that methods on arrays take at a time: bounds their memory


def check_at_least(name: str, value: float, least: float) -> None:
    """A ValueError that names the setting, unless value >= least."""
    if not value >= least:
        raise ValueError(f"{name} is {value!r}; expected a number >= {least}")


class Lens(Served, keras.Model):
    """What every lens shares: units of z and s, training data, q(s|z), and what users ask of it.

    A subclass has `heads`, one `LinearHead` per attribute, and a `secondary_recognition` network,
    z -> logits or scaled mean of every attribute, and says how z and z* go over into each other, in
    standardised units:

        infer_standardised(z, side, seed) -> z_star
        generate_standardised(z_star) -> z
        losses_of(z, side, seed) -> named scalars; `loss` is what falls

    Args:
        latent_dim: of z and z*.
        side_information: the attributes.
        hidden_units: of the hidden layers of each network.
        attribute_weights: lambda_j, one number for all or a dictionary by name.
        latent_noise: standard deviation of noise on standardised latents in training; the
            subclasses say where.
        seed: of the noise in training, `infer(sampled=True)` and `sample`.
    """

    default_weights: ClassVar = {Categorical: 1.0, Continuous: 1.0}
    precision: ClassVar[Any] = np.float32  # of the z and z* that users are given

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
        super().__init__(**kwargs)
        if not isinstance(latent_dim, int | np.integer) or latent_dim < 1:
            raise ValueError(f"latent_dim is {latent_dim!r}; expected an integer >= 1")
        self.latent_dim = int(latent_dim)
        self.attributes = check_attributes(side_information, self.latent_dim)
        check_at_least("latent_noise", latent_noise, 0)
        self.hidden_units = list(hidden_units)
        self.attribute_weights = self._weights_by_name(attribute_weights)
        self.latent_noise = latent_noise
        self.seed = seed
        d, attributes = self.latent_dim, len(self.attributes)

        def constant(name: str, shape: list[int], initializer: str) -> tf.Variable:
            return self.add_weight(name, shape, initializer=initializer, trainable=False)

        self.latent_mean = constant("latent_mean", [d], "zeros")
        self.latent_scale = constant("latent_scale", [d], "ones")
        self.attribute_mean = constant("attribute_mean", [attributes], "zeros")
        self.attribute_scale = constant("attribute_scale", [attributes], "ones")
        self.adapted = constant("adapted", [], "zeros")

    def _weights_by_name(self, weights: float | Mapping[str, float] | None) -> dict[str, float]:
        by_name = {a.name: self.default_weights[type(a)] for a in self.attributes}
        if isinstance(weights, Mapping):
            unknown = sorted(set(weights) - set(by_name))
            if unknown:
                raise ValueError(
                    f"attribute_weights names {unknown}; expected some of {self.names}"
                )
            by_name.update({name: float(weight) for name, weight in weights.items()})
        elif weights is not None:
            by_name = dict.fromkeys(by_name, float(weights))
        return by_name

    def _hidden(self, tensor: tf.Tensor) -> tf.Tensor:
        for index, units in enumerate(self.hidden_units, start=1):
            tensor = keras.layers.Dense(units, activation="relu", name=f"hidden_{index}")(tensor)
        return tensor

    def _secondary_recognition_network(self) -> keras.Model:
        z = keras.Input([self.latent_dim], name="z")
        hidden = self._hidden(z)
        outputs = [keras.layers.Dense(a.width, name=a.name)(hidden) for a in self.attributes]
        return keras.Model(z, outputs, name="secondary_recognition")

    @property
    def names(self) -> list[str]:
        """The attributes' names, in the order of the dimensions of z* they own."""
        return [attribute.name for attribute in self.attributes]

    # What a subclass defines, on tensors in standardised units.

    def infer_standardised(
        self, z: tf.Tensor, side: tf.Tensor, seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        """z [n, d] and side information [n, attributes] (own units, nan missing) -> z* [n, d]."""
        raise NotImplementedError(f"{type(self).__name__} does not say how z becomes z*")

    def generate_standardised(self, z_star: tf.Tensor) -> tf.Tensor:
        """z* [n, d] -> z [n, d]."""
        raise NotImplementedError(f"{type(self).__name__} does not say how z* becomes z")

    def losses_of(self, z: tf.Tensor, side: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        """Means over the batch by name, `loss` among them; z and s in their own units."""
        raise NotImplementedError(f"{type(self).__name__} names no losses")

    def objectives(
        self, losses: Mapping[str, tf.Tensor]
    ) -> list[tuple[tf.Tensor, list[tf.Variable]]]:
        """What is minimised with respect to which variables."""
        return [(losses["loss"], self.trainable_variables)]

    # Units.

    def standardise(self, z: tf.Tensor) -> tf.Tensor:
        """Latents in the VAE's units -> mean 0 and variance 1 over the training data."""
        z = tf.convert_to_tensor(z)
        return (z - tf.cast(self.latent_mean, z.dtype)) / tf.cast(self.latent_scale, z.dtype)

    def restore(self, z: tf.Tensor) -> tf.Tensor:
        """The inverse of `standardise`."""
        return z * tf.cast(self.latent_scale, z.dtype) + tf.cast(self.latent_mean, z.dtype)

    def encode_side_information(self, side: tf.Tensor) -> list[tuple[tf.Tensor, tf.Tensor]]:
        """For every attribute: what networks see of it, [n, width], and where it is known, [n, 1].

        `side` is [n, attributes] in the attributes' own units, nan where missing.
        """
        encoded = []
        for j, attribute in enumerate(self.attributes):
            known = tf.math.is_finite(side[:, j : j + 1])
            value = tf.where(known, side[:, j : j + 1], 0.0)
            if isinstance(attribute, Categorical):
                seen = tf.one_hot(tf.cast(value[:, 0], tf.int32), attribute.num_classes)
            else:
                seen = (value - self.attribute_mean[j]) / self.attribute_scale[j]
            encoded.append((seen, known))
        return encoded

    def decode_side_information(self, outputs: Sequence[tf.Tensor]) -> dict[str, tf.Tensor]:
        """Logits and scaled means -> float32 [n] by name: the likeliest label, or the number."""
        values = {}
        for j, (attribute, output) in enumerate(zip(self.attributes, outputs, strict=True)):
            if isinstance(attribute, Categorical):
                values[attribute.name] = tf.cast(tf.argmax(output, axis=-1), tf.float32)
            else:
                scaled = output[:, 0]
                values[attribute.name] = scaled * self.attribute_scale[j] + self.attribute_mean[j]
        return values

    # The side information's part of every objective.

    def secondary_outputs(self, z: tf.Tensor) -> list[tf.Tensor]:
        """z [n, d] -> for every attribute its logits [n, classes] or scaled mean [n, 1]."""
        outputs = self.secondary_recognition(tf.cast(z, tf.float32))
        return list(outputs) if isinstance(outputs, list | tuple) else [outputs]

    def completed(
        self, side: tf.Tensor, approximations: list[tf.Tensor], seed: tf.Tensor | None = None
    ) -> list[tf.Tensor]:
        """s as networks see it, the secondary network's q(s|z) standing in where it is missing.

        A label is drawn from q(s|z), or without a seed is the likeliest one: on one axis the mean
        of a 4 and a 9 would be a 6 or 7. A number is the mean.
        """
        encoded = []
        for j, (attribute, (seen, known), approximation) in enumerate(
            zip(self.attributes, self.encode_side_information(side), approximations, strict=True)
        ):
            if isinstance(attribute, Categorical):
                if seed is not None:
                    own_seed = tf.add(seed, [0, 2**24 * (j + 1)])
                    uniform = batch_noise(
                        tf.random.stateless_uniform,
                        approximation,
                        own_seed,
                        minval=1e-7,
                        maxval=1.0,
                    )
                    approximation -= tf.math.log(-tf.math.log(uniform))  # Gumbel: argmax draws
                approximation = tf.one_hot(tf.argmax(approximation, axis=-1), attribute.width)
            # The secondary network learns from known s alone, so nothing flows back into it here.
            encoded.append(tf.where(known, seen, tf.stop_gradient(approximation)))
        return encoded

    def attribute_log_likelihood(
        self, attribute: Attribute, encoded: tf.Tensor, output: tf.Tensor
    ) -> tf.Tensor:
        """log p(s_j|.) of encoded s under logits or a scaled mean, [n]."""
        if isinstance(attribute, Categorical):
            return categorical_log_likelihood(encoded, output)
        return continuous_log_likelihood(encoded, output)

    def known_losses(
        self, side: tf.Tensor, outputs: Sequence[tf.Tensor | None], kind: str
    ) -> dict[str, tf.Tensor]:
        """-log p(s_j|.), averaged over the samples of the batch whose s_j is known: <kind>_<name>.

        `outputs` are logits and scaled means, of the secondary network or of heads; None for an
        attribute that is not judged.
        """
        losses = {}
        for attribute, (seen, known), output in zip(
            self.attributes, self.encode_side_information(side), outputs, strict=True
        ):
            if output is None:
                continue
            weight = tf.cast(known[:, 0], tf.float32)
            log_likelihood = self.attribute_log_likelihood(attribute, seen, output)
            losses[f"{kind}_{attribute.name}"] = -tf.math.divide_no_nan(
                tf.reduce_sum(weight * log_likelihood), tf.reduce_sum(weight)
            )
        return losses

    def swap_losses(
        self,
        z_star: tf.Tensor,
        encoded: list[tf.Tensor],
        generate: Callable[[tf.Tensor], tf.Tensor],
    ) -> dict[str, tf.Tensor]:
        """-log q(s_j'|z') of latents z' = generate(z*) with other samples' z*_j', by attribute."""
        # Batches are shuffled, so the next row is another sample at random, and the row after it
        # a second one: attributes are swapped independently of each other.
        count = len(self.attributes)
        columns = [tf.roll(z_star[:, j : j + 1], j + 1, axis=0) for j in range(count)]
        swapped = tf.concat([*columns, z_star[:, count:]], axis=1)
        read_back = self.secondary_outputs(generate(swapped))
        return {
            f"swap_{attribute.name}": -tf.reduce_mean(
                self.attribute_log_likelihood(attribute, tf.roll(seen, j + 1, axis=0), output)
            )
            for j, (attribute, seen, output) in enumerate(
                zip(self.attributes, encoded, read_back, strict=True)
            )
        }

    # Training.

    def adapt(self, z: np.ndarray, side_information: Mapping[str, Any]) -> None:
        """Learn the units of latents and attributes from training data; `fit` does it once.

        Args: as those of `fit`.
        """
        z = self.check_latents(z)
        side = stack_side_information(self.attributes, side_information, len(z), require_all=True)
        self._set_scaling(z, side)

    def _set_scaling(self, z: np.ndarray, side: np.ndarray) -> None:
        deviation = z.std(axis=0, dtype=np.float64)
        attribute_mean, attribute_scale = attribute_scaling(self.attributes, side)
        self.latent_mean.assign(z.mean(axis=0, dtype=np.float64).astype(np.float32))
        self.latent_scale.assign(np.where(deviation > 1e-6, deviation, 1.0).astype(np.float32))
        self.attribute_mean.assign(attribute_mean)
        self.attribute_scale.assign(attribute_scale)
        self.adapted.assign(1.0)

    def fit(
        self,
        x: Any = None,
        y: Any = None,
        batch_size: int | None = None,
        *,
        validation_data: Any = None,
        **kwargs: Any,
    ) -> keras.callbacks.History:
        """Train on latents and side information.

        Args:
            x: latents z, float [n, latent_dim], as the VAE gives them: not standardised. Or a
                `tf.data.Dataset` of batches (z, dictionary).
            y: dictionary from every attribute's name to its values [n], -1 (categorical) or
                nan (continuous) where missing.
            batch_size: 256 unless told.
            validation_data: a pair (z, dictionary), or a `tf.data.Dataset`.
            kwargs: as of `keras.Model.fit`.

        The first `fit` sets the units of z and s; later ones keep them.
        """
        x, y = self._prepare(x, y, adapt=True)
        if not isinstance(x, tf.data.Dataset):
            kwargs["batch_size"] = batch_size or 256
        if isinstance(validation_data, tuple):
            validation_data = self._prepare(*validation_data)
        elif validation_data is not None:
            validation_data, _ = self._prepare(validation_data, None)
        return super().fit(x, y, validation_data=validation_data, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, **kwargs: Any) -> Any:
        """As `keras.Model.evaluate`, on what `fit` takes."""
        x, y = self._prepare(x, y)
        if not isinstance(x, tf.data.Dataset):
            kwargs.setdefault("batch_size", 256)
        return super().evaluate(x, y, **kwargs)

    def _prepare(self, x: Any, y: Any, adapt: bool = False) -> tuple[Any, Any]:
        """Checked arrays (z, stacked side information), or a dataset of them and None."""
        adapt = adapt and not self.adapted.numpy()
        if isinstance(x, tf.data.Dataset):
            dataset = x.map(self._stack_batch)
            if adapt:
                if dataset.cardinality() == tf.data.INFINITE_CARDINALITY:
                    raise ValueError(
                        "the dataset never ends; call adapt(z, side_information) first"
                    )
                batches = list(dataset.as_numpy_iterator())
                self._set_scaling(*(np.concatenate(part) for part in zip(*batches, strict=True)))
            return dataset, None
        z = self.check_latents(x)
        side = stack_side_information(self.attributes, y, len(z), require_all=True)
        if adapt:
            self._set_scaling(z, side)
        return z, side

    def _stack_batch(self, z: tf.Tensor, side: Any) -> tuple[tf.Tensor, tf.Tensor]:
        if isinstance(side, Mapping):
            columns = []
            for attribute in self.attributes:
                values = tf.cast(side[attribute.name], tf.float32)
                missing = tf.zeros_like(values, tf.bool)
                if isinstance(attribute, Categorical):
                    missing = values < 0
                columns.append(tf.where(missing, np.float32(np.nan), values))
            side = tf.stack(columns, axis=-1)
        return tf.cast(z, tf.float32), side

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        z, side, _ = keras.utils.unpack_x_y_sample_weight(data)
        replicas = self.distribute_strategy.num_replicas_in_sync
        with tf.GradientTape(persistent=True) as tape:
            losses = self.losses_of(z, side, step_seed(self))
            # Replicas' gradients are summed, so each contributes its share of the mean.
            shares = [(loss / replicas, over) for loss, over in self.objectives(losses)]
        steps = []
        for loss, variables in shares:
            steps += zip(tape.gradient(loss, variables), variables, strict=True)
        self.optimizer.apply_gradients(steps)
        return tracked(self.trackers, losses, z)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        z, side, _ = keras.utils.unpack_x_y_sample_weight(data)
        # The same noise at every evaluation: epochs differ by their weights alone.
        losses = self.losses_of(z, side, tf.constant([self.seed, -1], tf.int32))
        return tracked(self.trackers, losses, z)

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        return list(self.trackers)

    # What users call: arrays in, arrays out, in the units of the VAE's latents and of s.

    def call(self, z: tf.Tensor, training: bool = False) -> tf.Tensor:
        """z -> z*, deterministic, with side information inferred."""
        return self.infer_standardised(self.standardise(z), self.unknown(z))

    def unknown(self, z: tf.Tensor) -> tf.Tensor:
        """Side information for the rows of z, all of it missing: nan [n, attributes]."""
        return tf.fill([tf.shape(z)[0], len(self.attributes)], np.float32(np.nan))

    def infer(
        self,
        z: np.ndarray,
        side_information: Mapping[str, Any] | None = None,
        *,
        sampled: bool = False,
        seed: int | None = None,
    ) -> np.ndarray:
        """z -> z*.

        Args:
            z: [n, latent_dim].
            side_information: what is known of the samples, by name; whatever is missing is
                inferred.
            sampled: draw z* from q(z*|z, s). Without it the base distribution's mean goes through
                the flows, which is deterministic.
            seed: of the draw; the model's own unless given.

        Returns:
            [n, latent_dim], of the lens's `precision`: float32, or float64 where T has an inverse.
        """
        z = self.check_latents(z)
        side = stack_side_information(self.attributes, side_information or {}, len(z))
        seed = self.seed if seed is None else seed
        parts = [
            self.infer_standardised(
                self.standardise(z[start : start + CHUNK]),
                tf.constant(side[start : start + CHUNK]),
                tf.constant([seed, start], tf.int32) if sampled else None,
            )
            for start in range(0, len(z), CHUNK)
        ]
        return np.concatenate(parts)

    def predict_side_information(
        self, z: np.ndarray, *, probabilities: bool = False
    ) -> dict[str, np.ndarray]:
        """What the secondary recognition network reads off z [n, latent_dim], by name.

        A label comes as int64 [n], or with `probabilities` as float32 [n, classes]; a number as
        float32 [n], in its own unit.
        """
        z = self.check_latents(z)
        parts = [
            self._named(self.secondary_outputs(self.standardise(chunk)), probabilities)
            for chunk in _chunks(z)
        ]
        return {name: np.concatenate([part[name] for part in parts]) for name in self.names}

    def read(self, z_star: np.ndarray, *, probabilities: bool = False) -> dict[str, np.ndarray]:
        """What the linear heads p(s|z*) read off z_star; as `predict_side_information`."""
        z_star = self.check_latents(z_star, "z_star")
        outputs = [head(z_star) for head in self.heads]
        return self._named(outputs, probabilities)

    def _named(self, outputs: list[tf.Tensor], probabilities: bool) -> dict[str, np.ndarray]:
        named = {}
        values = self.decode_side_information(outputs)
        for attribute, output in zip(self.attributes, outputs, strict=True):
            value = values[attribute.name].numpy()
            if isinstance(attribute, Categorical):
                value = tf.nn.softmax(output).numpy() if probabilities else value.astype(np.int64)
            named[attribute.name] = value
        return named

    def generate(self, z_star: np.ndarray) -> np.ndarray:
        """z* -> z for the VAE's decoder, both [n, latent_dim], of the lens's `precision`."""
        z_star = self.check_latents(z_star, "z_star")
        parts = [self.restore(self.generate_standardised(chunk)) for chunk in _chunks(z_star)]
        return np.concatenate(parts)

    def dimension(self, name: str) -> int:
        """The dimension of z* that the attribute owns."""
        if name not in self.names:
            raise ValueError(f"there is no attribute {name!r}; this lens knows {self.names}")
        dimension = self.heads[self.names.index(name)].dimension
        if dimension is None:
            raise ValueError(
                f"no dimension of z* belongs to {name!r} alone in an {type(self).__name__}; "
                "use an FILVM, or set a dimension with set_dimension"
            )
        return dimension

    def coordinate(self, name: str, value: Any) -> np.ndarray:
        """Where on its dimension of z* an attribute has a value.

        A number's is where its head's mean is that value; a label's is the mean of z*_j given the
        label, under the prior and the head. `value` is a scalar or [n]; so is the result.
        """
        self.dimension(name)  # there must be one
        j = self.names.index(name)
        attribute, head = self.attributes[j], self.heads[j]
        values = attribute_values(attribute, np.atleast_1d(value))
        if not np.isfinite(values).all():
            raise ValueError(f"{name!r} is asked to be missing; expected a value")
        if isinstance(attribute, Categorical):
            coordinates = head.label_coordinates().numpy()[values.astype(np.int64)]
        else:
            scaled = (values - self.attribute_mean[j]) / self.attribute_scale[j]
            coordinates = head.number_coordinate(scaled).numpy()
        return coordinates.reshape(np.shape(value))

    def set_attributes(self, z_star: np.ndarray, **attributes: Any) -> np.ndarray:
        """A copy of z_star with the named attributes at the given values (scalars or [n])."""
        z_star = np.array(self.check_latents(z_star, "z_star"))
        for name, value in attributes.items():
            if np.ndim(value) and np.shape(value) != (len(z_star),):
                raise ValueError(
                    f"{name!r} has shape {list(np.shape(value))}; "
                    f"expected one value, or [{len(z_star)}]"
                )
            z_star[:, self.dimension(name)] = self.coordinate(name, value)
        return z_star

    def manipulate(self, z: np.ndarray, **attributes: Any) -> np.ndarray:
        """z with attributes changed: z -> z*, set, z* -> z, e.g. `manipulate(z, digit=3)`.

        Values are labels and numbers in their own units, one for all samples or [n].
        """
        if not attributes:
            raise ValueError(f"name an attribute to set: one or more of {self.names}")
        return self.generate(self.set_attributes(self.infer(z), **attributes))

    def set_dimension(self, z: np.ndarray, dimension: int, value: Any) -> np.ndarray:
        """z with one dimension of z* at a coordinate (a scalar or [n]): z -> z*, set, z* -> z."""
        if not 0 <= dimension < self.latent_dim:
            raise ValueError(f"dimension is {dimension}; expected 0 to {self.latent_dim - 1}")
        z_star = self.infer(z)
        z_star[:, dimension] = value
        return self.generate(z_star)

    def sample(self, n: int, *, seed: int | None = None, **attributes: Any) -> np.ndarray:
        """n latents z from the generative model: z* ~ N(0, I) with attributes set as asked."""
        rng = np.random.default_rng(self.seed if seed is None else seed)
        z_star = rng.standard_normal((n, self.latent_dim), np.float32)
        return self.generate(self.set_attributes(z_star, **attributes))

    def check_latents(self, z: Any, name: str = "z") -> np.ndarray:
        """z [n, latent_dim] of the lens's `precision`, or the error that says what is wrong."""
        array = np.asarray(z)
        if array.dtype.kind not in "iuf":
            raise TypeError(f"{name} has dtype {array.dtype}; expected floating point numbers")
        if array.ndim != 2 or array.shape[1] != self.latent_dim or not len(array):
            raise ValueError(
                f"{name} has shape {list(array.shape)}; expected [n, {self.latent_dim}], n >= 1"
            )
        with np.errstate(over="ignore"):
            finite = np.isfinite(array.astype(np.float32)).all(axis=1)  # a double may be too large
        if not finite.all():
            raise ValueError(f"{name} is not finite at row {int((~finite).argmax())}")
        return array.astype(self.precision)

    # Saving.

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "latent_dim": self.latent_dim,
            "side_information": attributes_to_config(self.attributes),
            "hidden_units": list(self.hidden_units),
            "attribute_weights": dict(self.attribute_weights),
            "latent_noise": self.latent_noise,
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Lens:
        side_information = attributes_from_config(config["side_information"])
        return cls(**{**config, "side_information": side_information})

    def encode_tensors(self, z: tf.Tensor, side: tf.Tensor) -> dict[str, tf.Tensor]:
        """`z_star` [n, d], and every attribute [n]: as `side` has it where known, else inferred."""
        z = self.standardise(z)
        inferred = self.decode_side_information(self.secondary_outputs(z))
        outputs = {"z_star": self.infer_standardised(z, side)}
        for j, name in enumerate(self.names):
            given = side[:, j]
            outputs[name] = tf.where(tf.math.is_finite(given), given, inferred[name])
        return outputs

    def decode_tensors(self, z_star: tf.Tensor) -> tf.Tensor:
        """z* -> z, in the VAE's units."""
        return self.restore(self.generate_standardised(z_star))

    def set_dimension_tensors(
        self, z: tf.Tensor, dimension: tf.Tensor, value: tf.Tensor
    ) -> tf.Tensor:
        """z -> z*, one dimension of each row set to a coordinate, -> z."""
        last = self.latent_dim - 1
        require(
            (dimension >= 0) & (dimension <= last), f"dimension must hold integers from 0 to {last}"
        )
        z_star = self.infer_standardised(self.standardise(z), self.unknown(z))
        at = tf.one_hot(dimension, self.latent_dim)
        return self.decode_tensors(z_star * (1.0 - at) + at * value[:, None])

    def side_specs(self) -> list[tf.TensorSpec]:
        """One float32 [n] input per attribute."""
        return [tf.TensorSpec([None], tf.float32, name) for name in self.names]

    def stack_tensors(self, side: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """One float32 [n] per attribute, -1 or nan where missing -> [n, attributes], then nan."""
        for attribute in self.attributes:
            if isinstance(attribute, Categorical):
                label, last = side[attribute.name], attribute.num_classes - 1
                require(
                    tf.math.is_nan(label)
                    | (label == -1)
                    | ((label >= 0) & (label <= last) & (label == tf.floor(label))),
                    f"{attribute.name} must hold labels from 0 to {last}, or -1 where missing",
                )
        return self._stack_batch(tf.zeros([1]), side)[1]

    def signatures(self) -> dict[str, Any]:
        """The named functions of the SavedModel: as the pipeline's, with z in place of images."""
        z = tf.TensorSpec([None, self.latent_dim], tf.float32, "z")
        return self.signatures_through(z, lambda z: z, lambda z: {"z": z})

    def signatures_through(
        self,
        observed: tf.TensorSpec,
        latents_of: Callable[[tf.Tensor], tf.Tensor],
        observation_of: Callable[[tf.Tensor], dict[str, tf.Tensor]],
    ) -> dict[str, Any]:
        """The signatures of a lens behind a VAE: what is observed -> z, and z -> named outputs."""
        z_star = tf.TensorSpec([None, self.latent_dim], tf.float32, "z_star")
        dimension = tf.TensorSpec([None], tf.int32, "dimension")
        value = tf.TensorSpec([None], tf.float32, "value")

        @signature(observed)
        def encode(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            z = latents_of(inputs[observed.name])
            return self.encode_tensors(z, self.unknown(z))

        @signature(observed, *self.side_specs())
        def encode_with_side_information(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            z = latents_of(inputs[observed.name])
            return self.encode_tensors(z, self.stack_tensors(inputs))

        @signature(z_star)
        def decode(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return observation_of(self.decode_tensors(inputs["z_star"]))

        @signature(observed, dimension, value)
        def manipulate(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            z = latents_of(inputs[observed.name])
            return observation_of(
                self.set_dimension_tensors(z, inputs["dimension"], inputs["value"])
            )

        return {
            "serving_default": encode,
            "encode": encode,
            "encode_with_side_information": encode_with_side_information,
            "decode": decode,
            "manipulate": manipulate,
        }


def _chunks(array: np.ndarray) -> list[np.ndarray]:
    return [array[start : start + CHUNK] for start in range(0, len(array), CHUNK)]

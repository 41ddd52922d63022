"""Lens models: from the latents z of a trained VAE to z*, whose dimensions mean something.

A lens has a recognition model q(z*|z, s), a generative model p(z|z*), and a linear model p(s|z*) of
the side information s (sections 2.3 and 2.4 of the report, Figures A5-A8; arXiv:1807.11143). It
maximises equation (8), which is in `filvm.models.objective`:

    z_0 ~ q0 = N(mean, diag exp log_var),   z* = z_K = T_K(... T_1(z_0)),   T_k planar flows,
    mean, log_var, w, u, b = recognition(z, s)

Where s is not known, a secondary recognition network's approximation of q(s|z) stands in.
`ILVM` predicts every attribute from all of z*, `FILVM` attribute j from z*_j alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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
from filvm.flows.posterior import PlanarFlows
from filvm.models.heads import LinearHead
from filvm.models.objective import (
    base_log_prob,
    categorical_log_likelihood,
    continuous_log_likelihood,
    objective,
    standard_normal_log_prob,
)
from filvm.models.vae import gaussian_log_likelihood, sample_gaussian, step_seed

CHUNK = 32768  # samples that methods on arrays take at a time: bounds their memory


class Lens(keras.Model):
    """What every lens shares: the units of z and s, training data, and what users ask of it.

    A subclass says how z and z* go over into each other, in standardised units:

        infer_standardised(z, known, encoded, seed) -> z_star
        generate_standardised(z_star) -> z
        read_side_information(z) -> one tensor per attribute: logits, or the scaled mean
        losses_of(z, side, seed) -> named scalars; `loss` is what falls
    """

    def __init__(
        self,
        latent_dim: int,
        side_information: Sequence[Attribute],
        *,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if not isinstance(latent_dim, int | np.integer) or latent_dim < 1:
            raise ValueError(f"latent_dim is {latent_dim!r}; expected an integer >= 1")
        self.latent_dim = int(latent_dim)
        self.attributes = check_attributes(side_information, self.latent_dim)
        self.seed = seed
        d, attributes = self.latent_dim, len(self.attributes)

        def constant(name: str, shape: list[int], initializer: str) -> tf.Variable:
            return self.add_weight(name, shape, initializer=initializer, trainable=False)

        self.latent_mean = constant("latent_mean", [d], "zeros")
        self.latent_scale = constant("latent_scale", [d], "ones")
        self.attribute_mean = constant("attribute_mean", [attributes], "zeros")
        self.attribute_scale = constant("attribute_scale", [attributes], "ones")
        self.adapted = constant("adapted", [], "zeros")

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

    def secondary_outputs(self, z: tf.Tensor) -> list[tf.Tensor]:
        """z [n, d] -> for every attribute its logits [n, classes] or scaled mean [n, 1]."""
        raise NotImplementedError(f"{type(self).__name__} does not read s from z")

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
        return (z - self.latent_mean) / self.latent_scale

    def restore(self, z: tf.Tensor) -> tf.Tensor:
        """The inverse of `standardise`."""
        return z * self.latent_scale + self.latent_mean

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

    # Training.

    def adapt(self, z: np.ndarray, side_information: Mapping[str, Any]) -> None:
        """Learn the units of latents and attributes from training data; `fit` does it once.

        Args: as those of `fit`.
        """
        z = self.check_latents(z)
        side = stack_side_information(self.attributes, side_information, len(z), require_all=True)
        self._set_scaling(z, side)

    def _set_scaling(self, z: np.ndarray, side: np.ndarray) -> None:
        spread = z.std(axis=0, dtype=np.float64)
        attribute_mean, attribute_scale = attribute_scaling(self.attributes, side)
        self.latent_mean.assign(z.mean(axis=0, dtype=np.float64).astype(np.float32))
        self.latent_scale.assign(np.where(spread > 1e-6, spread, 1.0).astype(np.float32))
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
        return self._track(losses, z)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        z, side, _ = keras.utils.unpack_x_y_sample_weight(data)
        # The same noise at every evaluation: epochs differ by their weights alone.
        return self._track(self.losses_of(z, side, tf.constant([self.seed, -1], tf.int32)), z)

    def _track(self, losses: Mapping[str, tf.Tensor], z: tf.Tensor) -> dict[str, tf.Tensor]:
        size = tf.shape(z)[0]  # a final partial batch counts for what it holds
        for tracker in self.trackers:
            tracker.update_state(losses[tracker.name], sample_weight=size)
        return {tracker.name: tracker.result() for tracker in self.trackers}

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
            float32 [n, latent_dim].
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
        """z* [n, latent_dim] -> z, float32 [n, latent_dim], for the VAE's decoder."""
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
        """z as float32 [n, latent_dim], or the error that says what is wrong with it."""
        array = np.asarray(z)
        if array.dtype.kind not in "iuf":
            raise TypeError(f"{name} has dtype {array.dtype}; expected floating point numbers")
        if array.ndim != 2 or array.shape[1] != self.latent_dim or not len(array):
            raise ValueError(
                f"{name} has shape {list(array.shape)}; expected [n, {self.latent_dim}], n >= 1"
            )
        finite = np.isfinite(array).all(axis=1)
        if not finite.all():
            raise ValueError(f"{name} is not finite at row {int((~finite).argmax())}")
        return array.astype(np.float32)

    # Saving.

    def get_config(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "latent_dim": self.latent_dim,
            "side_information": attributes_to_config(self.attributes),
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
        z_star = self.infer_standardised(self.standardise(z), self.unknown(z))
        at = tf.one_hot(dimension, self.latent_dim)
        return self.decode_tensors(z_star * (1.0 - at) + at * value[:, None])

    def side_specs(self) -> dict[str, tf.TensorSpec]:
        """One float32 [n] input per attribute."""
        return {name: tf.TensorSpec([None], tf.float32, name) for name in self.names}

    def stack_tensors(self, side: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """One float32 [n] per attribute, -1 or nan where missing -> [n, attributes], then nan."""
        return self._stack_batch(tf.zeros([1]), side)[1]

    def signatures(self) -> dict[str, Any]:
        """The named functions of the SavedModel: as the pipeline's, with z in place of images."""
        z = tf.TensorSpec([None, self.latent_dim], tf.float32, "z")
        z_star = tf.TensorSpec([None, self.latent_dim], tf.float32, "z_star")

        @tf.function(input_signature=[z])
        def encode(z: tf.Tensor) -> dict[str, tf.Tensor]:
            return self.encode_tensors(z, self.unknown(z))

        @tf.function(input_signature=[{"z": z, **self.side_specs()}])
        def encode_with_side_information(inputs: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
            return self.encode_tensors(inputs["z"], self.stack_tensors(inputs))

        @tf.function(input_signature=[z_star])
        def decode(z_star: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"z": self.decode_tensors(z_star)}

        @tf.function(
            input_signature=[
                z,
                tf.TensorSpec([None], tf.int32, "dimension"),
                tf.TensorSpec([None], tf.float32, "value"),
            ]
        )
        def manipulate(
            z: tf.Tensor, dimension: tf.Tensor, value: tf.Tensor
        ) -> dict[str, tf.Tensor]:
            return {"z": self.set_dimension_tensors(z, dimension, value)}

        return {
            "serving_default": encode,
            "encode": encode,
            "encode_with_side_information": encode_with_side_information,
            "decode": decode,
            "manipulate": manipulate,
        }

    def save(self, filepath: str, *args: Any, **kwargs: Any) -> None:
        """As `keras.Model.save`; a directory becomes a SavedModel with `signatures()`."""
        if not str(filepath).endswith((".keras", ".h5")):
            kwargs.setdefault("signatures", self.signatures())
        super().save(filepath, *args, **kwargs)


def _check_at_least(name: str, value: float, least: float) -> None:
    if not value >= least:
        raise ValueError(f"{name} is {value!r}; expected a number >= {least}")


def _chunks(array: np.ndarray) -> list[np.ndarray]:
    return [array[start : start + CHUNK] for start in range(0, len(array), CHUNK)]


@keras.utils.register_keras_serializable(package="filvm")
class ILVM(Lens):
    """The interpretable lens variable model (section 2.3; Figures A5, A6 and A8).

    Args:
        latent_dim: of z and z*.
        side_information: the attributes; for an `FILVM`, attribute j owns z*_j.
        num_flows: K planar flows.
        hidden_units: of the hidden layers of each of the three networks.
        beta: weight of the KL part of equation (8).
        attribute_weights: lambda_j, one number for all or a dictionary by name.
        latent_variance: of the Gaussian p(z|z*), in standardised units.
        latent_noise: standard deviation of noise on the standardised latents that the secondary
            network trains on: it counts where few labels are known.
        seed: of the noise in training, `infer(sampled=True)` and `sample`.

    Networks, each a functional model:
        recognition: z, s -> mean and log_var [d], w and u [K * d], b [K].
        secondary_recognition: z -> logits or scaled mean of every attribute.
        generative: z* -> z, and logits or scaled mean of every attribute.

    >>> import numpy as np
    >>> from filvm.data.side_information import Categorical, Continuous
    >>> lens = ILVM(4, [Categorical("digit", 10), Continuous("thickness")])
    >>> lens.infer(np.zeros([3, 4])).shape
    (3, 4)
    """

    default_weights: ClassVar = {Categorical: 1.0, Continuous: 1.0}

    def __init__(
        self,
        latent_dim: int,
        side_information: Sequence[Attribute],
        *,
        num_flows: int = 5,
        hidden_units: Sequence[int] = (256, 256, 256),
        beta: float = 1.0,
        attribute_weights: float | Mapping[str, float] | None = None,
        latent_variance: float = 0.05,
        latent_noise: float = 0.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        super().__init__(latent_dim, side_information, seed=seed, **kwargs)
        _check_at_least("num_flows", num_flows, 1)
        _check_at_least("beta", beta, 0)
        _check_at_least("latent_variance", latent_variance, 1e-8)
        _check_at_least("latent_noise", latent_noise, 0)
        self.num_flows = num_flows
        self.hidden_units = list(hidden_units)
        self.beta = beta
        self.attribute_weights = self._weights_by_name(attribute_weights)
        self.latent_variance = latent_variance
        self.latent_noise = latent_noise
        self.flows = PlanarFlows(num_flows)
        self.recognition = self._recognition_network()
        self.secondary_recognition = self._secondary_recognition_network()
        self.heads = self._linear_heads()
        self.generative = self._generative_network()
        self.trackers = [keras.metrics.Mean(name=name) for name in self.loss_names()]
        self(tf.zeros([1, self.latent_dim]))  # lets Keras know the input's shape

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

    # The networks.

    def _hidden(self, tensor: tf.Tensor) -> tf.Tensor:
        for units in self.hidden_units:
            tensor = keras.layers.Dense(units, activation="relu")(tensor)
        return tensor

    def _recognition_network(self) -> keras.Model:
        d, flows = self.latent_dim, self.num_flows
        z = keras.Input([d], name="z")
        side = [keras.Input([a.width], name=a.name) for a in self.attributes]
        hidden = self._hidden(keras.layers.Concatenate(name="z_and_s")([z, *side]))
        outputs = [
            keras.layers.Dense(d, name="mean")(hidden),
            keras.layers.Dense(d, name="log_var")(hidden),
            keras.layers.Dense(flows * d, name="w")(hidden),
            keras.layers.Dense(flows * d, name="u")(hidden),
            keras.layers.Dense(flows, name="b")(hidden),
        ]
        return keras.Model([z, *side], outputs, name="recognition")

    def _secondary_recognition_network(self) -> keras.Model:
        z = keras.Input([self.latent_dim], name="z")
        hidden = self._hidden(z)
        outputs = [keras.layers.Dense(a.width, name=a.name)(hidden) for a in self.attributes]
        return keras.Model(z, outputs, name="secondary_recognition")

    def _linear_heads(self) -> list[LinearHead]:
        return [LinearHead(a.width, name=f"p_{a.name}") for a in self.attributes]

    def _generative_network(self) -> keras.Model:
        z_star = keras.Input([self.latent_dim], name="z_star")
        read = [head(z_star) for head in self.heads]
        hidden = self._hidden(self._generative_input(z_star, read))
        z = keras.layers.Dense(self.latent_dim, name="z")(hidden)
        return keras.Model(z_star, [z, *read], name="generative")

    def _generative_input(self, z_star: tf.Tensor, read: list[tf.Tensor]) -> tf.Tensor:
        return z_star

    # The objective.

    def posterior(
        self, z: tf.Tensor, encoded: list[tf.Tensor], seed: tf.Tensor | None
    ) -> dict[str, tf.Tensor]:
        """z* from q(z*|z, s), or without a seed from the base's mean, with terms 4 and 5."""
        mean, log_var, w, u, b = self.recognition([z, *encoded])
        z_0 = mean if seed is None else sample_gaussian(mean, log_var, seed)
        z_star, log_det = self.flows(z_0, w, u, b)
        return {
            "z_star": z_star,
            "log_q0": base_log_prob(z_0, mean, log_var),
            "log_det": log_det,
        }

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
                    uniform = tf.random.stateless_uniform(
                        tf.shape(approximation), own_seed, 1e-7, 1.0
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

    def elbo_terms(
        self, z: tf.Tensor, encoded: list[tf.Tensor], seed: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        """The terms of equation (8) for one draw of z_0, each [n]; `z_star` and `z` beside them."""
        terms = self.posterior(z, encoded, seed)
        generated, *read = self.generative(terms["z_star"])
        terms["log_prior"] = standard_normal_log_prob(terms["z_star"])
        terms["log_likelihood_z"] = gaussian_log_likelihood(z, generated, self.latent_variance)
        for attribute, seen, output in zip(self.attributes, encoded, read, strict=True):
            terms[f"log_likelihood_{attribute.name}"] = self.attribute_log_likelihood(
                attribute, seen, output
            )
        return terms

    def loss_names(self) -> list[str]:
        """The metrics: `loss`, the terms of equation (8), and the secondary network's loss."""
        return [
            "loss",
            "log_prior",
            "log_likelihood_z",
            *(f"log_likelihood_{name}" for name in self.names),
            "log_q0",
            "log_det",
            *(f"secondary_{name}" for name in self.names),
        ]

    def losses_of(self, z: tf.Tensor, side: tf.Tensor, seed: tf.Tensor) -> dict[str, tf.Tensor]:
        z = self.standardise(z)
        approximations = self.secondary_outputs(z)
        encoded = self.completed(side, approximations, seed)
        terms = self.elbo_terms(z, encoded, seed)
        losses = {name: tf.reduce_mean(terms[name]) for name in self.loss_names() if name in terms}
        losses["lens_loss"] = -tf.reduce_mean(
            objective(terms, self.beta, self.attribute_weights)
        ) + self.consistency_loss(terms["z_star"], encoded, losses)
        if self.latent_noise:
            noise = tf.random.stateless_normal(tf.shape(z), seed + tf.constant([0, 2**30]))
            approximations = self.secondary_outputs(z + self.latent_noise * noise)
        losses.update(self.secondary_losses(side, approximations))
        losses["secondary_loss"] = tf.add_n([losses[f"secondary_{name}"] for name in self.names])
        losses["loss"] = losses["lens_loss"] + losses["secondary_loss"]
        return losses

    def secondary_losses(
        self, side: tf.Tensor, approximations: list[tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        """-log q(s_j|z), averaged over the samples of the batch whose s_j is known."""
        losses = {}
        for attribute, (seen, known), output in zip(
            self.attributes, self.encode_side_information(side), approximations, strict=True
        ):
            weight = tf.cast(known[:, 0], tf.float32)
            log_likelihood = self.attribute_log_likelihood(attribute, seen, output)
            losses[f"secondary_{attribute.name}"] = -tf.math.divide_no_nan(
                tf.reduce_sum(weight * log_likelihood), tf.reduce_sum(weight)
            )
        return losses

    def consistency_loss(
        self, z_star: tf.Tensor, encoded: list[tf.Tensor], losses: dict[str, tf.Tensor]
    ) -> tf.Tensor:
        """What is asked beyond equation (8): nothing here."""
        return tf.zeros([])

    def objectives(
        self, losses: Mapping[str, tf.Tensor]
    ) -> list[tuple[tf.Tensor, list[tf.Variable]]]:
        lens = self.recognition.trainable_variables + self.generative.trainable_variables
        secondary = self.secondary_recognition.trainable_variables
        return [(losses["lens_loss"], lens), (losses["secondary_loss"], secondary)]

    # z <-> z*.

    def secondary_outputs(self, z: tf.Tensor) -> list[tf.Tensor]:
        outputs = self.secondary_recognition(z)
        return list(outputs) if isinstance(outputs, list | tuple) else [outputs]

    def infer_standardised(
        self, z: tf.Tensor, side: tf.Tensor, seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        encoded = self.completed(side, self.secondary_outputs(z))
        return self.posterior(z, encoded, seed)["z_star"]

    def generate_standardised(self, z_star: tf.Tensor) -> tf.Tensor:
        return self.generative(z_star)[0]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_flows": self.num_flows,
            "hidden_units": list(self.hidden_units),
            "beta": self.beta,
            "attribute_weights": dict(self.attribute_weights),
            "latent_variance": self.latent_variance,
            "latent_noise": self.latent_noise,
        }


@keras.utils.register_keras_serializable(package="filvm")
class FILVM(ILVM):
    """The fixed interpretable lens variable model (section 2.4; Figure A7), and four amendments.

    Head j sees z*_j alone, so dimension j comes to mean attribute j. Beyond the report, each a
    switch of its own:

    Args:
        ordered_softmax: the head of a label starts in order along its axis,
            logits_k = g (a_k z*_j + c_k), class k winning between the prior's quantiles k/C and
            (k + 1)/C (`filvm.models.heads.ordered_softmax_start`).
        informed_generative: the generative network is told what the heads read,
            g(z*, softmax(head_0(z*_0)), head_1(z*_1), ...): still a function of z* alone, but it
            need not learn a staircase, and label information leaves the other dimensions.
        swap_weight: weight of swap consistency. Each sample is given the z*_j of another sample,
            z is generated, and the secondary network, held fixed, must read the other's s_j back:
            - swap_weight * sum_j log q(s_j' | z = g(z* with z*_j' in place of z*_j)). 0 is off.
        positive_slopes: the head of a number starts at slope 1, so that a larger z*_j means more.

    The other arguments are those of `ILVM`. `FILVM.report_recipe` is the report's own FILVM.
    """

    default_weights: ClassVar = {Categorical: 10.0, Continuous: 40.0}

    def __init__(
        self,
        latent_dim: int,
        side_information: Sequence[Attribute],
        *,
        ordered_softmax: bool = True,
        informed_generative: bool = True,
        swap_weight: float = 5.0,
        positive_slopes: bool = True,
        **kwargs: Any,
    ) -> None:
        _check_at_least("swap_weight", swap_weight, 0)
        self.ordered_softmax = ordered_softmax
        self.informed_generative = informed_generative
        self.swap_weight = swap_weight
        self.positive_slopes = positive_slopes
        super().__init__(latent_dim, side_information, **kwargs)

    @classmethod
    def report_recipe(
        cls, latent_dim: int, side_information: Sequence[Attribute], **kwargs: Any
    ) -> FILVM:
        """The report's FILVM: equation (8) with weights 1, heads from random starts."""
        plain = {
            "ordered_softmax": False,
            "informed_generative": False,
            "swap_weight": 0.0,
            "positive_slopes": False,
            "attribute_weights": 1.0,
        }
        return cls(latent_dim, side_information, **{**plain, **kwargs})

    def _linear_heads(self) -> list[LinearHead]:
        heads = []
        for j, attribute in enumerate(self.attributes):
            if isinstance(attribute, Categorical):
                start = "ordered" if self.ordered_softmax else "random"
            else:
                start = "positive" if self.positive_slopes else "random"
            heads.append(LinearHead(attribute.width, j, start, name=f"p_{attribute.name}"))
        return heads

    def _generative_input(self, z_star: tf.Tensor, read: list[tf.Tensor]) -> tf.Tensor:
        if not self.informed_generative:
            return z_star
        told = [
            keras.layers.Softmax(name=f"read_{attribute.name}")(output)
            if isinstance(attribute, Categorical)
            else output
            for attribute, output in zip(self.attributes, read, strict=True)
        ]
        return keras.layers.Concatenate(name="z_star_and_read")([z_star, *told])

    def loss_names(self) -> list[str]:
        swapped = [f"swap_{name}" for name in self.names] if self.swap_weight else []
        return super().loss_names() + swapped

    def consistency_loss(
        self, z_star: tf.Tensor, encoded: list[tf.Tensor], losses: dict[str, tf.Tensor]
    ) -> tf.Tensor:
        if not self.swap_weight:
            return tf.zeros([])
        # Batches are shuffled, so the next row is another sample at random, and the row after it
        # a second one: attributes are swapped independently of each other.
        count = len(self.attributes)
        columns = [tf.roll(z_star[:, j : j + 1], j + 1, axis=0) for j in range(count)]
        swapped = tf.concat([*columns, z_star[:, count:]], axis=1)
        read_back = self.secondary_outputs(self.generate_standardised(swapped))
        for j, (attribute, seen, output) in enumerate(
            zip(self.attributes, encoded, read_back, strict=True)
        ):
            losses[f"swap_{attribute.name}"] = -tf.reduce_mean(
                self.attribute_log_likelihood(attribute, tf.roll(seen, j + 1, axis=0), output)
            )
        return self.swap_weight * tf.add_n([losses[f"swap_{name}"] for name in self.names])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "ordered_softmax": self.ordered_softmax,
            "informed_generative": self.informed_generative,
            "swap_weight": self.swap_weight,
            "positive_slopes": self.positive_slopes,
        }

"""The operations of every lens: each one on tensors, and on arrays for users.

The map between z and z* is in the subclasses: `filvm.lens.ilvm`, `filvm.lens.filvm` and
`filvm.lens.invertible`. Variables, units and training are in `filvm.lens.training`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from filvm.data.columns import plain_array
from filvm.data.side_information import (
    Categorical,
    Continuous,
    attribute_values,
    owned_slices,
    stack_side_information,
)
from filvm.lens.arguments import first_argument, joined_attributes, vary_labels
from filvm.lens.training import TrainableLens
from filvm.serving.signatures import lens_signatures
from filvm.vae.model import check_count
from filvm.vae.sizes import check_seed

CHUNK = 32768  # rows per call of a method on tensors, to limit memory


def in_chunks(function: Callable[..., Any], *arrays: np.ndarray) -> Any:
    """`function` of at most `CHUNK` rows of the arrays at a time, joined, as NumPy arrays."""
    starts = range(0, len(arrays[0]), CHUNK)
    parts = [function(*(array[start : start + CHUNK] for array in arrays)) for start in starts]
    return tf.nest.map_structure(lambda *part: np.concatenate(part), *parts)


class Lens(TrainableLens):
    """A map z <-> z* with side information: the base of ILVM, FILVM and `InvertibleLens`.

    A subclass has the attributes

        heads: one `LinearHead` per attribute, p(s_j|z*)
        secondary_recognition: network q(s|z), `secondary_network`
        trackers: one `keras.metrics.Mean` per loss
        lens_variables: the variables that `lens_loss` trains

    and the methods `infer_tensors`, `generate_tensors` and `batch_losses`; the last one is traced
    without AutoGraph, so that a tensor cannot be the condition of an `if`. Every operation has two
    forms: on NumPy arrays, checked (`infer`, `generate`, `manipulate`, `predict_side_information`),
    and on tensors inside a graph, unchecked (`infer_tensors`, ...). Both use the units of the VAE's
    latents and of the attributes.

    Args:
        latent_dim: dimensions d of z and z*.
        side_information: the attributes.
        hidden_units: sizes of the hidden layers of each network.
        attribute_weights: lambda_j, one number for all or a dictionary by name.
        latent_noise: standard deviation of noise on standardised latents in training; see the
            subclasses.
        seed: of the noise in training, of `infer(sampled=True)` and of `sample`.
    """

    # Tensors.

    def infer_tensors(
        self, z: tf.Tensor, side: tf.Tensor, seed: tf.Tensor | None = None
    ) -> tf.Tensor:
        """z [n, d] and side information [n, attributes], nan where missing -> z* [n, d].

        With a `seed`, int32 [2], z* is drawn; without, it is the centre of q(z*|z, s).
        """
        raise NotImplementedError(f"{type(self).__name__} has no method infer_tensors")

    def generate_tensors(self, z_star: tf.Tensor) -> tf.Tensor:
        """z* [n, d] -> z [n, d]."""
        raise NotImplementedError(f"{type(self).__name__} has no method generate_tensors")

    def call(self, z: tf.Tensor, training: bool = False) -> tf.Tensor:
        """z -> z*, deterministic, with inferred side information."""
        return self.infer_tensors(z, self.all_missing(z))

    def manipulate_tensors(self, z: tf.Tensor, coordinates: tf.Tensor) -> tf.Tensor:
        """z -> z*, set the coordinates [n, d] that are not nan, z* -> z."""
        z_star = self.infer_tensors(z, self.all_missing(z))
        return self.generate_tensors(tf.where(tf.math.is_nan(coordinates), z_star, coordinates))

    def predict_side_information_tensors(self, z: tf.Tensor) -> dict[str, tf.Tensor]:
        """z [n, d] -> the secondary network's label indices and numbers, float64 [n] by name."""
        return self.own_units(self.secondary_outputs(self.standardise(z)))

    # Arrays, in the units of the VAE's latents and of the attributes.

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
            side_information: known values [n] by name; missing values are inferred.
            sampled: draw z* from q(z*|z, s). By default z* is its centre, where the flows send the
                mean of the base distribution.
            seed: of the draw; the model's own by default.

        Returns:
            z* [n, latent_dim], of the lens's `precision`: float32, or float64 for an
            `InvertibleLens` and for latents far from 0.

        Raises:
            TypeError or ValueError that names the array and the row at fault.
        """
        z = self.check_latents(z)
        side = stack_side_information(
            self.attributes, {} if side_information is None else side_information, len(z)
        )
        if not sampled:
            return in_chunks(self.infer_tensors, z, side)
        seed = self.seed if seed is None else seed
        check_seed(seed)
        parts = [
            self.infer_tensors(
                z[start : start + CHUNK],
                side[start : start + CHUNK],
                tf.constant([seed, start], tf.int32),
            )
            for start in range(0, len(z), CHUNK)
        ]
        return np.concatenate(parts)

    def generate(self, z_star: np.ndarray) -> np.ndarray:
        """z* -> z for the VAE's decoder, both [n, latent_dim], of the lens's `precision`."""
        return in_chunks(self.generate_tensors, self.check_latents(z_star, "z_star"))

    def predict_side_information(
        self, z: np.ndarray, *, probabilities: bool = False
    ) -> dict[str, np.ndarray]:
        """The secondary recognition network's labels and numbers.

        Args:
            z: [n, latent_dim].
            probabilities: return q(s = k|z) of the labels.

        Returns:
            By name: labels [n], integers or as `Categorical` lists them, or probabilities float32
            [n, classes]; numbers and angles float64 [n].
        """

        def outputs(z: np.ndarray) -> list[tf.Tensor]:
            return self.secondary_outputs(self.standardise(z))

        return self._decode_arrays(in_chunks(outputs, self.check_latents(z)), probabilities)

    def read(self, z_star: np.ndarray, *, probabilities: bool = False) -> dict[str, np.ndarray]:
        """The linear heads' labels and numbers for z_star, as `predict_side_information`."""
        z_star = self.check_latents(z_star, "z_star")
        return self._decode_arrays([head(z_star) for head in self.heads], probabilities)

    def _decode_arrays(self, outputs: list[Any], probabilities: bool) -> dict[str, np.ndarray]:
        arrays = {name: value.numpy() for name, value in self.own_units(outputs).items()}
        for attribute, output in zip(self.attributes, outputs, strict=True):
            if isinstance(attribute, Categorical):
                labels = attribute.labels[arrays[attribute.name].astype(np.int64)]
                arrays[attribute.name] = tf.nn.softmax(output).numpy() if probabilities else labels
        return arrays

    def dimensions_of(self, name: str) -> tuple[int, ...]:
        """The dimensions of z* that the attribute owns: one, or two for a `Circular`."""
        if name not in self.names:
            raise ValueError(f"attribute is {name!r}; expected one of {self.names}")
        j = self.names.index(name)
        if self.heads[j].dimension is None:
            raise ValueError(
                f"{name!r} owns no dimension of z* in an {type(self).__name__}; "
                "expected an FILVM: use one, or set a dimension with set_dimension"
            )
        own = owned_slices(self.attributes)[j]
        return tuple(range(own.start, own.stop))

    def dimension(self, name: str) -> int:
        """The dimension of z* that the attribute owns."""
        first, *more = self.dimensions_of(name)
        if more:
            raise ValueError(
                f"{name!r} owns the dimensions {[first, *more]} of z*; expected an attribute that "
                "owns one: use dimensions_of"
            )
        return first

    def assigned(self) -> dict[str, int | tuple[int, ...]]:
        """Name of the attribute -> its dimension, or two: the `assigned` of the measures."""
        own = {name: self.dimensions_of(name) for name in self.names}
        return {name: own[0] if len(own) == 1 else own for name, own in own.items()}

    def directions(self) -> np.ndarray:
        """1 or -1 for every dimension of z*: -1 where the number that owns it falls along it.

        The sign of an axis is a convention, which a random start of the heads decides. Measures and
        figures use z* times this, so that every number rises along its own axis.
        """
        directions = np.ones(self.latent_dim, self.precision)
        for attribute, head in zip(self.attributes, self.heads, strict=True):
            if isinstance(attribute, Continuous) and head.dimension is not None:
                directions[head.dimension] = -1.0 if head.kernel.numpy()[0, 0] < 0 else 1.0
        return directions

    def coordinate(self, name: str, value: Any) -> np.ndarray:
        """The z*_j at which attribute j has a value.

        For a number or an angle, the z*_j at which the head's mean is `value`. For a label k, the
        mean E[z*_j | s = k] under the prior and the head, or over training samples
        (`place_labels`).

        Args:
            name: of the attribute.
            value: in its own unit, a scalar or [n].

        Returns:
            An array of the shape of `value`; for a `Circular` of that shape and 2.
        """
        dimensions = self.dimensions_of(name)  # raises if the attribute owns none
        j = self.names.index(name)
        values = attribute_values(self.attributes[j], np.atleast_1d(value))
        if not np.isfinite(values).all():
            raise ValueError(f"{name!r} is {value}; expected a value, not a missing one")
        side = np.full([values.size, len(self.names)], np.nan)
        side[:, j] = values.ravel()
        inputs, _ = self.network_inputs(tf.constant(side))[j]
        shape = np.shape(value) if len(dimensions) == 1 else (*np.shape(value), len(dimensions))
        return self.heads[j].coordinates(inputs).numpy().reshape(shape)

    def place_labels(self, z: np.ndarray, side_information: Mapping[str, Any]) -> None:
        """Place the classes of labels at their means of z*_j (`LinearHead.place_labels`).

        A lens from `FILVM.report_recipe` needs it after training; `coordinate` then has a value for
        every class. Heads that started in order have regions, and stay as they are.

        Args:
            z: training latents [n, latent_dim].
            side_information: their values [n] by name, as in `fit`.
        """
        z, side = self.checked_arrays(z, side_information)
        labels = [
            j
            for j, (attribute, head) in enumerate(zip(self.attributes, self.heads, strict=True))
            if isinstance(attribute, Categorical) and head.places is not None
        ]
        z_star = self.infer(z) if labels else None
        for j in labels:
            self.heads[j].place_labels(z_star, side.numpy()[:, j])

    def _coordinates(self, n: int, attributes: Mapping[str, Any]) -> np.ndarray:
        """The z* [n, latent_dim] of attribute values (scalars or [n]), nan in other dimensions."""
        coordinates = np.full([n, self.latent_dim], np.nan, self.precision)
        for name, value in attributes.items():
            if np.ndim(value) and np.shape(value) != (n,):
                raise ValueError(
                    f"{name!r} has shape {list(np.shape(value))}; expected one value, or [{n}]"
                )
            dimensions, places = list(self.dimensions_of(name)), self.coordinate(name, value)
            coordinates[:, dimensions] = places if len(dimensions) > 1 else places[..., np.newaxis]
        return coordinates

    def set_attributes(
        self, z_star: Any = None, /, *, attributes: Any = None, **named: Any
    ) -> np.ndarray:
        """A copy of z_star with attributes at the given values.

        Args:
            z_star: [n, latent_dim].
            attributes, named: as in `manipulate`.
        """
        z_star = first_argument("z_star", z_star, named)
        z_star = self.check_latents(z_star, "z_star")
        coordinates = self._coordinates(len(z_star), joined_attributes(attributes, named))
        return np.where(np.isnan(coordinates), z_star, coordinates)

    def manipulate(self, z: Any = None, /, *, attributes: Any = None, **named: Any) -> np.ndarray:
        """z with changed attributes, e.g. `manipulate(z, digit=3)`: z -> z*, set, z* -> z.

        Args:
            z: [n, latent_dim].
            attributes: labels and numbers in their own units by name, scalars or [n]: a dictionary
                such as {"stroke width": 3.0}, for names that are no Python arguments.
            named: the same as arguments.

        Returns:
            z [n, latent_dim], of the lens's `precision`.
        """
        z = first_argument("z", z, named)
        attributes = joined_attributes(attributes, named)
        if not attributes:
            raise ValueError(f"attributes are empty; expected one or more of {self.names}")
        z = self.check_latents(z)
        return in_chunks(self.manipulate_tensors, z, self._coordinates(len(z), attributes))

    def set_dimension(self, z: np.ndarray, dimension: Any, value: Any) -> np.ndarray:
        """z with one dimension of z* at a coordinate: z -> z*, set, z* -> z.

        Args:
            z: [n, latent_dim].
            dimension: from 0; or several, such as `dimensions_of("angle")`.
            value: a scalar or [n]; for k dimensions, [k] or [n, k].
        """
        dimension, value = np.asarray(dimension), plain_array("value", value)
        whole = dimension.dtype.kind in "iu"
        if not whole or not np.all((dimension >= 0) & (dimension < self.latent_dim)):
            raise ValueError(
                f"dimension is {dimension}; expected integers from 0 to {self.latent_dim - 1}"
            )
        if value.dtype.kind not in "biuf" or not np.isfinite(value).all():
            raise ValueError(f"value is {value}; expected finite coordinates")
        z = self.check_latents(z)
        coordinates = np.full(z.shape, np.nan, self.precision)
        try:
            coordinates[:, dimension] = value
        except ValueError:
            raise ValueError(
                f"value has shape {list(value.shape)}; expected one number, or shape "
                f"{list(coordinates[:, dimension].shape)}"
            ) from None
        return in_chunks(self.manipulate_tensors, z, coordinates)

    def sample(
        self,
        n: int | None = None,
        /,
        *,
        seed: int | None = None,
        like: np.ndarray | None = None,
        attributes: Any = None,
        **named: Any,
    ) -> np.ndarray:
        """n latents z from the generative model: z* ~ N(0, I), with attributes at given values.

        Args:
            n: number of latents.
            seed: of the draw; the model's own by default.
            like: z* [m, latent_dim] of real samples. A label that is given then has the z*_j of
                random ones of them that its head reads as this label, so that latents vary as real
                samples do. Without it, and for a label that none of them has, it has the place of
                the label, `coordinate`, in all latents: fewer are other labels, more are alike.
            attributes, named: as in `manipulate`.
        """
        n = first_argument("n", n, named)
        check_count("n", n, 1)
        seed = self.seed if seed is None else seed
        check_seed(seed)
        rng = np.random.default_rng(seed)
        z_star = rng.standard_normal((n, self.latent_dim), np.float32).astype(self.precision)
        given = joined_attributes(attributes, named)
        coordinates = self._coordinates(n, given)
        if like is not None:
            vary_labels(self, coordinates, given, np.asarray(self.check_latents(like, "like")), rng)
        z_star = np.where(np.isnan(coordinates), z_star, coordinates)
        return in_chunks(self.generate_tensors, z_star)

    def signatures(self) -> dict[str, Any]:
        """The named functions of the SavedModel: a pipeline's, with z in place of observations."""
        z = tf.TensorSpec([None, self.latent_dim], tf.float32, "z")

        def decoder(z: tf.Tensor) -> dict[str, tf.Tensor]:
            return {"z": z}

        return lens_signatures(self, z, self.checked_input_tensors, decoder)

"""Signatures of the SavedModels: the functions of a VAE or a lens that a serving client can call.

A graph does not check its input by itself. An image of the wrong rank ends the server's process (an
assertion of the convolution kernel), a graph for 28 x 28 pixels answers for images of 27 x 27, and
49 images of 30 x 30 come back as 64 answers. So every signature checks its input inside the graph,
on the server too; the client gets INVALID_ARGUMENT (HTTP 400) with one sentence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import tensorflow as tf

from filvm.data.side_information import Attribute, Categorical

Tensors = dict[str, tf.Tensor]
Signature = tf.types.experimental.GenericFunction


def signature(*specs: tf.TensorSpec) -> Callable[[Callable[[Tensors], Tensors]], Signature]:
    """A decorator: a function of named tensors becomes a `tf.function` that checks their shapes.

    Args:
        specs: one per input, of shape [None, ...]: any batch size, the same for all inputs.

    >>> @signature(tf.TensorSpec([None, 2], tf.float32, "z"))
    ... def double(inputs):
    ...     return {"twice": 2.0 * inputs["z"]}
    >>> double({"z": tf.ones([1, 2])})["twice"].numpy()
    array([[2., 2.]], dtype=float32)
    """

    def decorate(function: Callable[[Tensors], Tensors]) -> Signature:
        @tf.function(input_signature=[{spec.name: spec for spec in specs}])
        def checked(inputs: Tensors) -> Tensors:
            tensors = [tf.ensure_shape(inputs[spec.name], spec.shape) for spec in specs]
            batch = tf.shape(tensors[0])[0]
            for spec, tensor in zip(specs[1:], tensors[1:], strict=True):
                require(
                    tf.shape(tensor)[0] == batch,
                    f"{spec.name} must hold one value per row of {specs[0].name}",
                )
            return function(
                {spec.name: tensor for spec, tensor in zip(specs, tensors, strict=True)}
            )

        return checked

    return decorate


def require(condition: tf.Tensor, message: str) -> None:
    """Fail with `message`, in the graph, unless all of `condition` is true."""
    tf.debugging.Assert(tf.reduce_all(condition), [message])


def vae_signatures(vae: Any) -> dict[str, Signature]:
    """The signatures of a `filvm.vae.VAE`.

        reconstruct (the default)   x -> x
        encode                      x -> z_mean, z_log_var
        decode                      z -> x

    Args:
        vae: x and its outputs have the names of its `served_spec` and `named`.
    """
    observed = vae.served_spec
    z = tf.TensorSpec([None, vae.latent_dim], tf.float32, "z")

    @signature(observed)
    def reconstruct(inputs: Tensors) -> Tensors:
        return vae.named(vae(vae.received(inputs[observed.name])))

    @signature(observed)
    def encode(inputs: Tensors) -> Tensors:
        z_mean, z_log_var = vae.encoded(vae.received(inputs[observed.name]))
        return {"z_mean": z_mean, "z_log_var": z_log_var}

    @signature(z)
    def decode(inputs: Tensors) -> Tensors:
        require(tf.math.is_finite(inputs["z"]), "z must hold finite numbers")
        return vae.named(vae.observation(vae.decoded(inputs["z"])))

    return {
        "serving_default": reconstruct,
        "reconstruct": reconstruct,
        "encode": encode,
        "decode": decode,
    }


def lens_signatures(
    lens: Any,
    observed: tf.TensorSpec,
    encoder: Callable[[tf.Tensor], tf.Tensor],
    decoder: Callable[[tf.Tensor], Tensors],
) -> dict[str, Signature]:
    """The signatures of a `filvm.lens.Lens`, alone or behind a VAE.

    Attributes have the names of `filvm.data.side_information.graph_key`, and labels are indices
    from 0 in the order of their `Categorical`.

        encode (the default)           x -> z_star, every attribute
        encode_with_side_information   x, every attribute (-1 or nan: missing) -> the same
        decode                         z_star -> x
        manipulate                     x, dimension, value -> x with that coordinate of z*

    Args:
        lens: maps z to z* and back.
        observed: the input x.
        encoder: x -> z [n, d].
        decoder: z [n, d] -> x, as named outputs.
    """
    d = lens.latent_dim
    z_star = tf.TensorSpec([None, d], tf.float32, "z_star")
    attributes = [tf.TensorSpec([None], tf.float32, key) for key in lens.keys]
    dimension = tf.TensorSpec([None], tf.int32, "dimension")
    value = tf.TensorSpec([None], tf.float32, "value")

    @signature(observed)
    def encode(inputs: Tensors) -> Tensors:
        z = encoder(inputs[observed.name])
        return _encoded(lens, z, lens.all_missing(z))

    @signature(observed, *attributes)
    def encode_with_side_information(inputs: Tensors) -> Tensors:
        z = encoder(inputs[observed.name])
        by_name = {attribute.name: inputs[attribute.key] for attribute in lens.attributes}
        require_values([(a.key, a, inputs[a.key]) for a in lens.attributes])
        return _encoded(lens, z, lens.side_information_tensors(by_name))

    @signature(z_star)
    def decode(inputs: Tensors) -> Tensors:
        require(tf.math.is_finite(inputs["z_star"]), "z_star must hold finite numbers")
        return decoder(lens.generate_tensors(inputs["z_star"]))

    @signature(observed, dimension, value)
    def manipulate(inputs: Tensors) -> Tensors:
        dimension, value = inputs["dimension"], inputs["value"]
        require(
            (dimension >= 0) & (dimension < d), f"dimension must hold integers from 0 to {d - 1}"
        )
        require(tf.math.is_finite(value), "value must hold finite numbers")
        chosen = tf.one_hot(dimension, d) > 0
        coordinates = tf.where(chosen, value[:, tf.newaxis], float("nan"))
        return decoder(lens.manipulate_tensors(encoder(inputs[observed.name]), coordinates))

    return {
        "serving_default": encode,
        "encode": encode,
        "encode_with_side_information": encode_with_side_information,
        "decode": decode,
        "manipulate": manipulate,
    }


def _encoded(lens: Any, z: tf.Tensor, side: tf.Tensor) -> Tensors:
    """z* [n, d], and every attribute [n]: the known value of `side`, else the inferred one."""
    inferred = lens.predict_side_information_tensors(z)
    outputs = {"z_star": lens.infer_tensors(z, side)}
    for j, attribute in enumerate(lens.attributes):
        known = side[:, j]
        value = tf.where(tf.math.is_nan(known), inferred[attribute.name], known)
        outputs[attribute.key] = tf.cast(value, tf.float32)
    return outputs


def require_values(columns: Sequence[tuple[str, Attribute, tf.Tensor]]) -> None:
    """Fail, in the graph, if a label is neither an index, -1 nor nan, or a number is infinite.

    Args:
        columns: of every attribute its name in messages, itself, and its values [n].
    """
    for name, attribute, values in columns:
        values = tf.cast(values, tf.float64)
        if isinstance(attribute, Categorical):
            last = attribute.num_classes - 1
            require(
                tf.math.is_nan(values)
                | (values == -1)
                | ((values >= 0) & (values <= last) & (values == tf.floor(values))),
                f"{name} must hold labels from 0 to {last}, or -1 where missing",
            )
        else:
            require(
                ~tf.math.is_inf(values), f"{name} must hold finite numbers, or nan where missing"
            )


class Served:
    """Mix-in for a `keras.Model` with named signatures, which TensorFlow Serving can load."""

    def signatures(self) -> dict[str, Signature]:
        """The named functions of the SavedModel, `serving_default` among them."""
        raise NotImplementedError(f"{type(self).__name__} has no method signatures")

    def save(self, filepath: str, *args: Any, **kwargs: Any) -> None:
        """As `keras.Model.save`; a directory becomes a SavedModel with `signatures()`.

        `save_traces` is False by default: servers call the signatures, and Keras loads the class
        without the graphs of its layers' calls, which double the time to save and to load. Keras
        needs them only where filvm is not imported.
        """
        if str(filepath).endswith((".h5", ".hdf5")):
            raise ValueError(
                f"filepath is {str(filepath)!r}; expected a name that ends in .keras, or a folder "
                "for a SavedModel: HDF5 can hold the weights alone, use save_weights"
            )
        if not str(filepath).endswith(".keras"):
            kwargs.setdefault("signatures", self.signatures())
            kwargs.setdefault("save_traces", False)
        super().save(filepath, *args, **kwargs)

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Mark a loaded model as built, because its constructor builds it.

        Keras would trace it again, which takes half of the time to load a `SequenceVAE`, with its
        unrolled GRUs.
        """
        self.built = True

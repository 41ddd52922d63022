"""Signatures of a SavedModel that refuse malformed requests.

A graph does not check what it is fed. An image of the wrong rank ends the server's whole process
(the convolution's kernel asserts), images of 27 x 27 pixels are answered as if they were of 28, and
49 of 30 x 30 come back as 64 answers. So what a client sends is checked inside the graph, where a
server does it too; the client gets INVALID_ARGUMENT (HTTP 400) with one sentence.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

Tensors = dict[str, tf.Tensor]


def signature(
    *specs: tf.TensorSpec,
) -> Callable[[Callable[[Tensors], Tensors]], tf.types.experimental.GenericFunction]:
    """Make a function of named tensors a `tf.function` that checks their shapes.

    Args: one spec per input, of the shape [None, ...]: any batch size, the same for all inputs.

    >>> @signature(tf.TensorSpec([None, 2], tf.float32, "z"))
    ... def double(inputs):
    ...     return {"twice": 2.0 * inputs["z"]}
    >>> double({"z": tf.ones([1, 2])})["twice"].numpy()
    array([[2., 2.]], dtype=float32)
    """

    def decorate(
        function: Callable[[Tensors], Tensors],
    ) -> tf.types.experimental.GenericFunction:
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


class Served:
    """What makes a `keras.Model` one that TensorFlow Serving loads: its own named signatures."""

    def signatures(self) -> dict[str, tf.types.experimental.GenericFunction]:
        """The named functions of the SavedModel, `serving_default` among them."""
        raise NotImplementedError(f"{type(self).__name__} names no serving signatures")

    def save(self, filepath: str, *args: Any, **kwargs: Any) -> None:
        """As `keras.Model.save`; a directory becomes a SavedModel with `signatures()`."""
        if not str(filepath).endswith((".keras", ".h5")):
            kwargs.setdefault("signatures", self.signatures())
        super().save(filepath, *args, **kwargs)

    def build_from_config(self, config: dict[str, Any]) -> None:
        """A loaded model is built by its constructor; Keras would trace it only to find the same.

        That is half of the seconds it takes to load a `SequenceVAE`, with its unrolled GRUs.
        """
        self.built = True

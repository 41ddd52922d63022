"""A trained VAE and a trained lens as one model: x -> z -> z* and back (section 6 of the report).

    encode:  x -> z_mean(x) -> z*        decode:  z* -> z -> x

The way back is the lens's generative model and then the VAE's decoder.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from filvm.lens.arguments import first_argument
from filvm.lens.base import Lens
from filvm.serving.signatures import Served, lens_signatures
from filvm.vae.base import VAE
from filvm.vae.batches import Inputs, checked_data, one_sentence
from filvm.vae.model import check_count


@keras.utils.register_keras_serializable(package="filvm")
class LensPipeline(Served, keras.Model):
    """Observations to z*, whose dimensions represent attributes, and back to observations.

    Args:
        vae: a trained `VAE`.
        lens: a trained lens, trained on the latents of that VAE.

    Attributes have their own units everywhere: labels, pixels, degrees. Observations are the VAE's
    inputs, such as images float32 [n, 28, 28, 1] in [0, 1].

    >>> from filvm.data.side_information import Categorical
    >>> from filvm.vae.conv import ConvVAE
    >>> from filvm.lens.filvm import FILVM
    >>> model = LensPipeline(ConvVAE(4), FILVM(4, [Categorical("digit", 10)]))
    >>> images = np.zeros([2, 28, 28, 1], np.float32)
    >>> model.encode(images).shape
    (2, 4)
    >>> model.manipulate(images, digit=3).shape
    (2, 28, 28, 1)
    """

    def __init__(self, vae: VAE, lens: Lens, **kwargs: Any) -> None:
        super().__init__(dtype="float32", **kwargs)
        if vae.latent_dim != lens.latent_dim:
            raise ValueError(
                f"latent_dim of the lens is {lens.latent_dim}; expected the VAE's, "
                f"{vae.latent_dim}: use the VAE that the lens was trained with"
            )
        self.vae = vae
        self.lens = lens
        self(tf.zeros([1, *vae.observation_spec.shape[1:]]))  # sets the input's shape in Keras

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """x -> z*, deterministic, with inferred side information."""
        z_mean, _ = self.vae.encoded(x)
        return self.lens(z_mean)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """x -> z*, on observations in any form that the VAE's `predict` takes."""
        check_count("batch_size", kwargs.get("batch_size"), 1)
        problems: list[Exception] = []
        x, _, _ = checked_data(Inputs(self.vae), x, None, None, problems)
        with one_sentence(problems):
            return super().predict(x, *args, **kwargs)

    def fit(self, *args: Any, **kwargs: Any) -> None:
        raise TypeError(
            "a LensPipeline is not trained as a whole; expected a VAE and a lens that are: call "
            "vae.fit(x), then lens.fit(vae.encode(x)[0], side_information)"
        )

    def encode(
        self,
        x: np.ndarray,
        side_information: Mapping[str, Any] | None = None,
        *,
        sampled: bool = False,
        seed: int | None = None,
    ) -> np.ndarray:
        """x -> z* [n, latent_dim]; missing side information is inferred.

        The other arguments are those of the lens's `infer`; `sampled` draws z*, not z.
        """
        return self.lens.infer(self.latents(x), side_information, sampled=sampled, seed=seed)

    def decode(self, z_star: np.ndarray) -> Any:
        """z* [n, latent_dim] -> observations."""
        return self.vae.decode(self.lens.generate(z_star))

    def reconstruct(self, x: np.ndarray) -> Any:
        """x -> z -> z* -> z -> x."""
        return self.decode(self.encode(x))

    def predict_side_information(
        self, x: np.ndarray, *, probabilities: bool = False
    ) -> dict[str, np.ndarray]:
        """The secondary recognition network's labels and numbers for x, as the lens's method."""
        return self.lens.predict_side_information(self.latents(x), probabilities=probabilities)

    def manipulate(self, x: Any = None, /, *, attributes: Any = None, **named: Any) -> Any:
        """Observations with changed attributes, e.g. `manipulate(x, digit=3)`.

        Args:
            x: observations [n, ...].
            attributes, named: labels and numbers in their own units, scalars or [n], in a
                dictionary or as arguments. The other attributes and dimensions of z* keep their
                values.

        Returns:
            As `decode`.
        """
        z = self.latents(first_argument("x", x, named))
        return self.vae.decode(self.lens.manipulate(z, attributes=attributes, **named))

    def sample(
        self,
        n: int | None = None,
        /,
        *,
        seed: int | None = None,
        like: np.ndarray | None = None,
        attributes: Any = None,
        **named: Any,
    ) -> Any:
        """n observations from the prior of z*, with attributes at the given values.

        The arguments are those of `Lens.sample`; `like` is z* from `encode`.
        """
        n = first_argument("n", n, named)
        z = self.lens.sample(n, seed=seed, like=like, attributes=attributes, **named)
        return self.vae.decode(z)

    def latents(self, x: np.ndarray) -> np.ndarray:
        """z_mean of the observations, [n, latent_dim]."""
        z_mean, _ = self.vae.encode(x)
        return z_mean

    def get_config(self) -> dict[str, Any]:
        config = {"vae": self.vae, "lens": self.lens}
        config = {name: keras.utils.serialize_keras_object(part) for name, part in config.items()}
        for part in config.values():  # without the optimisers, like the weights
            part.pop("compile_config", None)
        return {"name": self.name, **config}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> LensPipeline:
        deserialize = keras.utils.deserialize_keras_object
        vae, lens = deserialize(config["vae"]), deserialize(config["lens"])
        return cls(vae, lens, name=config["name"])

    def signatures(self) -> dict[str, Any]:
        """The named functions of the SavedModel, for serving clients."""

        def encoder(x: tf.Tensor) -> tf.Tensor:
            return self.vae.encoded(self.vae.received(x))[0]

        def decoder(z: tf.Tensor) -> dict[str, tf.Tensor]:
            return self.vae.named(self.vae.observation(self.vae.decoded(z)))

        return lens_signatures(self.lens, self.vae.served_spec, encoder, decoder)

    def save(self, filepath: str, *args: Any, **kwargs: Any) -> None:
        """As `Served.save`, without the optimisers of its parts."""
        with _without_optimizers(self.vae, self.lens):
            super().save(filepath, *args, **kwargs)


@contextlib.contextmanager
def _without_optimizers(*models: keras.Model) -> Iterator[None]:
    """Remove the optimisers of models while they are saved, and put them back.

    Adam's moments are twice the size of the weights. Keras' `include_optimizer` affects the
    optimiser of the saved model alone, not those of its parts.
    """
    compiled = [model for model in models if getattr(model, "optimizer", None) is not None]
    optimizers = [model.optimizer for model in compiled]
    for model in compiled:
        model.optimizer = None
        model._delete_tracking("optimizer")  # as Keras does it for `include_optimizer=False`
    try:
        yield
    finally:
        for model, optimizer in zip(compiled, optimizers, strict=True):
            model.optimizer = optimizer

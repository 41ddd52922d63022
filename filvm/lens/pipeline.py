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

from filvm.lens.base import Lens
from filvm.serving.signatures import Served
from filvm.vae.base import VAE


@keras.utils.register_keras_serializable(package="filvm")
class LensPipeline(Served, keras.Model):
    """Observations in, observations out, and in between a z* whose dimensions mean something.

    Args:
        vae: a trained `VAE`; its latents must be those the lens was trained on.
        lens: a trained lens.

    Attributes have their own units, labels or pixels or degrees, everywhere. Observations are what
    the VAE takes: images float32 [n, 28, 28, 1] in [0, 1], for one.

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
        super().__init__(**kwargs)
        if vae.latent_dim != lens.latent_dim:
            raise ValueError(
                f"the VAE has {vae.latent_dim} latent dimensions and the lens {lens.latent_dim}; "
                "a lens works on the latents it was trained on"
            )
        self.vae = vae
        self.lens = lens
        observation = vae.encoder.inputs[0]
        self.observation_spec = tf.TensorSpec(
            observation.shape, tf.float32, vae.encoder.input_names[0]
        )
        example = tf.zeros([1, *observation.shape[1:]])
        if not vae.built:
            vae(example)
        self(example)  # lets Keras know the input's shape

    def call(self, x: tf.Tensor, training: bool = False) -> tf.Tensor:
        """x -> z*, deterministic, with side information inferred."""
        z_mean, _ = self.vae.encoder(x, training=False)
        return self.lens(z_mean)

    def encode(
        self,
        x: np.ndarray,
        side_information: Mapping[str, Any] | None = None,
        *,
        sampled: bool = False,
        seed: int | None = None,
    ) -> np.ndarray:
        """x -> z* [n, latent_dim]; side information is inferred where it is not given.

        The other arguments are those of the lens's `infer`; `sampled` draws z* and not z.
        """
        return self.lens.infer(self.latents(x), side_information, sampled=sampled, seed=seed)

    def decode(self, z_star: np.ndarray) -> Any:
        """z* [n, latent_dim] -> observations."""
        return self.vae.decode(self.lens.generate(z_star))

    def reconstruct(self, x: np.ndarray) -> Any:
        """x -> z -> z* -> z -> x: what is left of x after the lens."""
        return self.decode(self.encode(x))

    def predict_side_information(
        self, x: np.ndarray, *, probabilities: bool = False
    ) -> dict[str, np.ndarray]:
        """What the secondary recognition network reads off x, by name."""
        return self.lens.predict_side_information(self.latents(x), probabilities=probabilities)

    def manipulate(self, x: np.ndarray, **attributes: Any) -> Any:
        """Observations with attributes changed and the rest kept, e.g. `manipulate(x, digit=3)`.

        Values are labels and numbers in the attributes' own units, one for all samples or [n].
        """
        return self.vae.decode(self.lens.manipulate(self.latents(x), **attributes))

    def sample(self, n: int, *, seed: int | None = None, **attributes: Any) -> Any:
        """n observations from the prior of z*, with attributes set as asked."""
        return self.vae.decode(self.lens.sample(n, seed=seed, **attributes))

    def latents(self, x: np.ndarray) -> np.ndarray:
        """z_mean of the observations, [n, latent_dim]."""
        z_mean, _ = self.vae.encode(x)
        return z_mean

    def get_config(self) -> dict[str, Any]:
        config = {"vae": self.vae, "lens": self.lens}
        config = {name: keras.utils.serialize_keras_object(part) for name, part in config.items()}
        for part in config.values():  # their optimisers are not in the file either
            part.pop("compile_config", None)
        return {"name": self.name, **config}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> LensPipeline:
        deserialize = keras.utils.deserialize_keras_object
        vae, lens = deserialize(config["vae"]), deserialize(config["lens"])
        return cls(vae, lens, name=config["name"])

    def _latents_of(self, x: tf.Tensor) -> tf.Tensor:
        self.vae.check_tensors(x)
        return self.vae.encoder(x)[0]

    def _decode_tensors(self, z: tf.Tensor) -> dict[str, tf.Tensor]:
        observed = tf.nest.flatten(self.vae.observation(self.vae.decoder(z)))
        names = [self.observation_spec.name, "lengths"]  # a sequence brings its length
        return {
            name: tf.cast(tensor, tf.float32) for name, tensor in zip(names, observed, strict=False)
        }

    def signatures(self) -> dict[str, Any]:
        """The named functions of the SavedModel: what a serving client can ask for."""
        return self.lens.signatures_through(
            self.observation_spec, self._latents_of, self._decode_tensors
        )

    def save(self, filepath: str, *args: Any, **kwargs: Any) -> None:
        """As `Served.save`, without the optimisers of its parts."""
        with _without_optimizers(self.vae, self.lens):
            super().save(filepath, *args, **kwargs)


@contextlib.contextmanager
def _without_optimizers(*models: keras.Model) -> Iterator[None]:
    """Leave out of a file the optimisers that a pipeline's parts were trained with.

    Adam's moments are twice the weights, and `include_optimizer` speaks of the pipeline's own.
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

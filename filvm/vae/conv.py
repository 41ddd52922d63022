"""The convolutional VAE of Figure A1: images to a handful of latent dimensions and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras as keras

from filvm.serving.signatures import require
from filvm.vae.base import VAE
from filvm.vae.elbo import bernoulli_log_likelihood, gaussian_log_likelihood
from filvm.vae.model import check_precision
from filvm.vae.sizes import check_at_least, check_sizes

layers = keras.layers

TOLERANCE = 1e-6  # of pixels beyond [0, 1], from rounding


def conv_encoder(
    image_shape: Sequence[int], latent_dim: int, filters: Sequence[int], dense_units: int
) -> keras.Model:
    """images [batch, height, width, channels] -> z_mean, z_log_var, each [batch, latent_dim]."""
    images = keras.Input(image_shape, name="images")
    hidden = images
    for index, channels in enumerate(filters, start=1):
        hidden = layers.Conv2D(
            channels, 4, strides=2, padding="same", activation="relu", name=f"conv_{index}"
        )(hidden)
    hidden = layers.Flatten(name="flatten")(hidden)
    hidden = layers.Dense(dense_units, activation="relu", name="dense")(hidden)
    z_mean = layers.Dense(latent_dim, dtype="float32", name="z_mean")(hidden)
    z_log_var = layers.Dense(latent_dim, dtype="float32", name="z_log_var")(hidden)
    return keras.Model(images, [z_mean, z_log_var], name="encoder")


def conv_decoder(
    image_shape: Sequence[int], latent_dim: int, filters: Sequence[int], dense_units: int
) -> keras.Model:
    """z [batch, latent_dim] -> logits or means of the pixels, [batch, height, width, channels]."""
    height, width, channels = image_shape
    scale = 2 ** len(filters)
    small = (height // scale, width // scale, filters[-1])
    z = keras.Input((latent_dim,), name="z")
    hidden = layers.Dense(dense_units, activation="relu", name="dense")(z)
    hidden = layers.Dense(int(np.prod(small)), activation="relu", name="dense_to_image")(hidden)
    hidden = layers.Reshape(small, name="reshape")(hidden)
    for index, size in enumerate(reversed(filters[:-1]), start=1):
        hidden = layers.Conv2DTranspose(
            size, 4, strides=2, padding="same", activation="relu", name=f"conv_transpose_{index}"
        )(hidden)
    pixels = layers.Conv2DTranspose(
        channels, 4, strides=2, padding="same", dtype="float32", name="pixels"
    )(hidden)
    return keras.Model(z, pixels, name="decoder")


@keras.utils.register_keras_serializable(package="filvm")
class ConvVAE(VAE):
    """Convolutional VAE (Figure A1): 4x4 convolutions of stride 2, mirrored in the decoder.

    Args:
        latent_dim: size of z; in the report 8 for MNIST and 12 for MNIST-R.
        image_shape: (height, width, channels); height and width divisible by 4, or in general by
            2^(number of `filters`).
        filters: channels of the encoder's convolutions, first to last.
        dense_units: size of the dense layer between the convolutions and z.
        likelihood: "bernoulli" (pixels in [0, 1]) or "gaussian" (any range, fixed `variance`).
        variance: of the Gaussian likelihood.
        beta: weight of the KL term.
        seed: of the noise. Initial weights follow `keras.utils.set_random_seed`, as in Keras.

    Images are float32 [n, height, width, channels].

    >>> vae = ConvVAE(latent_dim=2, filters=(4, 8), dense_units=16)
    >>> vae.compile("adam")
    >>> images = np.zeros((6, 28, 28, 1), np.float32)
    >>> history = vae.fit(images, epochs=1, verbose=0)
    >>> vae.reconstruct(images).shape
    (6, 28, 28, 1)
    """

    def __init__(
        self,
        latent_dim: int = 8,
        *,
        image_shape: Sequence[int] = (28, 28, 1),
        filters: Sequence[int] = (32, 64),
        dense_units: int = 256,
        likelihood: str = "bernoulli",
        variance: float = 0.02,
        beta: float = 1.0,
        seed: int = 0,
        **kwargs: Any,
    ) -> None:
        image_shape, filters = tuple(image_shape), tuple(filters)
        check_sizes(latent_dim=latent_dim, dense_units=dense_units)
        check_sizes(filters=filters, image_shape=image_shape)
        scale = 2 ** len(filters)
        if len(image_shape) != 3 or image_shape[0] % scale or image_shape[1] % scale:
            raise ValueError(
                f"image_shape is {image_shape}; expected (height, width, channels) with height "
                f"and width divisible by {scale}: pad the images"
            )
        if likelihood not in ("bernoulli", "gaussian"):
            raise ValueError(f"likelihood is {likelihood!r}; expected 'bernoulli' or 'gaussian'")
        check_at_least("variance", variance, 1e-8)
        check_precision()
        shapes = (image_shape, latent_dim, filters, dense_units)
        super().__init__(
            conv_encoder(*shapes), conv_decoder(*shapes), beta=beta, seed=seed, **kwargs
        )
        self.likelihood = likelihood
        self.variance = variance
        self._config = {
            "latent_dim": latent_dim,
            "image_shape": image_shape,
            "filters": filters,
            "dense_units": dense_units,
            "likelihood": likelihood,
            "variance": variance,
            "beta": beta,
            "seed": seed,
        }

    def get_config(self) -> dict[str, Any]:
        return {**self._config, "name": self.name}

    def log_likelihood(self, x: tf.Tensor, decoded: tf.Tensor) -> tf.Tensor:
        if self.likelihood == "bernoulli":
            return bernoulli_log_likelihood(x, decoded)
        return gaussian_log_likelihood(x, decoded, self.variance)

    def observation(self, decoded: tf.Tensor) -> tf.Tensor:
        return tf.sigmoid(decoded) if self.likelihood == "bernoulli" else decoded

    def check_observations(self, x: Any) -> None:
        super().check_observations(x)
        dtype = getattr(x, "dtype", None)
        if dtype is not None and not tf.as_dtype(dtype).is_floating:
            raise ValueError(
                f"the images are {tf.as_dtype(dtype).name}; expected float32 in [0, 1]: convert "
                "them, and divide them by 255 if they are bytes, images / np.float32(255) "
                "(`filvm.data.to_float` does it for gray images [n, height, width])"
            )
        if not isinstance(x, np.ndarray) or not x.size:
            return
        low, high = x.min(), x.max()
        if not (low >= tf.float32.min and high <= tf.float32.max):
            raise ValueError("pixels are nan or infinite; expected finite ones: remove them")
        if self.likelihood == "bernoulli" and (low < -TOLERANCE or high > 1 + TOLERANCE):
            raise ValueError(
                f"pixels range from {low:g} to {high:g}; expected [0, 1] for the Bernoulli "
                "likelihood: divide them by 255 if they are bytes, or use likelihood='gaussian'"
            )

    def check_tensors(self, x: tf.Tensor) -> None:
        if self.likelihood == "gaussian":
            super().check_tensors(x)
        else:  # nan and infinity are not in [0, 1] either
            require(
                (x >= -TOLERANCE) & (x <= 1 + TOLERANCE),
                "images must have finite pixels in [0, 1]: divide them by 255 if they are bytes",
            )

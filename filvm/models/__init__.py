"""Models: variational autoencoders, lenses, and both as one pipeline."""

from filvm.models.conv_vae import ConvVAE
from filvm.models.vae import VAE

__all__ = ["VAE", "ConvVAE"]

"""Variational autoencoders: x <-> z."""

from filvm.vae.base import VAE
from filvm.vae.conv import ConvVAE
from filvm.vae.sequence import SequenceVAE

__all__ = ["VAE", "ConvVAE", "SequenceVAE"]

"""Variational autoencoders: x <-> z."""

from filvm.vae.base import VAE
from filvm.vae.conv import ConvVAE
from filvm.vae.sequence import SequenceVAE
from filvm.vae.text import TextVAE

__all__ = ["VAE", "ConvVAE", "SequenceVAE", "TextVAE"]

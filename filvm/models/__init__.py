"""Models: variational autoencoders, lenses, and both as one pipeline."""

from filvm.models.conv_vae import ConvVAE
from filvm.models.invertible_lens import InvertibleLens
from filvm.models.lens import FILVM, ILVM
from filvm.models.lens_interface import Lens
from filvm.models.pipeline import LensPipeline
from filvm.models.sequence_vae import SequenceVAE
from filvm.models.vae import VAE

__all__ = [
    "FILVM",
    "ILVM",
    "VAE",
    "ConvVAE",
    "InvertibleLens",
    "Lens",
    "LensPipeline",
    "SequenceVAE",
]

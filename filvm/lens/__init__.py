"""Lenses: z <-> z*, and a VAE with its lens as one pipeline."""

from filvm.lens.base import Lens
from filvm.lens.filvm import FILVM
from filvm.lens.ilvm import ILVM
from filvm.lens.invertible import InvertibleLens
from filvm.lens.pipeline import LensPipeline

__all__ = ["FILVM", "ILVM", "InvertibleLens", "Lens", "LensPipeline"]

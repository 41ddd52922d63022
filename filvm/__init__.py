"""Interpretable lens variable models: choose what the dimensions of a latent space mean."""

from filvm.version import __version__

__all__ = ["__version__"]

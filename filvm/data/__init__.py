"""Where samples come from. Nothing here imports TensorFlow."""

from filvm.data.mnist import Mnist, MnistError, load_mnist, to_float

__all__ = ["Mnist", "MnistError", "load_mnist", "to_float"]

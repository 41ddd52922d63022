"""Where samples come from. Nothing here imports TensorFlow."""

from filvm.data.mnist import Mnist, MnistError, load_mnist, to_float
from filvm.data.side_information import Categorical, Continuous

__all__ = ["Categorical", "Continuous", "Mnist", "MnistError", "load_mnist", "to_float"]

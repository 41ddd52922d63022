"""Where samples come from. Nothing here imports TensorFlow."""

from filvm.data.mnist import Mnist, MnistError, load_mnist, to_float
from filvm.data.thickness import (
    StrokeSteps,
    Thickness,
    load_thickness,
    stroke_steps,
    stroke_thickness,
)

__all__ = [
    "Mnist",
    "MnistError",
    "StrokeSteps",
    "Thickness",
    "load_mnist",
    "load_thickness",
    "stroke_steps",
    "stroke_thickness",
    "to_float",
]

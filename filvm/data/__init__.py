"""The data sets. Nothing in this package imports TensorFlow."""

from filvm.data.idx import ImageSet, load_idx_dataset, read_idx
from filvm.data.mnist import Mnist, MnistError, load_mnist, to_float
from filvm.data.morphometrics import (
    MORPHOMETRICS,
    StrokeSteps,
    measure_shapes,
    stroke_steps,
    stroke_thickness,
)
from filvm.data.rotated import RotatedMnist, load_rotated_mnist, rotate_images
from filvm.data.sequences import (
    Sequences,
    make_sequences,
    sequences_from_lists,
    sequences_to_lists,
    split_sequences,
)
from filvm.data.shape_tables import Thickness, load_morphometrics, load_thickness
from filvm.data.side_information import Categorical, Circular, Continuous
from filvm.data.splits import training_split

__all__ = [
    "MORPHOMETRICS",
    "Categorical",
    "Circular",
    "Continuous",
    "ImageSet",
    "Mnist",
    "MnistError",
    "RotatedMnist",
    "Sequences",
    "StrokeSteps",
    "Thickness",
    "load_idx_dataset",
    "load_mnist",
    "load_morphometrics",
    "load_rotated_mnist",
    "load_thickness",
    "make_sequences",
    "measure_shapes",
    "read_idx",
    "rotate_images",
    "sequences_from_lists",
    "sequences_to_lists",
    "split_sequences",
    "stroke_steps",
    "stroke_thickness",
    "to_float",
    "training_split",
]

"""The settings of all experiments, with ranges and defaults. A `Recipe` builds its lens.

`steps` is the budget of a training: optimiser steps, whatever the size of the data. `epochs` is the
number of equal parts of it; each ends with validation and a checkpoint. The learning rate decays
along half a cosine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

from filvm.runs.ranges import (
    Count,
    CountOrZero,
    NotNegative,
    OneOf,
    Positive,
    Range,
    Samples,
    Seed,
    Share,
    Size,
)

if TYPE_CHECKING:
    from filvm.data.side_information import Attribute
    from filvm.lens import Lens

# A fifth of the training digits of MNIST. Of fewer digits, a fifth of those.
Validation = Annotated[int, Range(1, 12_000)]

# The names of `filvm.flows.ENERGIES`, which imports TensorFlow.
TARGETS = ("two-modes", "two-modes-as-printed", "wave", "split-wave", "forked-wave")

# Of the inner layers of networks in a training; see `filvm.runs.precision`.
Precision = Annotated[str, OneOf(("auto", "float32", "bfloat16"))]

# With fewer digits than this to train on, most are distorted a little: otherwise a training of so
# many steps would learn them by heart.
FEW_DIGITS = 8_000
DISTORTED_OF_FEW = 0.9
THICKEN_FEW = 0.5  # of few digits, a VAE learns too little of the thickness of strokes without it


@dataclass(frozen=True)
class ImageVaeSettings:
    latent_dim: Size = 8  # the report's
    beta: NotNegative = 0.5  # 1 is the ELBO; 0.5 keeps more of the digit, which helps the lens
    steps: Count = 10_296  # of the optimiser, whatever the number of digits
    # Of few digits, which are distorted, more steps of smaller batches reach a lower error sooner.
    steps_for_few: Positive = 1.95  # factor of `steps`
    batch_for_few: Size = 64  # in place of a larger `batch_size`
    epochs: Count = 24  # equal parts of the steps; each ends with validation and a checkpoint
    batch_size: Size = 128
    learning_rate: Positive = 1e-3  # decays along a cosine to a hundredth
    precision: Precision = "auto"  # of inner layers in training; see `filvm.runs.precision`
    distorted: Share = 0.0  # share of the digits that are distorted a little; of few digits, 0.9
    validation: Validation = 5_000  # of the training digits, the last ones: they choose the weights
    train_limit: CountOrZero = 0  # train on the first so many digits; 0: on all the others
    test_limit: CountOrZero = 0  # measure on the first so many test images; 0: on all
    seed: Seed = 0


@dataclass(frozen=True)
class SequenceVaeSettings:
    latent_dim: Size = 4  # the report's
    units: Size = 64  # of both GRUs
    dense_units: Size = 128  # of the dense layers around z
    context_units: Size = 16  # width of the context that the decoder cell gets from z
    differences: bool = True  # of neighbouring numbers, for the encoder beside the numbers
    first_sd: Positive = (
        50.0  # of the likelihood, in the numbers' units; its logarithm falls evenly
    )
    last_sd: Positive = 0.3
    annealing: Share = 0.8  # of all training steps; the rest is at last_sd
    length_weight: NotNegative = 30.0  # of the length's likelihood; the numbers' is far larger
    balanced: bool = True  # the numbers of short sequences count as much as those of long ones
    beta: NotNegative = 1.0  # of the KL term
    steps: Count = 27_342  # of the optimiser
    epochs: Count = 14  # equal parts of the steps
    batch_size: Size = 128  # small: more steps help more than less noisy gradients
    learning_rate: Positive = 1e-2  # decays along a cosine to a thousandth
    beta_2: Annotated[float, Range(0, 0.999_999)] = (
        0.98  # Adam's: gradients grow as the sd falls, so early ones must fade
    )
    sequences: Samples = 250_000  # to train on
    validation: Samples = 10_000  # these choose the weights
    test: Samples = 10_000  # these are reported; no two splits share a sequence
    jit_compile: bool = False  # by XLA: 1.1 times faster on one core, after 18 s of compilation
    seed: Seed = 0


@dataclass(frozen=True)
class TextVaeSettings:
    latent_dim: Size = 24
    filters: tuple[Size, ...] = (128, 128)  # of the encoder's convolutions
    dense_units: Size = 384  # of the layers before and after z
    beta: NotNegative = 0.1  # of the KL term, after the warm-up
    warm_up: Share = 0.6  # of all training steps; without it the posterior collapses
    steps: Count = 9_000  # of the optimiser
    epochs: Count = 12  # equal parts of the steps
    batch_size: Size = 256
    learning_rate: Positive = 2e-3  # decays along a cosine to a hundredth
    train_limit: CountOrZero = 0  # train on the first so many words; 0: on all
    validation: Samples = 10_000  # words that choose the weights
    test: Samples = 10_000  # words that are reported; no two splits share a word
    seed: Seed = 0


@dataclass(frozen=True)
class OracleSettings:
    steps: Count = 3_120  # of the optimiser
    epochs: Count = 8  # equal parts of the steps
    batch_size: Size = 128
    learning_rate: Positive = 2e-3  # decays along a cosine to a hundredth
    validation: Validation = (
        10_000  # of the training digits, the last ones: they choose the weights
    )
    train_limit: CountOrZero = 0  # train on the first so many digits; 0: on all the others
    test_limit: CountOrZero = 0  # judge on the first so many test images; 0: on all
    seed: Seed = 0


@dataclass(frozen=True)
class Recipe:
    """The settings that every lens shares."""

    steps: Count = 3_120  # of the optimiser, whatever the number of samples
    epochs: Count = 16  # equal parts of the steps
    batch_size: Size = 256
    learning_rate: Positive = 1e-3  # decays along a cosine to a hundredth
    clip_norm: NotNegative = 0.0  # of the gradient of all weights together; 0: none
    precision: Precision = "float32"  # bfloat16 is 1.2 times as fast on a processor that has it
    known: CountOrZero = 0  # number of training samples with side information; 0: all
    train_limit: CountOrZero = (
        0  # train on the first so many digits or sequences; 0: on all but validation
    )
    validation: Validation = (
        10_000  # of the training digits, the last ones: they choose the weights
    )
    test_limit: CountOrZero = 10_000  # measure on the first so many test digits or sequences
    seed: Seed = 0

    def build(self, latent_dim: int, attributes: Sequence[Attribute]) -> Lens:
        """The untrained lens of these settings."""
        raise NotImplementedError(f"{type(self).__name__} builds no lens")

    def smoke(self) -> dict[str, Any]:
        """The changes of the smoke profile."""
        return {
            "steps": 4,
            "epochs": 2,
            "batch_size": 64,
            "hidden_units": (32, 32),
            "test_limit": 120,
        }


@dataclass(frozen=True)
class VariationalRecipe(Recipe):
    """An ILVM or FILVM, without the weights of equation (8)."""

    lens: Annotated[str, OneOf(("ilvm", "filvm"))] = "filvm"
    num_flows: Size = 5  # the report's
    hidden_units: tuple[Size, ...] = (384, 384, 384)  # of each of the three networks
    beta: NotNegative = 1.0  # of equation (8)
    latent_noise: NotNegative = (
        0.0  # on z in the secondary network's training; it helps with few labels
    )
    ordered_softmax: bool = True  # the five amendments of an FILVM
    informed_generative: bool = True
    swap_weight: NotNegative = 25.0
    positive_slopes: bool = True
    independence_weight: NotNegative = 150.0
    critic_weight: NotNegative = 0.0  # these two are no part of the published recipes
    aggregate_weight: NotNegative = 0.0

    def terms(self, latent_dim: int, attributes: Sequence[Attribute]) -> dict[str, Any]:
        """The arguments of the lens that weight the terms of equation (8)."""
        raise NotImplementedError(f"{type(self).__name__} has no weights")

    def build(self, latent_dim: int, attributes: Sequence[Attribute]) -> Lens:
        from filvm.lens import FILVM, ILVM

        common = {
            "num_flows": self.num_flows,
            "hidden_units": self.hidden_units,
            "latent_noise": self.latent_noise,
            "seed": self.seed,
            **self.terms(latent_dim, attributes),
        }
        if self.lens == "ilvm":
            return ILVM(latent_dim, attributes, **common)
        switches = (*AMENDMENTS.values(), "critic_weight", "aggregate_weight")
        amendments = {name: getattr(self, name) for name in switches}
        return FILVM(latent_dim, attributes, **amendments, **common)


@dataclass(frozen=True)
class FilvmRecipe(VariationalRecipe):
    """An ILVM or FILVM with a weight for every attribute."""

    attribute_weights: tuple[NotNegative, ...] = (1.0,)  # lambda_j, in the attributes' order
    latent_variance: Annotated[float, Range(1e-8)] = 0.05  # of p(z|z*), in standardised units

    def terms(self, latent_dim: int, attributes: Sequence[Attribute]) -> dict[str, Any]:
        names = [attribute.name for attribute in attributes]
        return {
            "beta": self.beta,
            "latent_variance": self.latent_variance,
            "attribute_weights": dict(zip(names, self.attribute_weights, strict=True)),
        }


@dataclass(frozen=True)
class ReportRecipe(VariationalRecipe):
    """An ILVM or FILVM with the report's terms (`filvm.lens.ilvm.report_terms`)."""

    scaling: Positive = 3.0  # standard deviation that numbers are scaled to

    def terms(self, latent_dim: int, attributes: Sequence[Attribute]) -> dict[str, Any]:
        from filvm.lens.ilvm import report_terms

        return report_terms(latent_dim, attributes, self.beta, self.scaling)


@dataclass(frozen=True)
class InvertibleRecipe(Recipe):
    """An `InvertibleLens`: sizes and training. Its weights are its defaults, for every data set."""

    num_mixing: Size = 4
    num_couplings: Size = 6
    coupling_units: tuple[Size, ...] = (256, 256)  # of the network of each
    attribute_units: tuple[Size, ...] = (384, 384)
    hidden_units: tuple[Size, ...] = (384, 384)  # of the secondary network
    steps: Count = 3_900
    epochs: Count = 20
    learning_rate: Positive = 2e-3
    clip_norm: NotNegative = 10.0  # z* of swapped attributes may lie where T^-1 is steep

    def smoke(self) -> dict[str, Any]:
        small = {"num_mixing": 1, "num_couplings": 1}
        return {**super().smoke(), **small, "coupling_units": (16,), "attribute_units": (16,)}

    def build(self, latent_dim: int, attributes: Sequence[Attribute]) -> Lens:
        from filvm.lens import InvertibleLens

        return InvertibleLens(
            latent_dim,
            attributes,
            num_mixing=self.num_mixing,
            num_couplings=self.num_couplings,
            coupling_units=self.coupling_units,
            attribute_units=self.attribute_units,
            hidden_units=self.hidden_units,
            seed=self.seed,
        )


Variational = TypeVar("Variational", bound=VariationalRecipe)

AMENDMENTS = {  # name -> the setting of a `FilvmRecipe` and argument of `FILVM` that switches it
    "ordered softmax": "ordered_softmax",
    "informed generative": "informed_generative",
    "swap consistency": "swap_weight",
    "positive slopes": "positive_slopes",
    "independence": "independence_weight",
}


def without(recipe: Variational, *names: str, **changes: Any) -> Variational:
    """A recipe without the amendments named, and with other changes."""
    off = {AMENDMENTS[name]: False if "weight" not in AMENDMENTS[name] else 0.0 for name in names}
    return replace(recipe, **off, **changes)


def as_reported(recipe: FilvmRecipe, beta: float, scaling: float) -> ReportRecipe:
    """The report's FILVM with the sizes and the steps of `recipe`, without amendments."""
    shared = {field.name: getattr(recipe, field.name) for field in fields(VariationalRecipe)}
    off = {"critic_weight": 0.0, "aggregate_weight": 0.0}
    return without(ReportRecipe(**shared, scaling=scaling), *AMENDMENTS, beta=beta, **off)


@dataclass(frozen=True)
class FlowSettings:
    target: Annotated[str, OneOf(TARGETS)] = "two-modes"  # of Figure 6
    lengths: tuple[Size, ...] = (2, 8, 16, 32)  # the report's
    restarts: Count = 20  # the report's
    steps: Count = 12_000  # of Adam, for every attempt
    batch_size: Size = 256
    learning_rate: Positive = 0.02  # decays along a cosine to 0
    annealing_steps: Count = 3_000  # beta rises from 0.01 to 1
    seed: Seed = 0  # of the first attempt; the others follow
    other_length: Size = 16  # flows for each of the other energies
    other_restarts: Count = 8
    other_annealing_steps: Count = 6_000  # the printed energy's modes lie 10 apart
    moons_lengths: tuple[Size, ...] = (2, 8, 16)  # maximum likelihood on two moons
    moons_restarts: Count = 5
    moons_steps: Count = 4_000
    moons_samples: Annotated[int, Range(2, 10_000_000)] = 10_000  # half of them held out
    moons_noise: NotNegative = 0.1  # standard deviation, where a moon's radius is 1
    pixels: Annotated[int, Range(1, 4_096)] = 240  # per side, of the densities drawn

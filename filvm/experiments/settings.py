"""The settings of every kind of experiment, with their defaults. A `Recipe` builds its lens.

`steps` is the budget of a training: optimiser steps, whatever the size of the data. `epochs` is the
number of equal parts of it; each ends with validation and a checkpoint. The learning rate decays
along half a cosine.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from filvm.data.side_information import Attribute
    from filvm.lens import Lens

# With fewer digits than this to train on, most are distorted a little: otherwise a training of so
# many steps would learn them by heart.
FEW_DIGITS = 20_000
DISTORTED_OF_FEW = 0.9


@dataclass(frozen=True)
class ImageVaeSettings:
    latent_dim: int = 8  # the report's
    beta: float = 0.5  # 1 is the ELBO; 0.5 keeps more of the digit, which helps the lens
    steps: int = 10_296  # of the optimiser, whatever the number of digits
    epochs: int = 24  # equal parts of the steps; each ends with validation and a checkpoint
    batch_size: int = 128
    learning_rate: float = 1e-3  # decays along a cosine to a hundredth
    distorted: float = 0.0  # share of the digits that are distorted a little; of few digits, 0.9
    validation: int = 5_000  # of the training digits, the last ones: they choose the weights
    train_limit: int = 0  # train on the first so many digits; 0: on all the others
    test_limit: int = 0  # measure on the first so many test images; 0: on all
    seed: int = 0


@dataclass(frozen=True)
class SequenceVaeSettings:
    latent_dim: int = 4  # the report's
    units: int = 64  # of both GRUs
    dense_units: int = 128  # of the dense layers around z
    context_units: int = 16  # width of the context that the decoder cell gets from z
    first_sd: float = 50.0  # of the likelihood, in the numbers' units; its logarithm falls evenly
    last_sd: float = 0.3
    annealing: float = 0.8  # of all training steps; the rest is at last_sd
    length_weight: float = 30.0  # of the length's likelihood; the numbers' is far larger
    balanced: bool = True  # the numbers of short sequences count as much as those of long ones
    beta: float = 1.0  # of the KL term
    steps: int = 27_342  # of the optimiser
    epochs: int = 14  # equal parts of the steps
    batch_size: int = 128  # small: more steps help more than less noisy gradients
    learning_rate: float = 1e-2  # decays along a cosine to a thousandth
    beta_2: float = 0.98  # Adam's: gradients grow as the sd falls, so early ones must fade
    sequences: int = 250_000  # to train on
    validation: int = 10_000  # these choose the weights
    test: int = 10_000  # these are reported; no two splits share a sequence
    jit_compile: bool = False  # by XLA: 1.1 times faster on one core, after 18 s of compilation
    seed: int = 0


@dataclass(frozen=True)
class OracleSettings:
    steps: int = 3_120  # of the optimiser
    epochs: int = 8  # equal parts of the steps
    batch_size: int = 128
    learning_rate: float = 2e-3  # decays along a cosine to a hundredth
    validation: int = 10_000  # of the training digits, the last ones: they choose the weights
    train_limit: int = 0  # train on the first so many digits; 0: on all the others
    test_limit: int = 0  # judge on the first so many test images; 0: on all
    seed: int = 0


@dataclass(frozen=True)
class Recipe:
    """The settings that every lens shares."""

    attribute_weights: tuple[float, ...]  # lambda_j of equation (8), in the attributes' order
    steps: int = 3_120  # of the optimiser, whatever the number of samples
    epochs: int = 16  # equal parts of the steps
    batch_size: int = 256
    learning_rate: float = 1e-3  # decays along a cosine to a hundredth
    clip_norm: float = 0.0  # of the gradient of all weights together; 0: none
    known: int = 0  # number of training samples with side information; 0: all
    train_limit: int = 0  # train on the first so many digits or sequences; 0: on all but validation
    validation: int = 10_000  # of the training digits, the last ones: they choose the weights
    test_limit: int = 10_000  # measure on the first so many test digits or sequences
    seed: int = 0

    def build(self, latent_dim: int, attributes: Sequence[Attribute]) -> Lens:
        """The untrained lens of these settings."""
        raise NotImplementedError(f"{type(self).__name__} builds no lens")

    def smoke(self) -> dict[str, Any]:
        """The changes of the smoke profile."""
        return {
            "steps": 16,
            "epochs": 2,
            "batch_size": 64,
            "hidden_units": (32, 32),
            "test_limit": 500,
        }

    def weights(self, attributes: Sequence[Attribute]) -> dict[str, float]:
        """Name -> lambda_j."""
        names = [attribute.name for attribute in attributes]
        return dict(zip(names, self.attribute_weights, strict=True))


@dataclass(frozen=True)
class FilvmRecipe(Recipe):
    """An ILVM or FILVM."""

    lens: str = "filvm"  # ilvm or filvm
    num_flows: int = 5  # the report's
    hidden_units: tuple[int, ...] = (384, 384, 384)  # of each of the three networks
    beta: float = 1.0  # of equation (8)
    latent_variance: float = 0.05  # of p(z|z*), in standardised units
    latent_noise: float = 0.0  # on z in the secondary network's training; it helps with few labels
    ordered_softmax: bool = True  # the five amendments of an FILVM
    informed_generative: bool = True
    swap_weight: float = 25.0
    positive_slopes: bool = True
    independence_weight: float = 150.0

    def build(self, latent_dim: int, attributes: Sequence[Attribute]) -> Lens:
        from filvm.lens import FILVM, ILVM

        common = {
            "num_flows": self.num_flows,
            "hidden_units": self.hidden_units,
            "beta": self.beta,
            "attribute_weights": self.weights(attributes),
            "latent_variance": self.latent_variance,
            "latent_noise": self.latent_noise,
            "seed": self.seed,
        }
        if self.lens == "ilvm":
            return ILVM(latent_dim, attributes, **common)
        if self.lens != "filvm":
            raise ValueError(f"lens is {self.lens!r}; expected ilvm or filvm")
        amendments = {name: getattr(self, name) for name in AMENDMENTS.values()}
        return FILVM(latent_dim, attributes, **amendments, **common)


@dataclass(frozen=True)
class InvertibleRecipe(Recipe):
    """An `InvertibleLens`."""

    num_mixing: int = 4
    num_couplings: int = 6
    coupling_units: tuple[int, ...] = (256, 256)  # of the network of each
    attribute_units: tuple[int, ...] = (384, 384)
    hidden_units: tuple[int, ...] = (256, 256)  # of the secondary network
    latent_noise: float = 0.04  # on z in all of the training, in standardised units
    swap_weight: float = 3.0
    steps: int = 3_900
    epochs: int = 20
    learning_rate: float = 2e-3

    def smoke(self) -> dict[str, Any]:
        small = {"num_mixing": 1, "num_couplings": 1, "test_limit": 200}
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
            attribute_weights=self.weights(attributes),
            swap_weight=self.swap_weight,
            latent_noise=self.latent_noise,
            seed=self.seed,
        )


AMENDMENTS = {  # name -> the setting of a `FilvmRecipe` and argument of `FILVM` that switches it
    "ordered softmax": "ordered_softmax",
    "informed generative": "informed_generative",
    "swap consistency": "swap_weight",
    "positive slopes": "positive_slopes",
    "independence": "independence_weight",
}


def without(recipe: FilvmRecipe, *names: str, **changes: Any) -> FilvmRecipe:
    """A recipe without the amendments named, and with other changes."""
    off = {AMENDMENTS[name]: False if "weight" not in AMENDMENTS[name] else 0.0 for name in names}
    return replace(recipe, **off, **changes)


@dataclass(frozen=True)
class FlowSettings:
    target: str = "two-modes"  # of Figure 6: a name of filvm.flows.ENERGIES
    lengths: tuple[int, ...] = (2, 8, 16, 32)  # the report's
    restarts: int = 20  # the report's
    steps: int = 8_000  # of Adam, for every attempt
    batch_size: int = 256
    learning_rate: float = 0.02  # decays along a cosine to 0
    annealing_steps: int = 2_000  # beta rises from 0.01 to 1
    seed: int = 0  # of the first attempt; the others follow
    other_length: int = 16  # flows for each of the other energies
    other_restarts: int = 8
    other_annealing_steps: int = 4_000  # the printed energy's modes lie 10 apart
    moons_lengths: tuple[int, ...] = (2, 8, 16)  # maximum likelihood on two moons
    moons_restarts: int = 5
    moons_steps: int = 4_000
    moons_samples: int = 10_000  # half of them held out
    moons_noise: float = 0.1  # standard deviation, where a moon's radius is 1
    pixels: int = 240  # per side, of the densities drawn

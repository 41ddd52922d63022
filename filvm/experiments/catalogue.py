"""Every experiment: its settings under each profile, and the runs and data it needs.

Nothing here imports TensorFlow, so `filvm list` answers at once. `tasks` has the data sets with
their measures; `vaes`, `lenses`, `oracles` and `flow_density` train and measure.

A new data set needs its module in `filvm.data`, a task in `tasks`, and its lines here.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from filvm.runs.experiment import Experiment, TrainOptions, run_experiment
from filvm.runs.run import Run, RunError
from filvm.runs.workspace import Workspace

if TYPE_CHECKING:
    from filvm.data.side_information import Attribute
    from filvm.lens import Lens


@dataclass(frozen=True)
class Lazily:
    """Calls `filvm.experiments.<module>.<function>(task, settings, run)`, imported on the call."""

    module: str
    function: str
    task: str = ""

    def __call__(self, settings: Any, run: Run) -> Any:
        module = importlib.import_module(f"filvm.experiments.{self.module}")
        return getattr(module, self.function)(self.task, settings, run)


def profiles(full: Any, *, quick: dict[str, Any], smoke: dict[str, Any]) -> dict[str, Any]:
    """The settings of the three profiles, from the changes that `quick` and `smoke` make."""
    return {"full": full, "quick": replace(full, **quick), "smoke": replace(full, **smoke)}


def _experiment(
    name: str,
    summary: str,
    settings: dict[str, Any],
    module: str,
    task: str = "",
    **options: Any,
) -> Experiment:
    return Experiment(
        name,
        summary,
        settings,
        Lazily(module, "train", task),
        Lazily(module, "measure", task),
        **options,
    )


# VAEs of images.


@dataclass(frozen=True)
class ImageVaeSettings:
    latent_dim: int = 8  # the report's
    beta: float = 0.5  # 1 is the ELBO; 0.5 keeps more of the digit, which helps the lens
    epochs: int = 24
    batch_size: int = 128
    learning_rate: float = 1e-3  # decays along a cosine to a hundredth
    distorted: float = 0.0  # share of the digits of a batch that are distorted a little, at random
    validation: int = 5_000  # of the training digits, the last ones: they choose the weights
    train_limit: int = 0  # train on the first so many digits; 0: on all the others
    test_limit: int = 0  # measure on the first so many test images; 0: on all
    seed: int = 0


# The report's 12 dimensions; 6 epochs of 8 rotations each; whole digits validate.
ROTATED_VAE = ImageVaeSettings(latent_dim=12, epochs=6, validation=1_000)
# With little noise on z, because heights differ by half a pixel; and with distorted digits, which
# the encoder must know as well as those of the training set: it needs no attributes of them.
MORPHO_VAE = {"latent_dim": 16, "beta": 0.01, "distorted": 0.8}
MNIST_VAE_PROFILES = profiles(
    ImageVaeSettings(),
    quick={"epochs": 3, "train_limit": 12_000, "validation": 2_000, "test_limit": 5_000},
    smoke={"epochs": 2, "train_limit": 512, "validation": 128},
)
IMAGE_VAES = (
    _experiment(
        "vae-mnist",
        "convolutional VAE on MNIST (Figure 3)",
        MNIST_VAE_PROFILES,
        "vaes",
        "mnist",
        data=("mnist",),
    ),
    _experiment(
        "vae-mnist-r",
        "convolutional VAE on rotated digits (Figure 4)",
        profiles(
            ROTATED_VAE,
            quick={"epochs": 2, "train_limit": 2_000, "validation": 250, "test_limit": 5_000},
            smoke={"epochs": 2, "train_limit": 64, "validation": 16, "test_limit": 800},
        ),
        "vaes",
        "mnist-r",
        data=("mnist-r",),
    ),
)
MORPHO_VAES = (
    _experiment(
        "vae-mnist-16",
        "convolutional VAE on MNIST with 16 latents",
        {
            name: replace(settings, **MORPHO_VAE)
            for name, settings in {
                **MNIST_VAE_PROFILES,
                "full": ImageVaeSettings(epochs=40, train_limit=30_000, validation=10_000),
            }.items()
        },
        "vaes",
        "mnist",
        data=("mnist",),
    ),
)


# The VAE of sequences.


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
    epochs: int = 14
    batch_size: int = 128  # small: more steps help more than less noisy gradients
    learning_rate: float = 1e-2  # decays along a cosine to a thousandth
    beta_2: float = 0.98  # Adam's: gradients grow as the sd falls, so early ones must fade
    sequences: int = 250_000  # to train on
    validation: int = 10_000  # these choose the weights
    test: int = 10_000  # these are reported; no two splits share a sequence
    jit_compile: bool = False  # by XLA: 1.1 times faster on one core, after 18 s of compilation
    seed: int = 0


SEQUENCE_VAE = _experiment(
    "vae-sequences",
    "recurrent VAE on toy sequences (Figure 5)",
    profiles(
        SequenceVaeSettings(),
        quick={"epochs": 3, "sequences": 20_000},
        smoke={
            "epochs": 2,
            "sequences": 512,
            "validation": 128,
            "test": 128,
            "units": 8,
            "dense_units": 16,
            "batch_size": 64,
        },
    ),
    "vaes",
    "sequences",
)


# Oracles: networks that judge generated digits.


@dataclass(frozen=True)
class OracleSettings:
    epochs: int = 8
    batch_size: int = 128
    learning_rate: float = 2e-3  # decays along a cosine to a hundredth
    validation: int = 10_000  # of the training digits, the last ones: they choose the weights
    train_limit: int = 0  # train on the first so many digits; 0: on all the others
    test_limit: int = 0  # judge on the first so many test images; 0: on all
    seed: int = 0


ORACLES = (
    _experiment(
        "oracles-mnist",
        "digit classifier that judges generated digits",
        profiles(
            OracleSettings(),
            quick={"epochs": 2, "train_limit": 30_000, "validation": 2_000},
            smoke={"epochs": 2, "train_limit": 512, "validation": 128, "test_limit": 500},
        ),
        "oracles",
        "mnist",
        data=("mnist",),
    ),
    _experiment(
        "oracles-mnist-r",
        "digit classifier and rotation regressor that judge generated rotated digits",
        profiles(
            # 3 epochs of 8 rotations each
            OracleSettings(epochs=3, batch_size=256, learning_rate=4e-3, validation=1_000),
            quick={"epochs": 2, "train_limit": 8_000, "test_limit": 5_000},
            smoke={"epochs": 2, "train_limit": 128, "validation": 32, "test_limit": 400},
        ),
        "oracles",
        "mnist-r",
        data=("mnist-r",),
    ),
)


# Lenses. A recipe is the settings of one lens, which build it, and of its training.


@dataclass(frozen=True)
class Recipe:
    """The settings that every lens shares."""

    attribute_weights: tuple[float, ...]  # lambda_j of equation (8), in the attributes' order
    epochs: int = 16
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
    epochs: int = 20
    learning_rate: float = 2e-3

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


def _smoke(full: Recipe) -> dict[str, Any]:
    """The changes of the smoke profile that all lenses share."""
    small = {"epochs": 2, "hidden_units": (32, 32), "batch_size": 64, "test_limit": 500}
    if isinstance(full, InvertibleRecipe):
        small |= {
            "coupling_units": (16,),
            "attribute_units": (16,),
            "num_mixing": 1,
            "num_couplings": 1,
            "test_limit": 200,
        }
    return small


def lens_profiles(full: Recipe, quick: dict[str, Any], smoke: dict[str, Any]) -> dict[str, Recipe]:
    """The three profiles of a lens."""
    return profiles(full, quick={"test_limit": 1_000, **quick}, smoke={**_smoke(full), **smoke})


@dataclass(frozen=True)
class LensPlan:
    """The parts of a lens experiment that its data set decides."""

    task: str
    needs: tuple[str, ...]
    data: tuple[str, ...]
    quick: dict[str, Any]
    smoke: dict[str, Any]

    def experiment(
        self, name: str, summary: str, recipe: Recipe, *, task: str = "", **quick: Any
    ) -> Experiment:
        """A lens experiment; `quick` are further changes of the quick profile."""
        settings = lens_profiles(recipe, {**self.quick, **quick}, self.smoke)
        options = {"needs": self.needs, "data": self.data}
        return _experiment(name, summary, settings, "lenses", task or self.task, **options)


MNIST_PLAN = LensPlan(
    "mnist",
    ("vae-mnist", "oracles-mnist"),
    ("thickness",),
    quick={"epochs": 6, "train_limit": 12_000, "validation": 2_000},
    smoke={"train_limit": 512, "validation": 128},
)
ROTATED_PLAN = LensPlan(
    "mnist-r",
    ("vae-mnist-r", "oracles-mnist-r"),
    ("mnist-r",),
    quick={"epochs": 4, "train_limit": 2_000, "validation": 250},
    smoke={"train_limit": 64, "validation": 16},
)
SEQUENCE_PLAN = LensPlan(
    "sequences",
    ("vae-sequences",),
    (),
    quick={"epochs": 4, "train_limit": 12_000},
    smoke={"train_limit": 512},
)
MORPHO_PLAN = LensPlan(
    "morpho",
    ("vae-mnist-16",),
    ("morphometrics",),
    quick={"epochs": 6, "train_limit": 12_000, "validation": 2_000},
    smoke={"train_limit": 512, "validation": 128},
)

MNIST = FilvmRecipe((30.0, 60.0), latent_variance=0.06)
MNIST_REPORT = without(MNIST, *AMENDMENTS, attribute_weights=(1.0, 1.0))
MNIST_ILVM = replace(MNIST_REPORT, lens="ilvm")
ROTATED = FilvmRecipe(
    (20.0, 40.0),
    # Detail of z finer than this would need digit and rotation in the free dimensions.
    latent_variance=0.25,
    swap_weight=50.0,
    independence_weight=50.0,
    epochs=9,  # of 8 rotations each
    batch_size=512,
    validation=1_000,  # digits, each with all its rotations
)
ROTATED_REPORT = without(ROTATED, *AMENDMENTS, attribute_weights=(1.0, 1.0), epochs=6)
# Weights as large as the swap weight: with 20, one seed in eight learned to swap starts before the
# head was aligned, and kept them on a falling axis.
SEQUENCES = FilvmRecipe(
    (50.0, 50.0, 50.0),
    hidden_units=(256, 256, 256),
    latent_variance=0.01,
    swap_weight=50.0,
    epochs=20,
    train_limit=60_000,  # the first sequences of the VAE's
)
START_STEP = replace(SEQUENCES, attribute_weights=(50.0, 50.0))
SEQUENCES_REPORT = without(START_STEP, *AMENDMENTS, attribute_weights=(1.0, 1.0))
MORPHO = FilvmRecipe(
    (3000.0,) * 6,
    hidden_units=(640, 640, 640),
    latent_variance=0.25,
    swap_weight=10.0,
    epochs=32,
    train_limit=30_000,  # those of the VAE, too
)
INVERTIBLE_MNIST = InvertibleRecipe((20.0, 50.0))
INVERTIBLE_ROTATED = InvertibleRecipe(
    (30.0, 100.0),
    hidden_units=(384, 384),
    latent_noise=0.08,
    epochs=10,  # of 8 rotations each
    batch_size=512,  # on two cores 1.4 times as many samples a second as 256
    clip_norm=10.0,
    validation=1_000,
)
INVERTIBLE_SEQUENCES = InvertibleRecipe(
    (20.0, 20.0, 20.0),
    latent_noise=0.01,
    epochs=10,
    learning_rate=1e-3,
    clip_norm=10.0,  # z* of swapped starts may lie where T^-1 is steep
    train_limit=60_000,
)

LENSES = (
    MNIST_PLAN.experiment("ilvm-mnist", "ILVM on MNIST (Figure 7)", MNIST_ILVM),
    MNIST_PLAN.experiment(
        "filvm-mnist", "FILVM on MNIST: digit and thickness (Figures 7, 10, B3)", MNIST
    ),
    MNIST_PLAN.experiment(
        "filvm-mnist-report", "FILVM on MNIST, the report's own recipe (Figure 7)", MNIST_REPORT
    ),
    ROTATED_PLAN.experiment(
        "filvm-mnist-r",
        "FILVM on rotated digits: digit and rotation (Figures 8 and 11)",
        ROTATED,
    ),
    ROTATED_PLAN.experiment(
        "filvm-mnist-r-report",
        "FILVM on rotated digits, the report's own recipe (Figures 8 and 11)",
        ROTATED_REPORT,
    ),
    SEQUENCE_PLAN.experiment(
        "filvm-sequences",
        "FILVM on sequences: start, step and length (Figures 9, 12, B4)",
        SEQUENCES,
    ),
    SEQUENCE_PLAN.experiment(
        "filvm-sequences-start-step",
        "FILVM on sequences: start and step alone, as the report's (Figures 9, 12)",
        START_STEP,
        task="sequences-start-step",
    ),
    SEQUENCE_PLAN.experiment(
        "filvm-sequences-report",
        "FILVM on sequences, the report's own recipe (Figures 9, 12, B4)",
        SEQUENCES_REPORT,
        task="sequences-start-step",
    ),
)
INVERTIBLE_LENSES = (
    MNIST_PLAN.experiment(
        "invertible-mnist",
        "a lens with an exact inverse on MNIST: digit and thickness",
        INVERTIBLE_MNIST,
        epochs=8,
        train_limit=20_000,
    ),
    ROTATED_PLAN.experiment(
        "invertible-mnist-r",
        "a lens with an exact inverse on rotated digits: digit and rotation",
        INVERTIBLE_ROTATED,
        train_limit=5_000,
    ),
    SEQUENCE_PLAN.experiment(
        "invertible-sequences",
        "a lens with an exact inverse on sequences: start, step and length",
        INVERTIBLE_SEQUENCES,
        epochs=8,
        train_limit=20_000,
    ),
)
MORPHO_LENSES = (
    MORPHO_PLAN.experiment(
        "filvm-mnist-morpho",
        "FILVM on MNIST: thickness, area, length, slant, width and height",
        MORPHO,
    ),
)


# Planar flows fitted to densities.


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


FLOW_DENSITY = _experiment(
    "flow-density",
    "planar flows fitted to energies and samples (Figure 6)",
    profiles(
        FlowSettings(),
        quick={
            "lengths": (2, 8, 32),
            "restarts": 8,
            "steps": 1_000,
            "annealing_steps": 500,
            "other_length": 4,
            "other_restarts": 4,
            "other_annealing_steps": 500,
            "moons_lengths": (2, 8),
            "moons_restarts": 3,
            "moons_steps": 750,
            "pixels": 120,
        },
        smoke={
            "lengths": (2, 4),
            "restarts": 2,
            "steps": 20,
            "other_length": 2,
            "other_restarts": 1,
            "moons_lengths": (2,),
            "moons_restarts": 1,
            "moons_steps": 20,
            "moons_samples": 200,
            "pixels": 20,
        },
    ),
    "flow_density",
    distributable=False,
)

EXPERIMENTS = {  # in an order in which each comes after what it needs
    experiment.name: experiment
    for experiment in (
        *IMAGE_VAES,
        SEQUENCE_VAE,
        *ORACLES,
        *LENSES,
        FLOW_DENSITY,
        *INVERTIBLE_LENSES,
        *MORPHO_VAES,
        *MORPHO_LENSES,
    )
}
BEYOND = tuple(  # those that are not the report's
    experiment.name for experiment in (*INVERTIBLE_LENSES, *MORPHO_VAES, *MORPHO_LENSES)
)


# Ablations: lenses on MNIST with one thing changed, three seeds each. The VAE is the same for all;
# a seed sets the lens, the order of samples, and the choice of samples with side information.

SEEDS = (0, 1, 2)
VARIANTS = {
    "ILVM": MNIST_ILVM,
    "FILVM, the report's recipe": MNIST_REPORT,
    "FILVM, ours": MNIST,
    **{f"without {name}": without(MNIST, name) for name in AMENDMENTS},
    # The noise keeps the secondary network from learning so few digits by heart.
    "side information of 10 %": replace(MNIST, known=5_000),
    "side information of 600 digits": replace(MNIST, known=600, latent_noise=0.35),
    "side information of 100 digits": replace(MNIST, known=100, latent_noise=0.35),
}


def ablation_name(variant: str, seed: int) -> str:
    """The run of a variant: ablations/without-swap-consistency/seed-0, for one."""
    letters = "".join(c if c.isalnum() else " " for c in variant.lower())
    return f"ablations/{'-'.join(letters.split())}/seed-{seed}"


def _ablation(variant: str, seed: int) -> Experiment:
    recipe = replace(VARIANTS[variant], seed=seed)
    settings = lens_profiles(
        recipe,
        {"epochs": 6, "train_limit": 20_000, "validation": 2_000},
        {"train_limit": 384, "validation": 96, "known": min(recipe.known, 128)},
    )
    name, summary = ablation_name(variant, seed), f"{variant}, seed {seed}"
    options = {"needs": MNIST_PLAN.needs, "data": MNIST_PLAN.data}
    return _experiment(name, summary, settings, "lenses", "mnist", **options)


ABLATIONS = {
    ablation_name(variant, seed): _ablation(variant, seed) for variant in VARIANTS for seed in SEEDS
}


def find_experiment(name: str) -> Experiment:
    """The experiment or ablation of this name.

    Raises:
        RunError: no experiment has this name.
    """
    if name in ABLATIONS:
        return ABLATIONS[name]
    if name not in EXPERIMENTS:
        raise RunError(f"experiment is {name!r}; expected one of {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name]


def train_with_needs(
    name: str, workspace: Workspace, options: TrainOptions | None = None
) -> dict[str, Any]:
    """Train one experiment, after the experiments that it needs and that are not complete.

    `options` apply to the experiment itself; runs that it needs are trained with their own
    settings, and deterministically if it is. Under a strategy nothing else is trained: the workers
    would not agree on what is missing. Returns the metrics.
    """
    options = options or TrainOptions()
    experiment = find_experiment(name)
    for needed in experiment.needs if workspace.strategy is None else ():
        if workspace.run(needed).digest() is None:
            train_with_needs(needed, workspace, TrainOptions(deterministic=options.deterministic))
    return run_experiment(experiment, workspace.run(name), options)

"""Every experiment: its settings under each profile, and the runs and data it needs.

Nothing here imports TensorFlow, so `filvm list` answers at once. `settings` has the defaults,
`models` the VAEs and oracles, `plans` what experiments share, `tasks` the data sets with their
measures; `vaes`, `lenses`, `oracles` and `flow_density` train and measure.

A new data set needs its module in `filvm.data`, its task in `tasks`, and its lines here.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from filvm.experiments.ablations import AblationStudy, variants
from filvm.experiments.models import MODELS, PLAIN_SEQUENCE_VAE, VAE_16, WORD_VAE
from filvm.experiments.plans import LensPlan, experiment
from filvm.experiments.seeds import OTHER_SEEDS, seed_name, with_seed
from filvm.experiments.settings import FilvmRecipe, FlowSettings, InvertibleRecipe, as_reported
from filvm.runs.experiment import Experiment, TrainOptions, checked_settings, run_experiment
from filvm.runs.run import RunError
from filvm.runs.workspace import Workspace

# Lenses.

MNIST = FilvmRecipe(attribute_weights=(30.0, 60.0), latent_variance=0.06)
# The report tuned beta and the scaling of numbers. Here both are chosen for each data set from a
# grid, by validation data: `benchmarks/report_recipe.py`. A larger beta would empty the free
# dimensions.
MNIST_REPORT = as_reported(MNIST, beta=0.1, scaling=1.0)
MNIST_ILVM = replace(MNIST_REPORT, lens="ilvm")
ROTATED = FilvmRecipe(
    attribute_weights=(20.0, 40.0),
    # Detail of z finer than this would need digit and rotation in the free dimensions.
    latent_variance=0.25,
    swap_weight=50.0,
    independence_weight=50.0,
    steps=8_289,
    epochs=9,
    validation=1_000,  # digits, each with all its rotations
)
# With batches of 256, fewer of its requested digits are right, and it hides more of the digit.
ROTATED_REPORT = replace(as_reported(ROTATED, beta=0.03, scaling=3.0), batch_size=512)
# Weights as large as the swap weight: with 20, one seed in eight learned to swap starts before the
# head was aligned, and kept them on a falling axis.
SEQUENCES = FilvmRecipe(
    attribute_weights=(50.0, 50.0, 50.0),
    hidden_units=(256, 256, 256),
    latent_variance=0.01,
    swap_weight=50.0,
    steps=4_680,
    epochs=20,
    train_limit=60_000,  # the first sequences of the VAE's
)
START_STEP = replace(SEQUENCES, attribute_weights=(50.0, 50.0))
SEQUENCES_REPORT = as_reported(START_STEP, beta=0.03, scaling=3.0)
MORPHO = FilvmRecipe(
    attribute_weights=(3000.0,) * 6,
    hidden_units=(640, 640, 640),
    latent_variance=0.25,
    swap_weight=10.0,
    steps=3_744,
    epochs=32,
    train_limit=30_000,  # those of the VAE, too
)
INVERTIBLE = InvertibleRecipe()  # one recipe: nothing but the training differs between data sets
INVERTIBLE_ROTATED = replace(
    INVERTIBLE,
    steps=9_210,
    epochs=10,
    validation=1_000,
)
INVERTIBLE_SEQUENCES = replace(INVERTIBLE, steps=2_340, epochs=10, train_limit=60_000)
WORDS = FilvmRecipe(
    attribute_weights=(25.0, 50.0),
    latent_variance=0.01,
    swap_weight=100.0,
    steps=5_000,
    epochs=10,
)
INVERTIBLE_WORDS = replace(INVERTIBLE, steps=5_000, epochs=10)


# For the quick profile.
SHORT = {"steps": 800, "epochs": 2, "batch_size": 128, "learning_rate": 2e-3}
ON_MNIST = LensPlan(
    "mnist",
    ("vae-mnist", "oracles-mnist"),
    ("thickness",),
    quick={**SHORT, "validation": 1_000},
    smoke={"train_limit": 512, "validation": 128},
)
ON_ROTATED = LensPlan(
    "mnist-r",
    ("vae-mnist-r", "oracles-mnist-r"),
    ("mnist-r",),
    quick={**SHORT, "train_limit": 5_000, "validation": 250},
    smoke={"train_limit": 64, "validation": 16},
)
ON_SEQUENCES = LensPlan(
    "sequences",
    ("vae-sequences",),
    (),
    quick={**SHORT, "steps": 300, "train_limit": 40_000},
    smoke={"train_limit": 512},
)
ON_WORDS = LensPlan(
    "words",
    ("vae-words",),
    (),
    quick={**SHORT, "train_limit": 40_000},
    smoke={"train_limit": 512},
)
ON_SHAPES = replace(ON_MNIST, task="morpho", needs=("vae-mnist-16",), data=("morphometrics",))

LENSES = (
    ON_MNIST.experiment("ilvm-mnist", "ILVM on MNIST (Figure 7)", MNIST_ILVM),
    ON_MNIST.experiment(
        "filvm-mnist", "FILVM on MNIST: digit and thickness (Figures 7, 10, B3)", MNIST
    ),
    ON_MNIST.experiment(
        "filvm-mnist-report", "FILVM on MNIST, the report's own recipe (Figure 7)", MNIST_REPORT
    ),
    ON_ROTATED.experiment(
        "filvm-mnist-r", "FILVM on rotated digits: digit and rotation (Figures 8 and 11)", ROTATED
    ),
    ON_ROTATED.experiment(
        "filvm-mnist-r-report",
        "FILVM on rotated digits, the report's own recipe (Figures 8 and 11)",
        ROTATED_REPORT,
    ),
    ON_SEQUENCES.experiment(
        "filvm-sequences",
        "FILVM on sequences: start, step and length (Figures 9, 12, B4)",
        SEQUENCES,
    ),
    ON_SEQUENCES.experiment(
        "filvm-sequences-start-step",
        "FILVM on sequences: start and step alone, as the report's (Figures 9, 12)",
        START_STEP,
        task="sequences-start-step",
    ),
    ON_SEQUENCES.experiment(
        "filvm-sequences-report",
        "FILVM on sequences, the report's own recipe (Figures 9, 12, B4)",
        SEQUENCES_REPORT,
        task="sequences-start-step",
    ),
)

# Planar flows fitted to densities.

FLOWS = FlowSettings()
FLOW_DENSITY = experiment(
    "flow-density",
    "planar flows fitted to energies and samples (Figure 6)",
    {
        "full": FLOWS,
        "quick": FlowSettings(
            lengths=(2, 8, 32),
            restarts=4,
            steps=1_500,  # six calls of one compiled loop
            annealing_steps=750,
            other_length=4,
            other_restarts=2,
            other_annealing_steps=750,
            moons_lengths=(8,),
            moons_restarts=2,
            moons_steps=500,
            pixels=120,
        ),
        "smoke": FlowSettings(
            lengths=(2, 4),
            restarts=2,
            steps=20,
            other_length=2,
            other_restarts=1,
            moons_lengths=(2,),
            moons_restarts=1,
            moons_steps=20,
            moons_samples=200,
            pixels=20,
        ),
    },
    ("flow_density", ""),
    distributable=False,
)

# Beyond the report: lenses with an exact inverse, six attributes, and words.

BEYOND_REPORT = (
    ON_MNIST.experiment(
        "invertible-mnist",
        "a lens with an exact inverse on MNIST: digit and thickness",
        INVERTIBLE,
    ),
    ON_ROTATED.experiment(
        "invertible-mnist-r",
        "a lens with an exact inverse on rotated digits: digit and rotation",
        INVERTIBLE_ROTATED,
    ),
    ON_SEQUENCES.experiment(
        "invertible-sequences",
        "a lens with an exact inverse on sequences: start, step and length",
        INVERTIBLE_SEQUENCES,
        steps=600,
    ),
    PLAIN_SEQUENCE_VAE,
    VAE_16,
    ON_SHAPES.experiment(
        "filvm-mnist-morpho",
        "FILVM on MNIST: thickness, area, length, slant, width and height",
        MORPHO,
    ),
    WORD_VAE,
    ON_WORDS.experiment("filvm-words", "FILVM on words: language and length", WORDS),
    ON_WORDS.experiment(
        "invertible-words",
        "a lens with an exact inverse on words: language and length",
        INVERTIBLE_WORDS,
    ),
)

EXPERIMENTS = {  # in an order in which each comes after what it needs
    one.name: one for one in (*MODELS, *LENSES, FLOW_DENSITY, *BEYOND_REPORT)
}
BEYOND = tuple(one.name for one in BEYOND_REPORT)

# Ablations: three seeds of every variant, shortened: all take less than an hour on two cores.

ABLATION_STUDIES = {
    "mnist": AblationStudy(
        "MNIST",
        ON_MNIST,
        {
            "ILVM": MNIST_ILVM,
            **variants(MNIST_REPORT, MNIST, labels=True),
            # The noise keeps the secondary network from learning so few digits by heart.
            "side information of 10 %": replace(MNIST, known=5_000),
            "side information of 600 digits": replace(MNIST, known=600, latent_noise=0.35),
            "side information of 100 digits": replace(MNIST, known=100, latent_noise=0.35),
            "invertible lens": INVERTIBLE,
        },
        divisor=3,
        changes={"test_limit": 5_000},
        task="mnist-ablations",
    ),
    "mnist-r": AblationStudy(
        "MNIST-R",
        ON_ROTATED,
        variants(ROTATED_REPORT, ROTATED, labels=True),
        divisor=6,
        changes={"train_limit": 20_000, "batch_size": 256, "test_limit": 5_000},
        task="mnist-r-ablations",
    ),
    "sequences": AblationStudy(
        "sequences, start and step",
        ON_SEQUENCES,
        variants(SEQUENCES_REPORT, START_STEP, labels=False),
        divisor=3,
        changes={"test_limit": 5_000},
        task="sequences-start-step",
        samples="sequences",
    ),
}
ABLATIONS = {
    one.name: one for data, study in ABLATION_STUDIES.items() for one in study.experiments(data)
}

# The lenses that docs/beyond.md compares: data set -> the lens -> its experiment. The report's lens
# for sequences has two attributes, so it is not among them.
COMPARED = {
    **{
        data: {
            "the report's recipe": f"filvm-{data}-report",
            "FILVM": f"filvm-{data}",
            "InvertibleLens": f"invertible-{data}",
        }
        for data in ("mnist", "mnist-r")
    },
    **{
        data: {"FILVM": f"filvm-{data}", "InvertibleLens": f"invertible-{data}"}
        for data in ("sequences", "words")
    },
}
# What is trained with other seeds, too: these lenses and the others of the report, and their VAEs.
_SEEDED_LENSES = dict.fromkeys(
    [
        *(one.name for one in LENSES),
        *(name for lenses in COMPARED.values() for name in lenses.values()),
    ]
)
_SEEDED_VAES = dict.fromkeys(EXPERIMENTS[name].needs[0] for name in _SEEDED_LENSES)
SEEDED = {
    seed_name(name, seed): with_seed(EXPERIMENTS[name], seed)
    for seed in OTHER_SEEDS
    for name in (*_SEEDED_VAES, *_SEEDED_LENSES)
}


def find_experiment(name: str) -> Experiment:
    """The experiment of this name, maybe an ablation or one with another seed.

    Raises:
        RunError: no experiment has this name.
    """
    for known in (EXPERIMENTS, ABLATIONS, SEEDED):
        if name in known:
            return known[name]
    raise RunError(f"experiment is {name!r}; expected one of {', '.join(EXPERIMENTS)}")


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
    checked_settings(experiment, workspace.profile, options.overrides)
    for needed in experiment.needs if workspace.strategy is None else ():
        if workspace.run(needed).digest() is None:
            train_with_needs(needed, workspace, TrainOptions(deterministic=options.deterministic))
    return run_experiment(experiment, workspace.run(name), options)

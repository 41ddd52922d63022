"""filvm-sequences and its variants: lenses on the latents of vae-sequences (sections 5.3 and 6).

Side information is start and step, as the report's, or start, step and length, as its section 6
proposes; Figures 9, 12 and B4.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from filvm.data import Continuous
from filvm.data.sequences import TABLE_1, Sequences, sequences_to_lists
from filvm.experiments import vae_sequences
from filvm.experiments.lens import (
    LensSettings,
    Samples,
    as_reported,
    fit_lens,
    judge_codes,
    make_lens,
    profiles,
)
from filvm.runs.run import Experiment, Run

if TYPE_CHECKING:
    from filvm.analysis.manipulation import Effects

RANGES = {**TABLE_1, "final": (3, 2450)}


@dataclass(frozen=True)
class Settings(LensSettings):
    attributes: tuple[str, ...] = ("start", "step", "length")  # z*_0, z*_1 and z*_2 are theirs
    # Lambda of equation (8); 1 is the report's. As much as the swap weight: with 20, one seed in
    # eight learned to swap starts before the head had its way, and kept them on a falling axis.
    attribute_weight: float = 50.0
    hidden_units: tuple[int, ...] = (256, 256, 256)
    latent_variance: float = 0.01
    swap_weight: float = 50.0
    epochs: int = 20
    train_limit: int = 60_000  # train on the first so many sequences of the VAE's; 0: on all


START_STEP = Settings(attributes=("start", "step"))
# The report's objective: every term weighs the same, heads from random starts.
REPORT = as_reported(START_STEP, attribute_weight=1.0)
SMALLER = {"quick": {"epochs": 4, "train_limit": 12_000}, "smoke": {"train_limit": 512}}


def known_attributes(sequences: Sequences, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Attributes of sequences by name, float32 [n]."""
    return {name: getattr(sequences, name).astype(np.float32) for name in names}


def train(settings: Settings, run: Run) -> dict[str, Any]:
    """Train on the latents, save VAE and lens as one model, and measure on the test sequences."""
    model, seconds = trained_pipeline(settings, run)
    run.save_model(model)
    return {**measures(settings, run, model), "training_seconds": seconds}


def measures(settings: Settings, run: Run, model: Any) -> dict[str, Any]:
    """What `metrics.json` holds of a trained model, measured on test sequences."""
    return {"test": judge(model, test_sequences(run, settings.test_limit))}


def test_sequences(run: Run, limit: int) -> Sequences:
    """The first so many test sequences of the VAE's split."""
    return vae_sequences.splits_of(run.of("vae-sequences")).test[:limit]


def trained_pipeline(settings: Settings, run: Run) -> tuple[Any, float]:
    """VAE and lens as one model, and the seconds that training the lens took."""
    import tf_keras as keras

    from filvm.lens import LensPipeline

    sequences = vae_sequences.splits_of(run.of("vae-sequences"))
    vae = run.of("vae-sequences").model()

    def samples(part: Sequences) -> Samples:
        return vae.encode(part)[0], known_attributes(part, settings.attributes)

    chosen = sequences.train[: settings.train_limit or None]
    keras.utils.set_random_seed(settings.seed)
    lens = make_lens(
        settings,
        vae.latent_dim,
        [Continuous(name) for name in settings.attributes],
        dict.fromkeys(settings.attributes, settings.attribute_weight),
    )
    seconds = fit_lens(settings, run, lens, samples(chosen), samples(sequences.validation))
    return LensPipeline(vae, lens), seconds


def judge(model: Any, sequences: Sequences) -> dict[str, Any]:
    """All measures of z* on the given sequences, their side information withheld."""
    from filvm.analysis.correlation import spearman
    from filvm.analysis.sequences import decoded_attributes, moved_shares, sequence_errors

    names = model.lens.names
    assigned = {name: model.lens.dimension(name) for name in names}
    z = model.latents(sequences)
    z_star = model.lens.infer(z)
    every = known_attributes(sequences, tuple(RANGES))
    read = model.lens.predict_side_information(z)
    numbers, lengths = model.vae.decode(model.lens.generate(z_star))
    errors = sequence_errors(sequences, numbers, lengths)

    def attributes_of(z_star: np.ndarray) -> dict[str, np.ndarray]:
        return decoded_attributes(*model.decode(z_star))

    centre, rests = np.zeros((1, z_star.shape[1])), z_star[: max(len(z_star) // 50, 1)]
    return {
        **judge_codes(model.lens, z, known_attributes(sequences, tuple(names)), assigned),
        "spearman": {name: list(map(float, row)) for name, row in spearman(z_star, every).items()},
        "moved": moved_shares(attributes_of, RANGES, centre),
        "moved_elsewhere": moved_shares(attributes_of, RANGES, rests),
        "secondary_network_mae": {
            name: float(np.mean(np.abs(read[name] - every[name]))) for name in names
        },
        "after_the_lens": {
            "mean_absolute_error": float(errors["absolute_error"].sum() / sequences.length.sum()),
            "length_exact": float(errors["length_exact"].mean()),
        },
    }


def latents_and_attributes(
    run: Run, count: int = 10_000
) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """For Figure 9: z* of test sequences, side information withheld, and their attributes."""
    test = test_sequences(run, count)
    return run.model().encode(test), known_attributes(test, tuple(RANGES))


def effects(run: Run, low: float = -2.0, high: float = 2.0, points: int = 41) -> Effects:
    """For Figure 12: every attribute of what comes out as each dimension is swept, others 0."""
    from filvm.analysis.manipulation import sweep_every_dimension
    from filvm.analysis.sequences import decoded_attributes

    model = run.model()
    return sweep_every_dimension(
        lambda z_star: decoded_attributes(*model.decode(z_star)),
        np.linspace(low, high, points),
        RANGES,
        model.lens.latent_dim,
    )


def swept_sequences(
    run: Run, low: float = -3.0, high: float = 3.0, points: int = 10
) -> list[list[list[float]]]:
    """For Figure B4: for each dimension, the sequences it makes as it is swept, others 0."""
    from filvm.analysis.manipulation import traverse

    model = run.model()
    centre = np.zeros((1, model.lens.latent_dim), np.float32)
    return [
        sequences_to_lists(*model.decode(traverse(centre, i, np.linspace(low, high, points))[0]))
        for i in range(model.lens.latent_dim)
    ]


EXPERIMENTS = (
    Experiment(
        "filvm-sequences",
        "FILVM on sequences: start, step and length (Figures 9, 12, B4)",
        profiles(Settings(), **SMALLER),
        train,
        needs=("vae-sequences",),
    ),
    Experiment(
        "filvm-sequences-start-step",
        "FILVM on sequences: start and step alone, as the report's (Figures 9, 12)",
        profiles(START_STEP, **SMALLER),
        train,
        needs=("vae-sequences",),
    ),
    Experiment(
        "filvm-sequences-report",
        "FILVM on sequences, the report's own recipe (Figures 9, 12, B4)",
        profiles(REPORT, **SMALLER),
        train,
        needs=("vae-sequences",),
    ),
)

"""The task of toy sequences: start, step and maybe length, on the latents of vae-sequences."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from filvm.analysis.correlation import spearman
from filvm.analysis.round_trip import round_trip_report
from filvm.analysis.sequences import decoded_attributes, moved_shares, sequence_errors
from filvm.data import Continuous
from filvm.data.sequences import TABLE_1, Sequences, SequenceSplits, split_sequences
from filvm.data.side_information import Attribute
from filvm.experiments.measures import LensMetrics, Samples, code_measures
from filvm.experiments.seeds import same_seed
from filvm.experiments.settings import Recipe, SequenceVaeSettings
from filvm.lens import LensPipeline
from filvm.runs.experiment import kept_settings
from filvm.runs.run import Run
from filvm.vae import VAE

SEQUENCE_RANGES = {**TABLE_1, "final": (3, 2450)}


def sequence_splits(settings: SequenceVaeSettings) -> SequenceSplits:
    """The sequences of vae-sequences; a function of its settings."""
    return split_sequences(
        settings.sequences, settings.validation, settings.test, seed=settings.seed
    )


def trained_splits(run: Run) -> SequenceSplits:
    """The sequences that a run of vae-sequences was trained on."""
    return sequence_splits(kept_settings(run, SequenceVaeSettings()))


def sequence_attributes(sequences: Sequences, names: tuple[str, ...]) -> dict[str, np.ndarray]:
    """Attributes of sequences by name, float32 [n]."""
    return {name: getattr(sequences, name).astype(np.float32) for name in names}


@dataclass(frozen=True)
class SequenceTask:
    """Start, step and maybe length of toy sequences (sections 3.3 and 6; Figures 9, 12 and B4)."""

    names: tuple[str, ...]
    vae: str = "vae-sequences"

    @property
    def attributes(self) -> tuple[Attribute, ...]:
        return tuple(Continuous(name) for name in self.names)

    def training_samples(self, run: Run, vae: VAE, recipe: Recipe) -> tuple[Samples, Samples]:
        sequences = trained_splits(same_seed(run, self.vae))

        def samples(part: Sequences) -> Samples:
            return vae.encode(part)[0], sequence_attributes(part, self.names)

        return samples(sequences.train[: recipe.train_limit or None]), samples(sequences.validation)

    def measure(self, run: Run, model: LensPipeline, recipe: Recipe) -> LensMetrics:
        sequences = trained_splits(same_seed(run, self.vae)).test[: recipe.test_limit]
        lens = model.lens
        z = model.latents(sequences)
        z_star = lens.infer(z)
        every = sequence_attributes(sequences, tuple(SEQUENCE_RANGES))
        known = sequence_attributes(sequences, self.names)
        read = lens.predict_side_information(z)
        numbers, lengths = model.vae.decode(lens.generate(z_star))
        errors = sequence_errors(sequences, numbers, lengths)

        def decoded(z_star: np.ndarray) -> dict[str, np.ndarray]:
            return decoded_attributes(*model.decode(z_star))

        centre, rests = np.zeros((1, z_star.shape[1])), z_star[: max(len(z_star) // 50, 1)]
        total = errors["absolute_error"].sum()
        test = {
            **code_measures(lens, z, known),
            "spearman": {
                name: list(map(float, row))
                for name, row in spearman(z_star * lens.directions(), every).items()
            },
            "moved": moved_shares(decoded, SEQUENCE_RANGES, centre),
            "moved_elsewhere": moved_shares(decoded, SEQUENCE_RANGES, rests),
            "secondary_network_mae": {
                name: float(np.mean(np.abs(read[name] - every[name]))) for name in self.names
            },
            "after_the_lens": {
                "mean_absolute_error": float(total / sequences.length.sum()),
                "length_exact": float(errors["length_exact"].mean()),
            },
        }
        back = round_trip_report(model, z, known, {"start": np.roll(known["start"], 1)})
        return LensMetrics(test, run.training_seconds(), way_back=back)

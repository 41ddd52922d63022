"""How exactly a sequence VAE gives back what it was given (Figure 5, section 5.1.2)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from filvm.data.sequences import Sequences, mean_steps, median_steps

if TYPE_CHECKING:
    from filvm.models import SequenceVAE


def sequence_errors(
    sequences: Sequences, numbers: np.ndarray, lengths: np.ndarray
) -> dict[str, np.ndarray]:
    """What a reconstruction got right, sequence by sequence; every value float64 or bool, [n].

    Args:
        sequences: the true ones.
        numbers: reconstructed, [n, max_length, 1], up to the true length at least: what was
            decoded, not yet cut off at the decoded length.
        lengths: reconstructed, [n].

    Returns `absolute_error`, summed over the true length; `length_exact`; `median_step_exact` (the
    median of the reconstructed steps within the true length, rounded, is the true step) and
    `mean_step_exact`, likewise; `whole_exact`: the length and every number, after rounding.
    """
    true = sequences.numbers[:, :, 0].astype(np.float64)
    decoded = np.asarray(numbers, np.float64)[:, : true.shape[1], 0]
    inside = np.arange(true.shape[1]) < sequences.length[:, np.newaxis]
    length_exact = np.asarray(lengths) == sequences.length
    numbers_exact = np.all((np.round(decoded) == true) | ~inside, axis=1)
    steps = {
        "median_step_exact": median_steps(decoded, sequences.length),
        "mean_step_exact": mean_steps(decoded, sequences.length),
    }
    return {
        "absolute_error": np.sum(np.abs(decoded - true) * inside, axis=1),
        "length_exact": length_exact,
        **{name: np.round(step) == sequences.step for name, step in steps.items()},
        "whole_exact": length_exact & numbers_exact,
    }


def sequence_report(vae: SequenceVAE, sequences: Sequences) -> dict[str, object]:
    """Figures of a sequence VAE on held-out sequences, through z_mean.

    Returns `mean_absolute_error` per number (all numbers of all sequences counting alike) and at
    each place, the shares of sequences that are exact as `sequence_errors` says, and the KL term
    in nats, in all and for each dimension.
    """
    z_mean, _ = vae.encode(sequences)
    numbers, logits = vae.decoder.predict(z_mean, batch_size=1024, verbose=0)
    errors = sequence_errors(sequences, numbers, np.argmax(logits, axis=1) + 1)
    total = errors.pop("absolute_error").sum()
    inside = np.arange(numbers.shape[1]) < sequences.length[:, np.newaxis]
    by_place = np.abs(numbers - vae.sequences_array(sequences))[:, :, 0]
    kl = vae.kl_per_dimension(sequences)
    return {
        "mean_absolute_error": float(total / sequences.length.sum()),
        **{name: float(exact.mean()) for name, exact in errors.items()},
        "absolute_error_by_place": [
            float(by_place[inside[:, place], place].mean())
            for place in range(int(sequences.length.max()))
        ],
        "kl": float(kl.sum()),
        "kl_per_dimension": [float(value) for value in kl],
    }

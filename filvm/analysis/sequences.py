"""Reconstruction errors of sequences, and the effect of z* on their attributes (Figures 5, 12)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from filvm.analysis.manipulation import traverse
from filvm.data.sequences import Sequences, mean_steps, median_steps

if TYPE_CHECKING:
    from filvm.vae import SequenceVAE


def sequence_errors(
    sequences: Sequences, numbers: np.ndarray, lengths: np.ndarray
) -> dict[str, np.ndarray]:
    """Compare reconstructed sequences with the true ones, sequence by sequence.

    Args:
        sequences: the true sequences.
        numbers: the output of the decoder, [n, max_length, 1], not cut off at the decoded length.
        lengths: the decoded lengths, [n].

    Returns:
        Arrays [n] by name: `absolute_error`, the sum over the true length; `length_exact`;
        `median_step_exact`, whether the rounded median of the decoded steps within the true length
        is the true step; `mean_step_exact`, the same for the mean; `whole_exact`, whether the
        length and every rounded number are exact.
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
    """Measure a sequence VAE on test sequences, with z = z_mean.

    Returns:
        `mean_absolute_error` over all numbers of all sequences; `absolute_error_by_place`; the
        shares of exact sequences, as in `sequence_errors`; `kl` and `kl_per_dimension` in nats.
    """
    z_mean, _ = vae.encode(sequences)
    numbers, logits = vae.decoder_outputs(z_mean)
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


def decoded_attributes(numbers: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
    """Return start, mean step, length and final number of decoded sequences, float64 [n] each.

    Args:
        numbers: [n, max_length, 1].
        lengths: [n], at least 1; the step is nan where the length is 1.
    """
    numbers, lengths = np.asarray(numbers, np.float64)[:, :, 0], np.asarray(lengths)
    return {
        "start": numbers[:, 0],
        "step": mean_steps(numbers, lengths),
        "length": lengths.astype(np.float64),
        "final": numbers[np.arange(len(numbers)), lengths - 1],
    }


def moved_shares(
    attributes_of: Callable[[np.ndarray], Mapping[str, np.ndarray]],
    ranges: Mapping[str, tuple[float, float]],
    rests: np.ndarray,
    *,
    low: float = -2.0,
    high: float = 2.0,
    points: int = 41,
) -> dict[str, list[float]]:
    """Return the share of each attribute's range that a sweep of each dimension covers.

    (max - min in the sweep) / (max - min of the range), averaged over the rests.

    Args:
        attributes_of: z_star [n, d] -> each attribute [n] by name.
        ranges: smallest and largest value of each attribute in the data.
        rests: the other dimensions, float [r, d]: zeros as in Figure 12, or samples.
        low: first coordinate of the sweep.
        high: last coordinate of the sweep.
        points: number of coordinates.

    Returns:
        A list of d shares for each attribute.
    """
    values = np.linspace(low, high, points)
    shares: dict[str, list[float]] = {name: [] for name in ranges}
    for dimension in range(rests.shape[1]):
        swept = traverse(rests, dimension, values)
        attributes = attributes_of(swept.reshape(-1, rests.shape[1]).astype(np.float32))
        for name, (smallest, largest) in ranges.items():
            curves = np.asarray(attributes[name]).reshape(swept.shape[:2])
            spread = np.fmax.reduce(curves, axis=1) - np.fmin.reduce(curves, axis=1)
            shares[name].append(float(np.mean(spread) / (largest - smallest)))
    return shares

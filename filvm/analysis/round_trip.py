"""How much of z is lost between z and z*, and when a change of z* is taken back.

    z -> z* -> z                            the round trip
    z -> z*, z*_j set, z* -> z, and again with z*_j as it was        a change taken back

An `InvertibleLens` loses nothing but rounding. ILVM and FILVM lose what p(z|z*) leaves out
(section 6 of the report).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from filvm.analysis.angles import angular_difference
from filvm.data.side_information import Circular

if TYPE_CHECKING:
    from filvm.lens import Lens, LensPipeline
    from filvm.vae import VAE


def changed_and_back(
    lens: Lens, z: np.ndarray, change: Mapping[str, np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """Change one attribute of samples, then set its dimensions of z* back to the first values.

    Each of the two steps goes all the way: z -> z*, set z*_j, z* -> z.

    Args:
        lens: a lens in which the attribute has a dimension of its own.
        z: float [n, d].
        change: the attribute's name -> its new values [n], in the attribute's units.

    Returns:
        z after the change, and z after the change and the way back: both float [n, d].
    """
    (name,) = change
    own = list(lens.dimensions_of(name))
    changed = lens.manipulate(z, **change)
    return changed, lens.set_dimension(changed, own, lens.infer(z)[:, own])


def round_trip_report(
    model: LensPipeline,
    z: np.ndarray,
    side_information: Mapping[str, np.ndarray],
    change: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """Read the attributes off z*, and measure what round trip and change leave different.

    Args:
        model: VAE and lens.
        z: latents of test samples, float [n, d].
        side_information: the true values of the attributes [n], by name.
        change: as in `changed_and_back`.

    Returns:
        `heads`: accuracy of each label, mean absolute error of each number or angle, as the heads
        read them off z*. `round_trip` and `latents`: the largest difference of z after
        z -> z* -> z, and after the change and the way back, in standard deviations of z.
        `observed`: the largest difference in an observation (pixels in [0, 1], or numbers of a
        sequence; 1 for a text that differs) after the change and the way back: the `largest` and
        the `mean` over the samples.
    """
    lens = model.lens
    z_star = lens.infer(z)
    read = lens.read(z_star)
    _, back = changed_and_back(lens, z, change)
    scale = lens.latent_scale.numpy()
    first, last = observations(model.vae, z), observations(model.vae, back)
    difference = first != last if first.dtype.kind == "U" else np.abs(last - first)
    largest = difference.reshape(len(z), -1).max(axis=1)
    return {
        "heads": {
            name: float(
                np.mean(read[name] == values)
                if read[name].dtype.kind in "iU"
                else np.nanmean(_differences(lens, name, read[name], values))
            )
            for name, values in side_information.items()
        },
        "round_trip": float(np.abs((lens.generate(z_star) - z) / scale).max()),
        "latents": float(np.abs((back - z) / scale).max()),
        "observed": {"largest": float(largest.max()), "mean": float(largest.mean())},
    }


def _differences(lens: Lens, name: str, read: np.ndarray, values: np.ndarray) -> np.ndarray:
    attribute = lens.attributes[lens.names.index(name)]
    if isinstance(attribute, Circular):
        return angular_difference(read, values, attribute.period)
    return np.abs(read - values)


def observations(vae: VAE, z: np.ndarray) -> np.ndarray:
    """Decode latents [n, d] to images, texts, or the numbers of sequences without their lengths."""
    decoded = vae.decode(z)
    return np.asarray(decoded[0] if isinstance(decoded, tuple) else decoded)

"""From finished runs to the arrays that the report's figures draw.

Every function takes a workspace; those that serve several lenses take the experiment's name too.
Models come from `workspace.run(name).model()`, test samples from `filvm.data`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import ndtri

from filvm.analysis.correlation import spearman
from filvm.analysis.manipulation import (
    Effects,
    Measure,
    plane,
    sweep_every_dimension,
    traverse,
)
from filvm.analysis.oracles import predict_digit, predict_rotation
from filvm.analysis.round_trip import changed_and_back, observations
from filvm.analysis.sequences import decoded_attributes
from filvm.data import (
    MORPHOMETRICS,
    Mnist,
    RotatedMnist,
    Sequences,
    load_morphometrics,
    load_rotated_mnist,
    load_thickness,
    measure_shapes,
    sequences_to_lists,
    stroke_thickness,
    to_float,
)
from filvm.experiments.digits import ASKED_ANGLES, SWEEP
from filvm.experiments.sequences import SEQUENCE_RANGES, sequence_attributes, trained_splits
from filvm.figures.latent_space import Cloud
from filvm.files import read_npz
from filvm.runs.run import Run
from filvm.runs.workspace import Workspace

UNITS = dict(zip(MORPHOMETRICS, ("px", "px²", "px", "degrees", "px", "px"), strict=True))

Arrays = dict[str, np.ndarray]


# Test samples. `run.mnist()` refuses digits that the run was not made from.


def mnist_with_thickness(workspace: Workspace) -> tuple[Mnist, np.ndarray]:
    """MNIST as filvm-mnist was made from it, and the test digits' stroke thickness, px [n]."""
    digits = workspace.run("filvm-mnist").mnist()
    return digits, load_thickness(digits, workspace.derived).test


def rotated_digits(workspace: Workspace) -> RotatedMnist:
    """MNIST-R as vae-mnist-r was made from it."""
    return load_rotated_mnist(workspace.run("vae-mnist-r").mnist(), workspace.derived)


def first_of_each_digit(labels: np.ndarray) -> list[int]:
    """Rows of the first sample of every digit, 0 to 9."""
    return [int(np.flatnonzero(labels == digit)[0]) for digit in range(10)]


# Figures 3, 4 and 5: samples and their reconstructions.


def reconstructed_digits(workspace: Workspace) -> tuple[np.ndarray, np.ndarray]:
    """Figure 3: a test digit of each class and its reconstruction, float [10, 28, 28, 1]."""
    run = workspace.run("vae-mnist")
    digits = run.mnist()
    images = to_float(digits.test_images[first_of_each_digit(digits.test_labels)])
    return images, run.model().reconstruct(images)


def reconstructed_rotated_digits(workspace: Workspace) -> tuple[np.ndarray, np.ndarray]:
    """Figure 4: a rotated test digit of each class and its reconstruction, [10, 28, 28, 1]."""
    rotated = rotated_digits(workspace)
    images = to_float(rotated.test_images[first_of_each_digit(rotated.test_labels)])
    return images, workspace.run("vae-mnist-r").model().reconstruct(images)


def reconstructed_sequences(workspace: Workspace) -> tuple[Sequences, np.ndarray, np.ndarray]:
    """Figure 5: four test sequences, and the numbers [4, max_length, 1] and lengths [4] predicted.

    The first test sequences whose lengths are nearest to those that the report shows.
    """
    test = trained_splits(workspace.run("vae-sequences")).test
    chosen = [int(np.argmin(np.abs(test.length - length))) for length in (20, 24, 7, 13)]
    model = workspace.run("vae-sequences").model()
    return test[np.array(chosen)], *model.reconstruct(test[np.array(chosen)])


# Figure 6: densities.


def densities(workspace: Workspace) -> Arrays:
    """Figure 6: fits by "target length", targets by name, each [pixels, pixels]; moons samples."""
    return read_npz(workspace.run("flow-density").folder / "densities.npz")


# Figures 7, 8 and 9: test samples in two dimensions of z*.


def mnist_clouds(workspace: Workspace, titles: dict[str, str]) -> tuple[list[Cloud], Arrays]:
    """Figure 7: z* of the test digits, a cloud for each experiment of `titles`; their factors."""
    digits, thickness = mnist_with_thickness(workspace)
    factors = {"digit": digits.test_labels, "thickness": thickness}
    return _image_clouds(workspace, titles, digits.test_images, factors), factors


def rotated_clouds(workspace: Workspace, titles: dict[str, str]) -> tuple[list[Cloud], Arrays]:
    """Figure 8: z* of rotated test digits, a cloud for each experiment; their factors."""
    rotated = rotated_digits(workspace)
    rows = rotated.one_test_rotation_each(10_000)
    factors = {"digit": rotated.test_labels[rows], "rotation": rotated.test_angles[rows]}
    return _image_clouds(workspace, titles, rotated.test_images[rows], factors), factors


def _upright_codes(
    workspace: Workspace, titles: dict[str, str], x: Any
) -> Iterator[tuple[str, Run, np.ndarray, np.ndarray]]:
    """(title, run, directions [d], z* [n, d]) of observations for every lens, all on one VAE.

    Each number rises along its axis: z* is multiplied by the lens's `directions`.
    """
    z = workspace.run(next(iter(titles))).model().latents(x)
    for name, title in titles.items():
        run = workspace.run(name)
        lens = run.model().lens
        directions = lens.directions()
        yield title, run, directions, lens.infer(z) * directions


def _image_clouds(
    workspace: Workspace, titles: dict[str, str], images: np.ndarray, factors: Arrays
) -> list[Cloud]:
    """Images in two dimensions of z*: the two that belong to the factors (a label, a number).

    Of a lens without such dimensions (ILVM), the ones that its metrics name are taken: the most
    informative ones. Each number rises along its axis.
    """
    clouds = []
    label, number = factors
    for title, run, directions, z_star in _upright_codes(workspace, titles, to_float(images)):
        lens, measured = run.model().lens, run.metrics()["test"]["codes"]
        if lens.heads[0].dimension is not None:
            chosen = ""
            x, y = (lens.dimension(factor) for factor in factors)
        else:
            chosen = " (most informative)"
            x, y = (measured["assigned"][factor] for factor in factors)
        alignment = measured["alignment"]
        notes = [
            f"{label} read from z*[{x}]: {alignment[label]['accuracy']:.3f}",
            f"Spearman with {_axis_name(directions, y)}: "
            f"{alignment[number]['spearman'] * directions[y]:.2f}",
        ]
        labels = [f"{_axis_name(directions, i)}{chosen}" for i in (x, y)]
        clouds.append(Cloud(title, z_star[:, x], z_star[:, y], *labels, notes))
    return clouds


def sequence_clouds(workspace: Workspace, titles: dict[str, str]) -> tuple[list[Cloud], Arrays]:
    """Figure 9: z*[0] and z*[1] of test sequences for each experiment, z*[2] and z*[3] of the last.

    The notes are Spearman's correlations of both dimensions with each attribute; in the last row
    also R^2 of each owned attribute, as strong readers predict it from all dimensions but its own:
    two dimensions together may hold what neither is correlated with.
    """
    test = trained_splits(workspace.run("vae-sequences")).test[:10_000]
    attributes = sequence_attributes(test, tuple(SEQUENCE_RANGES))
    codes = list(_upright_codes(workspace, titles, test))
    clouds = [
        _sequence_cloud(title, z_star, (0, 1), attributes, directions)
        for title, _, directions, z_star in codes
    ]
    _, run, directions, z_star = codes[-1]
    last = _sequence_cloud("the same", z_star, (2, 3), attributes, directions)
    leakage = run.metrics()["test"]["codes"]["leakage"]
    notes = [
        f"{note}\n$R^2$ without its own z*: {leakage[name]['r2']:.2f}" if name in leakage else note
        for name, note in zip(attributes, last.notes, strict=True)
    ]
    return [*clouds, replace(last, notes=notes)], attributes


def _axis_name(directions: np.ndarray, dimension: int) -> str:
    """Of an axis that is drawn in the direction in which its number rises."""
    return f"z*[{dimension}]" if directions[dimension] > 0 else f"−z*[{dimension}]"


def _sequence_cloud(
    title: str,
    z_star: np.ndarray,
    shown: tuple[int, int],
    attributes: Arrays,
    directions: np.ndarray,
) -> Cloud:
    rho = spearman(z_star[:, shown], attributes).values()
    # Adding 0 takes the sign from a zero of two decimals.
    pairs = [(round(x, 2) + 0.0, round(y, 2) + 0.0) for x, y in rho]
    notes = [f"$\\rho_x = {x:.2f}$   $\\rho_y = {y:.2f}$" for x, y in pairs]
    names = (_axis_name(directions, i) for i in shown)
    return Cloud(title, *z_star[:, shown].T, *names, notes)


# Figures 10, 11 and B3: digits generated on a grid of two dimensions of z*.


def thickness_grid(workspace: Workspace, name: str) -> Arrays:
    """Figure 10: every digit at each value of `SWEEP` of z*[1]; fields of `figures.Grid`.

    The rows go upwards in the direction in which thickness rises.
    """
    oracle = workspace.run("oracles-mnist").model()
    model = workspace.run(name).model()
    values = SWEEP * model.lens.directions()[1]
    return _grid(model, values, stroke_thickness, partial(predict_digit, oracle))


def rotation_grid(workspace: Workspace, name: str) -> Arrays:
    """Figure 11: every digit at each of `ASKED_ANGLES`, which rise upwards; fields of `Grid`."""
    oracle = workspace.run("oracles-mnist-r").model()
    model = workspace.run(name).model()
    values = model.lens.coordinate("rotation", ASKED_ANGLES)
    return _grid(model, values, partial(predict_rotation, oracle), partial(predict_digit, oracle))


def _grid(model: Any, y_values: np.ndarray, measure: Measure, read_digit: Measure) -> Arrays:
    """Every digit at every value of z*[1], all other dimensions 0.

    Returns:
        `images` [rows, 10, height, width], `y_values` [rows], and the oracles' readings of the
        images: `measured` and `digits`, [rows, 10].
    """
    places = model.lens.coordinate("digit", np.arange(10))
    points = plane(model.lens.latent_dim, places, y_values).astype(np.float32)
    images = model.decode(points.reshape(-1, points.shape[-1]))
    shape = points.shape[:2]
    return {
        "images": images.reshape(*shape, *images.shape[1:3]),
        "y_values": y_values,
        "measured": np.asarray(measure(images)).reshape(shape),
        "digits": np.asarray(read_digit(images)).reshape(shape),
    }


def latent_map(workspace: Workspace, name: str, size: int = 20) -> Arrays:
    """Figure B3: digits over z*[0] and z*[1]; fields of `figures.LatentMap`.

    The columns are at the prior's quantiles (k + 1/2) / size: with 20, each digit whose classes are
    in order has two, and none lies on a border of classes. The rows run from -3 to 3, upwards in
    the direction in which thickness rises.
    """
    model = workspace.run(name).model()
    x_values = ndtri((np.arange(size) + 0.5) / size)
    y_values = np.linspace(-3, 3, size) * model.lens.directions()[1]
    points = plane(model.lens.latent_dim, x_values, y_values)
    images = model.decode(points.reshape(size * size, -1))
    images = images.reshape(size, size, *images.shape[1:3])
    return {"images": images, "x_values": x_values, "y_values": y_values}


# Figures 12 and B4: sequences generated while one dimension of z* is swept.


def effects(workspace: Workspace, name: str, points: int = 41) -> Effects:
    """Figure 12: all attributes while each dimension runs from -2 to 2, the others 0.

    The attributes are in the report's order.
    """
    model = workspace.run(name).model()
    return sweep_every_dimension(
        lambda z_star: decoded_attributes(*model.decode(z_star)),
        np.linspace(-2.0, 2.0, points),
        {
            attribute: SEQUENCE_RANGES[attribute]
            for attribute in ("start", "final", "step", "length")
        },
        model.lens.latent_dim,
    )


def swept_sequences(workspace: Workspace, name: str, points: int = 10) -> list[list[list[float]]]:
    """Figure B4: for each dimension, the sequences while it runs from -3 to 3, the others 0."""
    model, values = workspace.run(name).model(), np.linspace(-3.0, 3.0, points)
    centre = np.zeros((1, model.lens.latent_dim), np.float32)
    return [
        sequences_to_lists(*model.decode(traverse(centre, i, values)[0]))
        for i in range(model.lens.latent_dim)
    ]


# Beyond the report: the lens with an inverse, and six attributes.


def undone_examples(workspace: Workspace, digit: int = 3) -> Arrays:
    """Test digits, one of each class, changed into `digit` and back by both lenses.

    Returns:
        Rows of images by their title, float [10, 28, 28, 1]: the VAE's reconstruction, then for
        each lens the changed digit, the digit changed back, and the pixels' absolute difference.
    """
    digits = workspace.run("invertible-mnist").mnist()
    images = to_float(digits.test_images[first_of_each_digit(digits.test_labels)])
    model = workspace.run("invertible-mnist").model()
    models = {"FILVM": workspace.run("filvm-mnist").model(), "invertible": model}
    z = model.latents(images)
    rows = {"x → z → x": observations(model.vae, z)}
    for name, of in models.items():
        changed, back = (
            observations(of.vae, latents)
            for latents in changed_and_back(of.lens, z, {"digit": np.full(10, digit)})
        )
        rows[f"{name}: as a {digit}"] = changed
        rows[f"{name}: and back"] = back
        rows[f"{name}: lost"] = np.abs(back - rows["x → z → x"])
    return rows


def traversals(workspace: Workspace, sample: int = 0, steps: int = 9) -> dict[str, Arrays]:
    """One test digit with each attribute set from its 1st to its 99th percentile.

    The other five attributes follow by linear regression over the training digits, for no digit
    has a thicker stroke of the same length and area.

    Returns:
        By attribute: `asked` [steps], `images` [steps, height, width], and `measured` [steps] on
        these images.
    """
    run = workspace.run("filvm-mnist-morpho")
    digits = run.mnist()
    known, known_test = load_morphometrics(digits, workspace.derived)
    table = pd.DataFrame(known)
    slopes = table.cov() / table.var()  # slopes.loc[other, name]: of other upon name
    own = pd.Series({name: values[sample] for name, values in known_test.items()})
    image = to_float(digits.test_images[[sample] * steps])
    found = {}
    for name, values in known.items():
        asked = np.linspace(*np.nanpercentile(values, [1, 99]), steps)
        all_asked = own.to_numpy() + np.outer(asked - own[name], slopes[name])
        images = run.model().manipulate(image, **dict(zip(known, all_asked.T, strict=True)))
        found[name] = {
            "asked": asked,
            "images": images[..., 0],
            "measured": measure_shapes(images, (name,), num_workers=1)[name],
        }
    return found

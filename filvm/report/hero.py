"""From finished runs to the moving picture of the README, hero.gif."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from filvm.data import stroke_thickness, to_float
from filvm.figures.hero import Frame, save_frames
from filvm.files import replacing
from filvm.report.registry import sample_note
from filvm.runs.workspace import Workspace

NEEDS = ("filvm-mnist", "filvm-mnist-r")
DIGITS = (2, 3, 4, 5, 7)
STEPS = 30  # frames of a sweep there and back
THICKNESS = (1.8, 5.2)  # pixels
ROTATION = (-75.0, 75.0)  # degrees


def draw_hero(workspace: Workspace, path: Path) -> None:
    """Write hero.gif: test digits made thinner and thicker, changed into others, and turned.

    Raises:
        RunError: a run of `NEEDS` is missing or outdated.
    """
    for name in NEEDS:
        workspace.run(name).check_done()
    note = sample_note(workspace, NEEDS)
    with replacing(path) as temporary:
        save_frames(
            [*_thickness(workspace), *_digit(workspace), *_rotation(workspace)], temporary, note
        )


def _there_and_back(low: float, high: float, start: float) -> np.ndarray:
    """Values from `start` up to `high`, down to `low` and back, [STEPS]."""
    wave = np.sin(np.linspace(0.0, 2 * np.pi, STEPS, endpoint=False))
    return start + np.where(wave > 0, wave * (high - start), wave * (start - low))


def _changed(model: Any, images: np.ndarray, name: str, values: np.ndarray) -> np.ndarray:
    """The images with an attribute at each of its values: [values, n, height, width]."""
    repeated = np.tile(images, [len(values), 1, 1, 1])
    changed = model.manipulate(repeated, **{name: np.repeat(values, len(images))})
    return changed.reshape(len(values), len(images), *images.shape[1:3])


def _mnist(workspace: Workspace) -> tuple[Any, np.ndarray]:
    digits = workspace.mnist()
    rows = [int(np.flatnonzero(digits.test_labels == digit)[0]) for digit in DIGITS]
    return workspace.run("filvm-mnist").model(), to_float(digits.test_images[rows])


def _thickness(workspace: Workspace) -> list[Frame]:
    model, images = _mnist(workspace)
    low, high = THICKNESS
    values = _there_and_back(low, high, 2.6)
    changed = _changed(model, images, "thickness", values)
    measured = stroke_thickness(changed.reshape(-1, *changed.shape[2:]), num_workers=1)
    measured = measured.reshape(changed.shape[:2]).mean(axis=1)
    return [
        Frame(
            images[..., 0],
            changed[i],
            "thickness",
            f"asked {values[i]:.1f} px, measured {measured[i]:.1f} px on average",
            (values[i] - low) / (high - low),
            (f"{low:g}", f"{high:g}"),
        )
        for i in range(len(values))
    ]


def _digit(workspace: Workspace) -> list[Frame]:
    model, images = _mnist(workspace)
    values = np.arange(10)
    changed = _changed(model, images, "digit", values)
    return [
        Frame(images[..., 0], changed[i], "digit", f"{i}", i / 9, ("0", "9"), seconds=0.5)
        for i in values
    ]


def _rotation(workspace: Workspace) -> list[Frame]:
    model, rotated = workspace.run("filvm-mnist-r").model(), workspace.rotated_mnist()
    rows = rotated.one_test_rotation_each(2_000)
    upright = np.abs(rotated.test_angles[rows]) < 20
    chosen = [rows[upright & (rotated.test_labels[rows] == digit)][0] for digit in DIGITS]
    images = to_float(rotated.test_images[chosen])
    low, high = ROTATION
    values = _there_and_back(low, high, 0.0)
    changed = _changed(model, images, "rotation", values)
    return [
        Frame(
            images[..., 0],
            changed[i],
            "rotation",
            f"{values[i]:+.0f}°",
            (high - values[i]) / (high - low),
            (f"{high:+g}°", f"{low:+g}°"),
        )
        for i in range(len(values))
    ]

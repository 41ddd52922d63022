"""Figures 1 and 2: the graphical models of VAE, ILVM and FILVM, with the models' own sizes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch

from filvm.figures.architectures import EDGE, TITLE, TITLE_SIZE, Place, panels_in_inches

RADIUS = 0.4  # inches


@dataclass(frozen=True)
class Circles:
    """A graphical model: variables at places (inches), their dependences, and the plate.

    Attributes:
        places: name -> (x, y).
        sizes: name -> shape; a variable without a size is a parameter and stands outside the plate.
        observed: the variables drawn grey.
        generative, recognition: edges (from, to), drawn solid and dashed.
        z_star: the parts of z*; recognition leads to all of them together.
    """

    places: dict[str, Place]
    sizes: dict[str, str]
    observed: frozenset[str]
    generative: list[tuple[str, str]]
    recognition: list[tuple[str, str]]
    z_star: tuple[str, ...] = ()


def vae_circles(vae: Any) -> Circles:
    """Figure 1: the decoder generates x from z, the encoder infers z from x."""
    return Circles(
        places={"z": (0, 1.5), "x": (0, 0), "θ": (-1.5, 0.75), "φ": (1.5, 0.75)},
        sizes={"z": str(vae.latent_dim), "x": _size_of(vae.encoder.input_shape)},
        observed=frozenset("x"),
        generative=[("θ", "z"), ("θ", "x"), ("z", "x")],
        recognition=[("φ", "z"), ("x", "z")],
    )


def lens_circles(vae: Any, lens: Any) -> Circles:
    """Figure 2: an attribute is generated from the part of z* that is its head's input."""
    owned = sorted({head.dimension for head in lens.heads} - {None})
    z_star = {f"z*[{j}]": "1" for j in owned}
    if rest := lens.latent_dim - len(owned):
        z_star["other z*" if owned else "z*"] = str(rest)
    names = [name.replace("_", "\n") for name in lens.names]
    generative = [(star, "z") for star in z_star] + [("z", "x"), ("θ", "z")]
    for name, head in zip(names, lens.heads, strict=True):
        seen = z_star if head.dimension is None else [f"z*[{head.dimension}]"]
        generative += [(star, name) for star in seen] + [("ψ", name)]
    places = {name: (1.5 + 1.1 * k, 1.5) for k, name in enumerate(names)}
    places |= {
        star: (1.3 + 1.1 * (k - (len(z_star) - 1) / 2), 3.2) for k, star in enumerate(z_star)
    }
    places |= {"z": (0, 1.5), "x": (0, 0), "θ": (-1.4, 1.5), "φ": (-1.4, 3.2)}
    places["ψ"] = (1.5 + 1.1 * (len(names) - 1) / 2, -0.95)
    sizes = {"z": str(vae.latent_dim), "x": _size_of(vae.encoder.input_shape), **z_star}
    sizes |= {name: str(head.units) for name, head in zip(names, lens.heads, strict=True)}
    inputs = [name.replace("_", "\n") for name in lens.recognition.input_names]
    return Circles(
        places,
        sizes,
        frozenset(["x", *names]),
        generative,
        [(name, "z*") for name in [*inputs, "φ"]],
        tuple(z_star),
    )


def _size_of(shape: Sequence[int | None]) -> str:
    return "×".join(str(size) for size in shape[1:])


def graphical_model_figure(models: dict[str, Circles]) -> Figure:
    """Draw graphical models side by side.

    Solid arrows are the generative model, dashed arrows the recognition model, grey variables are
    observed. The plate stands for the N samples; the numbers are sizes.
    """
    boxes = [_extent(circles) for circles in models.values()]
    height = max(top - bottom for _, _, bottom, top in boxes)
    widths = [right - left for left, right, _, _ in boxes]
    figure, panels = panels_in_inches(widths, height + TITLE, below=0.3)
    for axes, (title, circles), box in zip(panels, models.items(), boxes, strict=True):
        left, right, bottom, _ = box
        top = bottom + height
        axes.set(xlim=(left, right), ylim=(bottom, top + TITLE), aspect="equal")
        axes.text(
            (left + right) / 2,
            top + TITLE / 2,
            title,
            fontsize=TITLE_SIZE,
            ha="center",
            va="center",
        )
        _draw_circles(axes, circles)
    handles = [
        Line2D([], [], color=EDGE, linestyle=style, label=label)
        for style, label in (("-", "generative model"), ("--", "recognition model"))
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    return figure


def _extent(circles: Circles) -> tuple[float, float, float, float]:
    xs, ys = zip(*circles.places.values(), strict=True)
    margin = RADIUS + 0.35
    low = min(min(ys) - 0.2, circles.places["x"][1] - margin)
    return min(xs) - margin, max(xs) + margin, low, max(ys) + margin


def _draw_circles(axes: Axes, circles: Circles) -> None:
    _frame(axes, [circles.places[name] for name in circles.sizes], RADIUS + 0.22, "-")
    xs, ys = zip(*(circles.places[name] for name in circles.sizes), strict=True)
    corner = (max(xs) + RADIUS + 0.14, min(ys) - RADIUS - 0.14)
    axes.text(*corner, "N", fontsize=9, ha="right", va="bottom", style="italic")
    group = [circles.places[name] for name in circles.z_star]
    if len(group) > 1:
        _frame(axes, group, RADIUS + 0.09, ":")
    frame = RADIUS + 0.09 if len(group) > 1 else RADIUS

    def radius(name: str) -> float:
        return RADIUS if name in circles.sizes else 0.14

    for a, b in circles.generative:
        _edge(axes, circles.places[a], circles.places[b], radius(a), RADIUS, "-")
    for a, b in circles.recognition:
        start, bend = circles.places[a], 0.3 if a in circles.sizes else 0.0
        if len(group) < 2:
            end = circles.places.get(b) or group[0]
            _edge(axes, start, end, radius(a), RADIUS, "--", bend)
        elif start[1] == group[0][1]:
            end = (group[0][0] - frame, start[1])
            _edge(axes, start, end, radius(a), 0, "--")
        else:
            end = (min(max(start[0] + 0.3, group[0][0]), group[-1][0]), group[0][1] - frame)
            _edge(axes, start, end, radius(a), 0, "--", 0.2)
    for name, (x, y) in circles.places.items():
        colour = "#d0d0d0" if name in circles.observed else "white"
        if name in circles.sizes:
            axes.add_patch(Circle((x, y), RADIUS, facecolor=colour, edgecolor=EDGE, gid=name))
            axes.text(x, y + 0.07, name, fontsize=9, ha="center", va="center")
            axes.text(x, y - 0.19, circles.sizes[name], fontsize=7.5, ha="center", va="center")
        else:
            axes.text(x, y, name, fontsize=12, ha="center", va="center")


def _frame(axes: Axes, centres: Sequence[Place], margin: float, style: str) -> None:
    xs, ys = zip(*centres, strict=True)
    axes.add_patch(
        FancyBboxPatch(
            (min(xs) - margin, min(ys) - margin),
            max(xs) - min(xs) + 2 * margin,
            max(ys) - min(ys) + 2 * margin,
            boxstyle="round,pad=0,rounding_size=0.1",
            facecolor="none",
            edgecolor="#888888",
            linestyle=style,
            linewidth=0.9,
        )
    )


def _edge(
    axes: Axes, start: Place, end: Place, away: float, short: float, style: str, bend: float = 0.0
) -> None:
    """An arrow between two circles of the given radii, bent to a side."""
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            connectionstyle=f"arc3,rad={bend}",
            mutation_scale=9,
            color=EDGE,
            linestyle=style,
            linewidth=1.0,
            shrinkA=72 * away,
            shrinkB=72 * short,
            zorder=0.5,
        )
    )

"""Figures 1, 2 and A1-A8: the models, drawn from their own layers, shapes and connections.

A `Diagram` is read off a functional Keras model and laid out in rows: a layer stands one row below
the lowest of those it is fed by. What a model does outside its layers, such as drawing a sample or
feeding an output back, is added by the function that draws it.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from matplotlib.textpath import TextPath

TITLE_SIZE, NAME_SIZE, TEXT_SIZE = 10, 8.5, 7.5  # points
BOX_HEIGHT, ROW_HEIGHT, GAP = 0.5, 0.8, 0.14  # inches
TITLE = 0.36  # inches, as the others
COLOURS = {"input": "#d6e6f4", "layer": "#f4f4f4", "output": "#fde2c5", "formula": "#ffffff"}
EDGE = "#444444"
Place = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """One layer: its name, what it does (type, activation), and the shape of what it gives.

    `kind` is "input", "layer", "output", or "formula" for what is no layer of a network.
    """

    name: str
    action: str
    shape: str
    kind: str = "layer"


@dataclass
class Diagram:
    """The boxes of a model by name, and which feeds which; `feedback` goes to the next step."""

    boxes: dict[str, Box]
    edges: list[tuple[str, str]]
    feedback: list[tuple[str, str, str]] = field(default_factory=list)  # from, to, label

    def append(self, box: Box, *fed_by: str) -> None:
        """Add what happens to the outputs named."""
        self.boxes[box.name] = box
        self.edges += [(name, box.name) for name in fed_by]

    def rows(self) -> list[list[str]]:
        """The names, row by row from above; inputs right above what first uses them."""
        feeds = {name: [a for a, b in self.edges if b == name] for name in self.boxes}
        uses = {name: [b for a, b in self.edges if a == name] for name in self.boxes}
        depth: dict[str, int] = {}
        while len(depth) < len(self.boxes):
            for name in self.boxes:
                if name not in depth and all(a in depth for a in feeds[name]):
                    depth[name] = max((depth[a] + 1 for a in feeds[name]), default=0)
        for name in self.boxes:
            if not feeds[name] and uses[name]:
                depth[name] = min(depth[b] for b in uses[name]) - 1
        return [
            [name for name in self.boxes if depth[name] == row]
            for row in range(max(depth.values()) + 1)
        ]


def model_diagram(model: Any) -> Diagram:
    """The layers of a functional Keras model, as it has them."""
    inside = {layer.name for layer in model.layers}
    boxes, edges = {}, []
    for layer in model.layers:
        kind = "layer"
        if type(layer).__name__ == "InputLayer":
            kind = "input"
        elif layer.name in model.output_names:
            kind = "output"
        boxes[layer.name] = Box(layer.name, describe(layer), shapes(layer.output_shape), kind)
        for node in layer.inbound_nodes:
            parents = [parent.layer.name for parent in node.parent_nodes]
            if inside.issuperset(parents):  # a layer may be used by another model too
                edges += [(name, layer.name) for name in dict.fromkeys(parents)]
    return Diagram(boxes, edges)


def describe(layer: Any) -> str:
    """Type of a layer, what sets it apart, and its activation if it is of the kind to have one."""
    kind = type(layer).__name__
    if kind == "InputLayer":
        return "input"
    parts = [kind]
    if hasattr(layer, "kernel_size"):
        kernel = "×".join(map(str, layer.kernel_size))
        parts = [f"{kind} {kernel}, stride {layer.strides[0]}"]
    if hasattr(layer, "dimension"):  # a linear head of a lens
        of = "all z*" if layer.dimension is None else f"z*[{layer.dimension}]"
        parts = [f"{kind} of {of}"]
    if hasattr(layer, "activation"):
        parts.append(layer.activation.__name__)
    return ", ".join(parts)


def shapes(shape: Any) -> str:
    """A Keras output shape, ? for the batch: "(?, 8)"; "2 × (?, 8)" of a layer that gives two."""
    if isinstance(shape, list) or (shape and isinstance(shape[0], (list, tuple))):
        each = Counter(map(shapes, shape))
        return ", ".join(one if n == 1 else f"{n} × {one}" for one, n in each.items())
    return f"({', '.join('?' if size is None else str(size) for size in shape)})"


# What each figure shows.


def vae_diagrams(vae: Any) -> dict[str, Diagram]:
    """Figure A1: encoder, with the draw of z, and decoder."""
    encoder = model_diagram(vae.encoder)
    encoder.append(
        Box("z", "draw of N(z_mean, exp z_log_var)", f"(?, {vae.latent_dim})", "formula"),
        *vae.encoder.output_names,
    )
    return {"Encoder": encoder, "Decoder": model_diagram(vae.decoder)}


def sequence_diagrams(vae: Any) -> dict[str, Diagram]:
    """Figures A2, A3 and A4: encoder, what makes one number and its context, length network."""
    decoder = vae.decoder
    cell = model_diagram(decoder.get_layer("autoregression").cell)
    context = model_diagram(decoder)
    kept = ["z"]  # what leads from z to the context the cell is given at every step
    while "context" not in kept:
        kept += [b for a, b in context.edges if a == kept[-1] and b != "length_decoder"]
    for name in kept[:-1]:
        cell.boxes = {name: context.boxes[name], **cell.boxes}
    cell.boxes["context"] = context.boxes["context"]
    cell.edges = [edge for edge in context.edges if set(edge) <= set(kept)] + cell.edges
    cell.feedback = [
        ("gru_cell", "state", "next step"),
        ("number", "previous_output", "next step"),
    ]
    return {
        "Encoder": model_diagram(vae.encoder),
        "Decoder, one step": cell,
        "Length decoder": model_diagram(decoder.get_layer("length_decoder")),
    }


def recognition_diagram(lens: Any) -> Diagram:
    """Figure A5: the recognition network, the draw of z_0, and the flows that take it to z*."""
    diagram, shape = model_diagram(lens.recognition), f"(?, {lens.latent_dim})"
    diagram.append(Box("z_0", "draw of N(mean, exp log_var)", shape, "formula"), "mean", "log_var")
    flows = f"{lens.num_flows} planar flows"
    diagram.append(Box("z_star", flows, shape, "output"), "z_0", "w", "u", "b")
    return diagram


# Drawing.


def architecture_figure(diagrams: dict[str, Diagram]) -> Figure:
    """Draw diagrams side by side, each under its name.

    Colours: blue inputs, orange outputs, grey layers, white what is no layer. A dashed arrow leads
    to the next step.
    """
    layouts = [_Layout(diagram, title) for title, diagram in diagrams.items()]
    height = max(layout.height for layout in layouts)
    figure, panels = _panels([layout.width for layout in layouts], height + TITLE)
    for axes, layout in zip(panels, layouts, strict=True):
        right = layout.left + layout.width
        axes.set(xlim=(layout.left, right), ylim=(-height, TITLE), aspect="equal")
        middle = (layout.left + right) / 2
        axes.text(middle, TITLE / 2, layout.title, fontsize=TITLE_SIZE, ha="center", va="center")
        _draw(axes, layout)
    return figure


def _panels(widths: Sequence[float], height: float, below: float = 0.0) -> tuple[Figure, Any]:
    """A figure of empty panels, an inch of axes for an inch of paper."""
    figure = Figure(figsize=(sum(widths) + 0.1, height + 0.1 + below), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    panels = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
    for axes in panels:
        axes.axis("off")
    return figure, panels


def _width(box: Box) -> float:
    """Inches a box needs for its text."""
    name = _inches(box.name, 1.08 * NAME_SIZE)  # it is bold
    return max(name, _inches(box.action, TEXT_SIZE), _inches(box.shape, TEXT_SIZE)) + 0.16


def _inches(text: str, size: float) -> float:
    return TextPath((0, 0), text, size=size).get_extents().width / 72 if text else 0.0


class _Layout:
    """Where everything of a diagram stands, in inches.

    Attributes:
        boxes: centres of the boxes by name.
        passings: centres of the gaps by which an edge passes a row: (from, to) -> places.
        loops: for every feedback, the x at which it goes up.
    """

    def __init__(self, diagram: Diagram, title: str) -> None:
        self.diagram, self.title = diagram, title
        self.widths = {name: _width(box) for name, box in diagram.boxes.items()}
        rows: list[list[Any]] = [list(row) for row in diagram.rows()]
        row_of = {name: number for number, row in enumerate(rows) for name in row}
        above: dict[Any, list[Any]] = {}
        for a, b in diagram.edges:
            before: Any = a
            for number in range(row_of[a] + 1, row_of[b]):
                passing = (a, b, number)
                rows[number].append(passing)
                above[passing] = [before]
                before = passing
            above.setdefault(b, []).append(before)
        x: dict[Any, float] = {}
        for row in rows:
            self._place(row, above, x)
        y = {item: -ROW_HEIGHT * (number + 0.5) for number, row in enumerate(rows) for item in row}
        self.boxes = {name: (x[name], y[name]) for name in diagram.boxes}
        self.passings: dict[tuple[str, str], list[Place]] = {}
        for row in rows:
            for item in row:
                if item not in self.boxes:
                    self.passings.setdefault(item[:2], []).append((x[item], y[item]))
        self.loops: list[float] = []
        for a, b, _ in diagram.feedback:
            between = [n for n in self.boxes if y[a] <= y[n] <= y[b]]
            clear = max(self.boxes[n][0] + self.widths[n] / 2 for n in between) + 0.15
            self.loops.append(max([clear, *(loop + 0.3 for loop in self.loops)]))
        self.height = ROW_HEIGHT * len(rows)
        reach = [x[n] + sign * self.widths[n] / 2 for n in self.boxes for sign in (-1, 1)]
        reach += [x[item] for row in rows for item in row] + [loop + 0.2 for loop in self.loops]
        self.width = max(max(reach) - min(reach), _inches(title, TITLE_SIZE)) + 0.24
        self.left = (min(reach) + max(reach) - self.width) / 2

    def _place(self, row: list[Any], above: dict[Any, list[Any]], x: dict[Any, float]) -> None:
        """Set `x` of a row: in the order of what feeds it, and under it."""
        wanted = dict.fromkeys(row, math.inf)  # what nothing feeds stands on the right
        for item in row:
            if item in above:
                wanted[item] = sum(x[a] for a in above[item]) / len(above[item])
        row.sort(key=wanted.__getitem__)
        left = 0.0
        for item in row:
            width = self.widths.get(item, 0.1)
            x[item] = left + width / 2
            left += width + GAP
        known = [item for item in row if item in above] or row
        shifts = [(wanted[item] if item in above else 0.0) - x[item] for item in known]
        for item in row:
            x[item] += sum(shifts) / len(shifts)


def _draw(axes: Axes, layout: _Layout) -> None:
    diagram, boxes, widths = layout.diagram, layout.boxes, layout.widths
    half = BOX_HEIGHT / 2
    for a, b in diagram.edges:
        points = [(boxes[a][0], boxes[a][1] - half)]
        for x, y in layout.passings.get((a, b), ()):
            points += [(x, y + half), (x, y - half)]
        _arrow(axes, [*points, (boxes[b][0], boxes[b][1] + half)])
    for name, (x, y) in boxes.items():
        box, width = diagram.boxes[name], widths[name]
        frame = FancyBboxPatch(
            (x - width / 2, y - half),
            width,
            BOX_HEIGHT,
            boxstyle="round,pad=0,rounding_size=0.05",
            facecolor=COLOURS[box.kind],
            edgecolor=EDGE,
            linestyle=":" if box.kind == "formula" else "-",
            linewidth=0.8,
        )
        axes.add_patch(frame)
        for text, up, size, weight in (
            (box.name, 0.14, NAME_SIZE, "bold"),
            (box.action, -0.01, TEXT_SIZE, "normal"),
            (box.shape, -0.155, TEXT_SIZE, "normal"),
        ):
            axes.text(x, y + up, text, fontsize=size, weight=weight, ha="center", va="center")
    for (a, b, label), x in zip(diagram.feedback, layout.loops, strict=True):
        start, end = (boxes[name][0] + widths[name] / 2 for name in (a, b))
        y, end_y = boxes[a][1], boxes[b][1]
        _arrow(axes, [(start, y), (x, y), (x, end_y), (end, end_y)], "--", straight=True)
        place = (x + 0.04, (y + end_y) / 2)
        axes.text(*place, label, fontsize=TEXT_SIZE, rotation=90, va="center")


def _arrow(
    axes: Axes,
    points: Sequence[tuple[float, float]],
    style: str = "-",
    *,
    straight: bool = False,
) -> None:
    """A line through the points, vertical at each or straight, with a head at the last."""
    vertices, codes = [points[0]], [Path.MOVETO]
    for (x, y), (next_x, next_y) in pairwise(points):
        if straight:
            vertices.append((next_x, next_y))
            codes.append(Path.LINETO)
            continue
        middle = (y + next_y) / 2  # a straight line where x stays
        vertices += [(x, middle), (next_x, middle), (next_x, next_y)]
        codes += [Path.CURVE4] * 3
    axes.add_patch(
        FancyArrowPatch(
            path=Path(vertices, codes),
            arrowstyle="-|>",
            mutation_scale=8,
            color=EDGE,
            linewidth=0.9,
            linestyle=style,
            shrinkA=0,
            shrinkB=0,
        )
    )


# Figures 1 and 2.


RADIUS = 0.4  # inches


@dataclass(frozen=True)
class Circles:
    """A graphical model: variables at places (inches), dependences, and the plate around some.

    Attributes:
        places: name -> (x, y).
        sizes: name -> its shape; those without one are parameters and stand outside the plate.
        observed: the variables drawn grey.
        generative, recognition: (from, to); drawn solid and dashed.
        z_star: the variables that are z* together, to which recognition leads as a whole.
    """

    places: dict[str, Place]
    sizes: dict[str, str]
    observed: frozenset[str]
    generative: list[tuple[str, str]]
    recognition: list[tuple[str, str]]
    z_star: tuple[str, ...] = ()


def vae_circles(vae: Any) -> Circles:
    """Figure 1: the decoder makes x of z, the encoder infers z from x."""
    return Circles(
        places={"z": (0, 1.5), "x": (0, 0), "θ": (-1.5, 0.75), "φ": (1.5, 0.75)},
        sizes={"z": str(vae.latent_dim), "x": _size_of(vae.encoder.input_shape)},
        observed=frozenset("x"),
        generative=[("θ", "z"), ("θ", "x"), ("z", "x")],
        recognition=[("φ", "z"), ("x", "z")],
    )


def lens_circles(vae: Any, lens: Any) -> Circles:
    """Figure 2: an attribute is generated from that part of z* which its head sees."""
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

    Solid arrows: generative model; dashed: recognition. Grey: observed. The plate stands for the N
    samples; the numbers are sizes.
    """
    boxes = [_extent(circles) for circles in models.values()]
    height = max(top - bottom for _, _, bottom, top in boxes)
    widths = [right - left for left, right, _, _ in boxes]
    figure, panels = _panels(widths, height + TITLE, below=0.3)
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
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=8, frameon=False)
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

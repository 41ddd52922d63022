"""Figures A1 to A8: networks, drawn from their layers, shapes and connections.

A `Diagram` holds the layers of a functional Keras model. It is laid out in rows: a layer stands one
row below the lowest of its inputs. Steps outside the layers, such as the draw of a sample or an
output fed back, are added to the diagram by hand.
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
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch
from matplotlib.path import Path
from matplotlib.textpath import TextPath

TITLE_SIZE, NAME_SIZE, TEXT_SIZE = 10, 8.5, 7.5  # points
BOX_HEIGHT, ROW_HEIGHT, GAP = 0.5, 0.8, 0.14  # inches
TITLE = 0.36  # inches, of the title
COLOURS = {"input": "#d6e6f4", "layer": "#f4f4f4", "output": "#fde2c5", "formula": "#ffffff"}
EDGE = "#444444"
Place = tuple[float, float]


@dataclass(frozen=True)
class Box:
    """One layer: its name, its action (type, activation), and the shape of its output.

    `kind` is "input", "layer", "output", or "formula" for a step outside the network's layers.
    """

    name: str
    action: str
    shape: str
    kind: str = "layer"


@dataclass
class Diagram:
    """The boxes of a model by name, and its edges; `feedback` leads to the next step."""

    boxes: dict[str, Box]
    edges: list[tuple[str, str]]
    feedback: list[tuple[str, str, str]] = field(default_factory=list)  # from, to, label

    def append(self, box: Box, *fed_by: str) -> None:
        """Add a box below the boxes named."""
        self.boxes[box.name] = box
        self.edges += [(name, box.name) for name in fed_by]

    def rows(self) -> list[list[str]]:
        """The names, row by row from above; inputs directly above their first use."""
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
    """The layers and connections of a functional Keras model."""
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
            if inside.issuperset(parents):  # a layer may belong to another model too
                edges += [(name, layer.name) for name in dict.fromkeys(parents)]
    return Diagram(boxes, edges)


def describe(layer: Any) -> str:
    """Type of a layer, its size or dimension, and its activation if it has one."""
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
    """A Keras output shape, ? for the batch: "(?, 8)"; "2 × (?, 8)" for two equal outputs."""
    if isinstance(shape, list) or (shape and isinstance(shape[0], (list, tuple))):
        each = Counter(map(shapes, shape))
        return ", ".join(one if n == 1 else f"{n} × {one}" for one, n in each.items())
    return f"({', '.join('?' if size is None else str(size) for size in shape)})"


# The diagrams of each figure.


def vae_diagrams(vae: Any) -> dict[str, Diagram]:
    """Figure A1: the encoder with the draw of z, and the decoder."""
    encoder = model_diagram(vae.encoder)
    encoder.append(
        Box("z", "draw of N(z_mean, exp z_log_var)", f"(?, {vae.latent_dim})", "formula"),
        *vae.encoder.output_names,
    )
    return {"Encoder": encoder, "Decoder": model_diagram(vae.decoder)}


def sequence_diagrams(vae: Any) -> dict[str, Diagram]:
    """Figures A2, A3 and A4: encoder, one step of the decoder with its context, length decoder."""
    decoder = vae.decoder
    cell = model_diagram(decoder.get_layer("autoregression").cell)
    context = model_diagram(decoder)
    kept = ["z"]  # the layers from z to the context, which the cell gets at every step
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
    """Figure A5: the recognition network, the draw of z_0, and the flows from z_0 to z*."""
    diagram, shape = model_diagram(lens.recognition), f"(?, {lens.latent_dim})"
    diagram.append(Box("z_0", "draw of N(mean, exp log_var)", shape, "formula"), "mean", "log_var")
    flows = f"{lens.num_flows} planar flows"
    diagram.append(Box("z_star", flows, shape, "output"), "z_0", "w", "u", "b")
    return diagram


# Drawing.


def architecture_figure(diagrams: dict[str, Diagram]) -> Figure:
    """Draw diagrams side by side, each under its name.

    Inputs are blue, outputs orange, layers grey, steps outside the layers white. A dashed arrow
    leads to the next step.
    """
    layouts = [_Layout(diagram, title) for title, diagram in diagrams.items()]
    height = max(layout.height for layout in layouts)
    figure, panels = panels_in_inches([layout.width for layout in layouts], height + TITLE)
    for axes, layout in zip(panels, layouts, strict=True):
        right = layout.left + layout.width
        axes.set(xlim=(layout.left, right), ylim=(-height, TITLE), aspect="equal")
        middle = (layout.left + right) / 2
        axes.text(middle, TITLE / 2, layout.title, fontsize=TITLE_SIZE, ha="center", va="center")
        _draw(axes, layout)
    return figure


def panels_in_inches(
    widths: Sequence[float], height: float, below: float = 0.0
) -> tuple[Figure, Any]:
    """A figure of empty panels; one unit of the axes is one inch."""
    figure = Figure(figsize=(sum(widths) + 0.1, height + 0.1 + below), layout="constrained")
    figure.get_layout_engine().set(w_pad=0.02, h_pad=0.02, wspace=0, hspace=0)
    panels = figure.subplots(1, len(widths), squeeze=False, width_ratios=widths)[0]
    for axes in panels:
        axes.axis("off")
    return figure, panels


def _width(box: Box) -> float:
    """Width of a box, in inches: that of its text, with a margin."""
    name = _inches(box.name, 1.08 * NAME_SIZE)  # it is bold
    return max(name, _inches(box.action, TEXT_SIZE), _inches(box.shape, TEXT_SIZE)) + 0.16


def _inches(text: str, size: float) -> float:
    return TextPath((0, 0), text, size=size).get_extents().width / 72 if text else 0.0


class _Layout:
    """The places of all parts of a diagram, in inches.

    Attributes:
        boxes: centres of the boxes by name.
        passings: centres of the gaps through which an edge passes a row: (from, to) -> places.
        loops: for every feedback, the x at which its arrow goes up.
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
        """Set `x` of a row: boxes in the order of their inputs, and below them."""
        wanted = dict.fromkeys(row, math.inf)  # boxes without an input stand on the right
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
    """A line through the points, straight or vertical at each, with a head at the last."""
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

"""Pictures that change while a reader of a notebook watches: a training curve, and sliders.

Both need IPython. A stored notebook keeps ordinary pictures: the last state of a curve, and a strip
of five positions of a slider.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import tf_keras as keras
from IPython import display
from matplotlib.figure import Figure
from matplotlib.image import imread, imsave

SECONDS = 0.5  # between two drawings of a curve
STRIP = 5  # pictures
WIDEST = 2200  # pixels of a row of the strip, at two pixels per point


class LiveCurve:
    """A curve that is drawn again while a model trains, with a panel for every name.

        curve = LiveCurve("loss", "kl_loss")
        model.fit(x, epochs=10, verbose=0, callbacks=[curve.callback()])

    In a loop without Keras, `curve.add(step, loss=1.5)` adds a point, and `curve.draw()` at the
    end shows the last ones.

    Args:
        names: of the quantities, as Keras logs them.
        x_label: of the horizontal axis.
        y_label: of the vertical axes, for instance a unit.
        level: a horizontal line in each panel, for instance a value to compare with.
    """

    def __init__(
        self, *names: str, x_label: str = "epoch", y_label: str = "nats", level: float | None = None
    ) -> None:
        self.names = names
        self.labels = x_label, y_label
        self.level = level
        self.points: dict[tuple[str, str], list[tuple[float, float]]] = {}
        self._handle: Any = None
        self._drawn = 0.0

    def add(self, x: float, label: str = "", **values: float) -> None:
        """Add a point to the line `label` of each named panel; other values are left out."""
        for name in self.names:
            if name in values:
                self.points.setdefault((name, label), []).append((x, float(values[name])))
        if time.monotonic() - self._drawn > SECONDS:
            self.draw()

    def callback(self, label: str = "") -> Any:
        """A Keras callback that adds a point after every epoch, to lines with this label."""
        return keras.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: self.add(epoch + 1, label, **(logs or {})),
            on_train_end=lambda logs: self.draw(),
        )

    def figure(self) -> Figure:
        """The curve so far."""
        width = min(7.2, 0.6 + 3.4 * len(self.names))
        figure = Figure(figsize=(width, 2.4), layout="constrained")
        panels = figure.subplots(1, len(self.names), squeeze=False)[0]
        labels = list(dict.fromkeys(label for _, label in self.points))
        for axes, name in zip(panels, self.names, strict=True):
            for place, label in enumerate(labels):
                line = np.array(self.points.get((name, label), [])).reshape(-1, 2)
                axes.plot(*line.T, marker=".", ms=3, lw=1.2, color=f"C{place}", label=label)
            if self.level is not None:
                axes.axhline(self.level, color="0.6", lw=0.8, ls="--")
            axes.set_title(name, fontsize=9)
            axes.set_xlabel(self.labels[0], fontsize=8)
            axes.tick_params(labelsize=7)
        panels[0].set_ylabel(self.labels[1], fontsize=8)
        if any(labels):
            panels[-1].legend(fontsize=7, frameon=False)
        return figure

    def draw(self) -> None:
        """Show the curve, in the place where it was shown before."""
        self._drawn = time.monotonic()
        if self._handle is None:
            self._handle = display.display(self.figure(), display_id=True)
        else:
            self._handle.update(self.figure())


def with_sliders(
    draw: Callable[..., Figure], **ranges: tuple[float, float, float] | tuple[int, int, int]
) -> None:
    """Show five pictures, and a slider for each value, which draws a picture of its own.

    The strip of five moves the first value from one end to the other, the others stay. It is an
    ordinary picture: it stays in a notebook without a kernel, and is all there is without
    ipywidgets.

    Args:
        draw: values by name -> a figure, preferably small.
        ranges: for each value the ends of its slider and its first position; three whole numbers
            make a slider of whole numbers.
    """
    start = {name: position for name, (_, _, position) in ranges.items()}
    moved, (low, high, _) = next(iter(ranges.items()))
    values = np.linspace(low, high, STRIP).tolist()
    if _whole(ranges[moved]):
        values = sorted({round(value) for value in values})
    pictures = [_pixels(draw(**{**start, moved: value})) for value in values]
    display.display(display.Image(data=_png(pictures), format="png", retina=True))
    try:
        import ipywidgets
    except ImportError:
        print("`pip install ipywidgets` shows sliders here")
        return
    sliders = {}
    for name, (low, high, position) in ranges.items():
        options = {"min": low, "max": high, "description": name, "continuous_update": False}
        if _whole(ranges[name]):
            sliders[name] = ipywidgets.IntSlider(position, **options)
        else:
            step = (high - low) / 60
            sliders[name] = ipywidgets.FloatSlider(position, **options, step=step)
    shown = ipywidgets.interactive_output(lambda **at: display.display(draw(**at)), sliders)
    display.display(ipywidgets.VBox([*sliders.values(), shown]))


def _whole(numbers: Sequence[float]) -> bool:
    return all(isinstance(number, int) for number in numbers)


def _pixels(figure: Figure) -> np.ndarray:
    """A figure as RGBA, float [height, width, 4]."""
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=2 * figure.dpi)
    file.seek(0)
    return imread(file)


def _png(pictures: Sequence[np.ndarray]) -> bytes:
    """Pictures side by side as PNG; one below the other, if they are flat and a row is too wide."""
    flat = all(picture.shape[1] > picture.shape[0] for picture in pictures)
    side_by_side = not flat or sum(picture.shape[1] for picture in pictures) <= WIDEST
    across = 0 if side_by_side else 1  # the axis along which all get the same size
    size = max(picture.shape[across] for picture in pictures)
    padded = []
    for picture in pictures:
        widths = [(0, 0), (0, 0), (0, 0)]
        widths[across] = (0, size - picture.shape[across])
        padded.append(np.pad(picture, widths, constant_values=1.0))
    file = io.BytesIO()
    imsave(file, np.ascontiguousarray(np.concatenate(padded, axis=1 - across)), format="png")
    return file.getvalue()

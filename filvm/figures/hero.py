"""The moving picture of the README: test digits while one coordinate of z* changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from matplotlib.font_manager import findfont
from PIL import Image, ImageDraw, ImageFont

SIZE = (760, 356)
GROUND, INK, SOFT, ACCENT, TRACK = "#ffffff", "#1b2126", "#66727b", "#1f6f80", "#d5dade"
ORIGINAL, CHANGED = 76, 104  # pixels of a digit
GREYS = 24  # of the digits: fewer make a smaller file
LEFT, GAP = 128, 4


@dataclass(frozen=True)
class Frame:
    """One picture.

    Attributes:
        originals: test digits [n, height, width] in [0, 1].
        changed: the same with one coordinate changed.
        attribute: its name.
        value: its value in words.
        place: where the value is between its ends, in [0, 1].
        ends: the values at both ends, in words.
        seconds: how long the frame is shown.
    """

    originals: np.ndarray
    changed: np.ndarray
    attribute: str
    value: str
    place: float
    ends: tuple[str, str]
    seconds: float = 0.06


def hero_frame(frame: Frame, note: str = "") -> Image.Image:
    """Draw one frame: the test digits above, the changed ones below, and a slider.

    Args:
        frame: its content.
        note: a line at the bottom.
    """
    picture = Image.new("RGB", SIZE, GROUND)
    draw = ImageDraw.Draw(picture)
    draw.text((14, 12), "Change one coordinate of z*; the rest stays.", INK, _font(19, "bold"))
    rows = (
        (frame.originals, 46, ORIGINAL, "test digits"),
        (frame.changed, 134, CHANGED, "changed"),
    )
    for images, top, size, label in rows:
        draw.text((14, top + size // 2 - 10), label, SOFT, _font(15))
        for i, image in enumerate(images):
            tile = Image.fromarray((255 * (1 - np.clip(image, 0, 1))).astype(np.uint8))
            tile = tile.resize((size, size), Image.Resampling.BICUBIC)
            step = 255 / (GREYS - 1)
            tile = tile.point([round(round(value / step) * step) for value in range(256)])
            x = LEFT + i * (CHANGED + GAP) + (CHANGED - size) // 2
            picture.paste(tile.convert("RGB"), (x, top))
    _slider(draw, frame)
    if note:
        draw.text((14, SIZE[1] - 18), note, "#a00000", _font(11))
    return picture


def _slider(draw: ImageDraw.ImageDraw, frame: Frame) -> None:
    left, right, y = LEFT + 60, SIZE[0] - 90, 304
    draw.text((14, y - 42), frame.attribute, ACCENT, _font(19, "bold"))
    draw.text((LEFT, y - 42), frame.value, INK, _font(19))
    draw.rounded_rectangle((left, y - 3, right, y + 3), 3, fill=TRACK)
    x = left + frame.place * (right - left)
    draw.rounded_rectangle((left, y - 3, x, y + 3), 3, fill=ACCENT)
    draw.ellipse((x - 11, y - 11, x + 11, y + 11), fill=ACCENT)
    draw.text((left - 18, y), frame.ends[0], SOFT, _font(14), anchor="rm")
    draw.text((right + 18, y), frame.ends[1], SOFT, _font(14), anchor="lm")


@lru_cache(maxsize=8)
def _font(size: int, weight: str = "normal") -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(findfont(f"DejaVu Sans:weight={weight}"), size)


def save_frames(frames: Sequence[Frame], path: Path, note: str = "") -> None:
    """Write the frames as a GIF that repeats; all frames share one palette."""
    pictures = [hero_frame(frame, note) for frame in frames]
    palette = pictures[0].quantize(48, dither=Image.Dither.NONE)
    shared = [picture.quantize(palette=palette, dither=Image.Dither.NONE) for picture in pictures]
    shared[0].save(
        path,
        format="GIF",
        save_all=True,
        append_images=shared[1:],
        duration=[round(1000 * frame.seconds) for frame in frames],
        loop=0,
        optimize=True,
    )

"""Pictures in rows and columns under titles, with scales that say what their colours mean."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from latentline.base.atomic import write_bytes

UInt8 = npt.NDArray[np.uint8]

DPI = 128  # a power of two: a width in pixels survives its way through inches
GAP = 12  # px, around everything
COLUMN_WIDTH = 200  # px at least: room for titles
TITLE_HEIGHT = 40  # px: two lines
SCALE_HEIGHT = 44  # px: a bar of colours, and two lines about it
BAR_HEIGHT = 8  # px
ROW_TITLE_HEIGHT = 24  # px
TITLE_SIZE, TEXT_SIZE = 13, 11  # px
BORDER = 160  # grey level of the line around a picture


@dataclass(frozen=True)
class ColourScale:
    """What colours mean.

    colours  uint8 [256, 3] BGR, from the lowest value to the highest
    meaning  the range and its unit, at most two lines
    """

    colours: UInt8
    meaning: str


@dataclass(frozen=True)
class Column:
    """One column of a grid.

    title     at most two lines
    pictures  one for each row, uint8 [h, w, 3] BGR, all of one size; drawn pixel by pixel
    scale     None where the pictures are photographs
    """

    title: str
    pictures: Sequence[UInt8]
    scale: ColourScale | None = None


def draw_grid(columns: Sequence[Column], row_titles: Sequence[str]) -> UInt8:
    """The columns side by side as one picture, uint8 [H, W, 3] BGR; the title of a row stands above it."""
    height, width = columns[0].pictures[0].shape[:2]
    across, down = max(width, COLUMN_WIDTH) + GAP, ROW_TITLE_HEIGHT + height + GAP
    head = TITLE_HEIGHT + (SCALE_HEIGHT if any(column.scale for column in columns) else 0)
    canvas = np.full((head + len(row_titles) * down, GAP + len(columns) * across, 3), 255, np.uint8)
    words: list[tuple[int, int, str, int]] = []  # x, y, text, size
    for index, column in enumerate(columns):
        x = GAP + index * across
        words.append((x, GAP // 2, column.title, TITLE_SIZE))
        if column.scale is not None:
            canvas[TITLE_HEIGHT : TITLE_HEIGHT + BAR_HEIGHT, x : x + width] = _bar(column.scale.colours, width)
            words.append((x, TITLE_HEIGHT + BAR_HEIGHT + 2, column.scale.meaning, TEXT_SIZE))
        for row, picture in enumerate(column.pictures):
            y = head + row * down + ROW_TITLE_HEIGHT
            canvas[y - 1 : y + height + 1, x - 1 : x + width + 1] = BORDER
            canvas[y : y + height, x : x + width] = picture
    words += [(GAP, head + row * down + 4, title, TITLE_SIZE) for row, title in enumerate(row_titles)]
    return _with_words(canvas, words)


def save_grid(path: Path, columns: Sequence[Column], row_titles: Sequence[str]) -> None:
    """Write `draw_grid` as PNG, whole or not at all."""
    write_bytes(path, cv2.imencode(".png", draw_grid(columns, row_titles))[1].tobytes())


def _bar(colours: UInt8, width: int) -> UInt8:
    return np.asarray(colours[np.linspace(0, len(colours) - 1, width).round().astype(int)])


def _with_words(canvas: UInt8, words: Sequence[tuple[int, int, str, int]]) -> UInt8:
    """Write each text with its upper left corner at (x, y), in a letter size of so many pixels."""
    from matplotlib.figure import Figure  # takes half a second, and a training draws late

    height, width = canvas.shape[:2]
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")
    for x, y, text, size in words:
        # not parsed: a name may have the signs of a formula
        figure.text(x / width, 1 - y / height, text, va="top", fontsize=size * 72 / DPI, parse_math=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="rgba", dpi=DPI)
    ink = np.frombuffer(buffer.getvalue(), np.uint8).reshape(height, width, 4)[..., 2::-1]
    written: UInt8 = np.minimum(canvas, ink)
    return written

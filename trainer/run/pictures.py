"""Pictures of a run in work: curves, and samples beside real tiles."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from latentline.base.atomic import write_bytes
from latentline.vision.preprocessing import to_picture
from trainer.pictures.columns import enlarged
from trainer.pictures.grid import Column, save_grid
from trainer.run.history import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

GRID = 6
TILE_PX, LARGEST_TILE_PX = 64, 128  # sides of a sample: smaller ones are enlarged, larger ones reduced
WIDE = 100  # times as large as the least is the largest loss that an axis with 0 can show beside it
LINE = 2  # px, white, after each tile

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]


def save_curves(path: Path, records: Sequence[Record]) -> None:
    """Losses, mean D(x) and coverage, where measured, over the images shown; grey bands where a stage fades in."""
    from matplotlib.figure import Figure  # takes half a second, and a training draws late

    reports = [r.report for r in records]
    measured = [(r.report.images, r.coverage) for r in records if r.coverage is not None]
    figure = Figure(figsize=(9, 9 if measured else 6), layout="constrained")
    losses, probabilities, *more = figure.subplots(3 if measured else 2, 1, sharex=True)
    _plot(losses, [(r.images, r.losses) for r in reports])
    losses.set_ylabel("loss")
    values = [value for r in reports for value in r.losses.values()]
    if values and min(values) > 0 and max(values) > WIDE * min(values):
        losses.set_yscale("log")  # the loss of one phase is a hundred times that of another
    _plot(probabilities, [(r.images, {f"D({k})": v for k, v in r.probabilities.items()}) for r in reports])
    probabilities.set_ylabel("D, probability of normal")
    probabilities.set_ylim(0, 1)
    for axes in more:
        _plot(axes, [(images, {"G(E(x))": c.explained, "principal components": c.pca}) for images, c in measured])
        axes.set_ylabel("variance explained")
        axes.set_ylim(min(0.0, *(c.explained for _, c in measured)), 1)
    [losses, probabilities, *more][-1].set_xlabel("images shown")
    for axes in (losses, probabilities, *more):
        for before, after in pairwise(reports):
            if after.alpha < 1:
                axes.axvspan(before.images, after.images, color="0.9", lw=0)
        if axes.lines:
            axes.legend(loc="upper right")
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    write_bytes(path, buffer.getvalue())


def save_samples(path: Path, tiles: Float, samples: Float, samples_title: str, row_title: str) -> None:
    """A square of GRID x GRID real tiles, and beside it one of samples, both [GRID², C, r, r] in [-1, 1]."""
    columns = [Column("real tiles", [_square(tiles)]), Column(samples_title, [_square(samples)])]
    save_grid(path, columns, [row_title])


def _square(images: Float) -> UInt8:
    pictures = [
        np.pad(enlarged(picture, TILE_PX, LARGEST_TILE_PX), ((0, LINE), (0, LINE), (0, 0)), constant_values=255)
        for picture in to_picture(images)
    ]
    return np.vstack([np.hstack(pictures[row * GRID : (row + 1) * GRID]) for row in range(GRID)])


def _plot(axes: Axes, points: Sequence[tuple[int, Mapping[str, float]]]) -> None:
    """Curves by their names; one that some points lack has a gap there, as in a phase that does not train it."""
    curves: dict[str, list[tuple[int, float]]] = {name: [] for _, values in points for name in values}
    for images, values in points:
        for name, curve in curves.items():
            curve.append((images, values.get(name, math.nan)))
    for name, curve in curves.items():
        axes.plot(*zip(*curve, strict=True), label=name)

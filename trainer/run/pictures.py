"""Pictures of a run: curves, samples, reconstructions with heat maps."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from latentline.base.atomic import write_bytes
from latentline.vision.preprocessing import to_picture
from trainer.run.history import Record

GRID = 6
TILE_PX = 96  # small tiles are enlarged to about this side
HEAT_FULL_SCALE = 0.5  # of the grey range: a difference this large gets the hottest colour

UInt8 = npt.NDArray[np.uint8]


def save_curves(path: Path, records: Sequence[Record]) -> None:
    """Losses, mean D(x) and coverage, where measured, over the images shown; grey bands where a stage fades in."""
    reports = [r.report for r in records]
    measured = [(r.report.images, r.coverage) for r in records if r.coverage is not None]
    figure = Figure(figsize=(9, 9 if measured else 6), layout="constrained")
    losses, probabilities, *more = figure.subplots(3 if measured else 2, 1, sharex=True)
    _plot(losses, [(r.images, r.losses) for r in reports])
    losses.set_ylabel("loss")
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


def save_samples(path: Path, samples: npt.NDArray[np.float32]) -> None:
    """A grid of GRID x GRID samples, [GRID², C, r, r] in [-1, 1]."""
    pictures = to_picture(samples)
    rows = [np.hstack(list(pictures[r * GRID : (r + 1) * GRID])) for r in range(GRID)]
    _write(path, np.vstack(rows), max(1, TILE_PX // samples.shape[-1]))


def save_reconstructions(path: Path, tiles: UInt8, reconstructions: UInt8) -> None:
    """One row for each tile: tile, reconstruction, heat map of their difference. Both are uint8 [N, H, W, C]."""
    difference = np.abs(tiles.astype(np.float32) - reconstructions).mean(axis=3) / 255
    heat = (np.clip(difference / HEAT_FULL_SCALE, 0, 1) * 255).astype(np.uint8)
    rows = [
        np.hstack([_colour(tile), _colour(reconstruction), cv2.applyColorMap(hot, cv2.COLORMAP_INFERNO)])
        for tile, reconstruction, hot in zip(tiles, reconstructions, heat, strict=True)
    ]
    _write(path, np.vstack(rows), max(1, TILE_PX // tiles.shape[1]))


def _plot(axes: Axes, points: Sequence[tuple[int, Mapping[str, float]]]) -> None:
    curves: dict[str, list[tuple[int, float]]] = {}
    for images, values in points:
        for name, value in values.items():
            curves.setdefault(name, []).append((images, value))
    for name, curve in curves.items():
        axes.plot(*zip(*curve, strict=True), label=name)


def _colour(image: UInt8) -> UInt8:
    return np.asarray(image if image.shape[2] == 3 else cv2.cvtColor(image, cv2.COLOR_GRAY2BGR))


def _write(path: Path, picture: UInt8, scale: int) -> None:
    enlarged = np.repeat(np.repeat(picture, scale, axis=0), scale, axis=1)
    write_bytes(path, cv2.imencode(".png", enlarged)[1].tobytes())

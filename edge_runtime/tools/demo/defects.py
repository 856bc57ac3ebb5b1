"""Paint defects on images of the wall, with their ground truth.

Their sizes in px are those of defects on bricks that are COURSE px high.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Painter = Callable[[UInt8, tuple[int, int], np.random.Generator], UInt8]


def paint(image: UInt8, kind: str, centre: tuple[int, int], rng: np.random.Generator) -> tuple[UInt8, Mask]:
    """Paint one defect of `kind` (a key of PAINTERS) around `centre` (x, y) on a grey image [H, W].

    Returns the painted image and the mask of the pixels that changed by more than 6 grey levels.
    """
    painted = PAINTERS[kind](image, centre, rng)
    changed = cv2.absdiff(painted, image) > 6
    return painted, np.asarray(changed)


def _blend(image: UInt8, coverage: npt.NDArray[np.float32], grey: float | npt.NDArray[np.float32]) -> UInt8:
    return np.clip(np.rint(image * (1 - coverage) + grey * coverage), 0, 255).astype(np.uint8)


def _soft(shape: tuple[int, ...], draw: Callable[[UInt8], object], blur: float) -> npt.NDArray[np.float32]:
    canvas = np.zeros(shape, np.uint8)
    draw(canvas)
    return np.asarray(cv2.GaussianBlur(canvas, (0, 0), blur) / 255, dtype=np.float32)


def _scratch(image: UInt8, centre: tuple[int, int], rng: np.random.Generator) -> UInt8:
    angle, length = rng.uniform(0, np.pi), rng.uniform(30, 54)
    along = np.linspace(-0.5, 0.5, 9)
    wobble = np.cumsum(rng.normal(0, 1.35, 9))
    x = centre[0] + along * length * np.cos(angle) - wobble * np.sin(angle)
    y = centre[1] + along * length * np.sin(angle) + wobble * np.cos(angle)
    points = np.stack([x, y], axis=1).round().astype(np.int32)
    thickness = int(rng.integers(3, 5))
    coverage = _soft(image.shape, lambda c: cv2.polylines(c, [points], False, 255, thickness, cv2.LINE_AA), 0.8)
    return _blend(image, coverage, float(rng.choice([25.0, 225.0])))


def _stain(image: UInt8, centre: tuple[int, int], rng: np.random.Generator) -> UInt8:
    axes = (int(rng.integers(9, 17)), int(rng.integers(8, 13)))
    turn = float(rng.uniform(0, 180))
    coverage = _soft(image.shape, lambda c: cv2.ellipse(c, centre, axes, turn, 0, 360, 255, -1), 2.7)
    return _blend(image, coverage * float(rng.uniform(0.65, 0.9)), float(rng.choice([30.0, 215.0])))


def _chip(image: UInt8, centre: tuple[int, int], rng: np.random.Generator) -> UInt8:
    angles = np.sort(rng.uniform(0, 2 * np.pi, 7))
    radii = rng.uniform(7, 16, 7)
    corners = np.stack([centre[0] + radii * np.cos(angles), centre[1] + radii * np.sin(angles)], axis=1)
    polygon = corners.round().astype(np.int32)
    coverage = _soft(image.shape, lambda c: cv2.fillPoly(c, [polygon], 255, cv2.LINE_AA), 0.7)
    rough = rng.normal(205, 18, image.shape).astype(np.float32)
    return _blend(image, coverage, rough)


def _hole(image: UInt8, centre: tuple[int, int], rng: np.random.Generator) -> UInt8:
    radius = int(rng.integers(5, 10))
    rim = _soft(image.shape, lambda c: cv2.circle(c, centre, radius + 3, 255, 3, cv2.LINE_AA), 0.8)
    hole = _soft(image.shape, lambda c: cv2.circle(c, centre, radius, 255, -1, cv2.LINE_AA), 0.8)
    return _blend(_blend(image, rim, 190.0), hole, 15.0)


PAINTERS: dict[str, Painter] = {"scratch": _scratch, "stain": _stain, "chip": _chip, "hole": _hole}

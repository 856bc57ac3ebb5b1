"""Made defects that no training makes, to compare methods where few real defects are known.

scratch   a thin broken line, darker or brighter than what it crosses
spot      an irregular blob, darker or brighter
missing   a place where the structure is missing: only the mean of the surroundings is left
shifted   a place that shows what is beside it

Synthetic training defects (`trainer.data.synthetic`) are of other kinds, so that a method that trains on those is not
judged by its own.
"""

from __future__ import annotations

from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
Float = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Mark = Callable[[Float, Mask, int, np.random.Generator], Float]

TRIES = 8
SMALLEST = 3  # px
VISIBLE = 6.0  # grey levels: the mean change inside a mask, at least
CONTRAST = (0.7, 2.0)  # of a scratch or spot, in standard deviations of its surroundings


def made_defect(frame: UInt8, kind: str, size: float, rng: np.random.Generator) -> tuple[UInt8, Mask] | None:
    """`frame` [H, W] or [H, W, 3] with one defect about `size` px large, and its mask [H, W].

    kind  one of `KINDS`
    None where the frame shows no such defect: on a blank surface nothing can be missing. A scratch or a spot is always
    visible.
    """
    image = frame.reshape(*frame.shape[:2], -1).astype(np.float32)
    side = int(np.clip(round(size), SMALLEST, max(SMALLEST, min(frame.shape[:2]) // 2)))
    draw, change = KINDS[kind]
    for _ in range(TRIES):
        mask = draw(frame.shape[:2], side, rng)
        levels: UInt8 = np.clip(np.rint(change(image, mask, side, rng)), 0, 255).astype(np.uint8)
        changed = np.where(mask[..., None], levels, image.astype(np.uint8))
        if mask.any() and float(np.abs(changed.astype(np.float32) - image)[mask].mean()) >= VISIBLE:
            return changed.reshape(frame.shape), mask
    return None


def _line(shape: tuple[int, ...], size: int, rng: np.random.Generator) -> Mask:
    """Two joined strokes, in all about three times `size` long."""
    start = rng.uniform(0.1, 0.9, 2) * (shape[1], shape[0])
    angle = rng.uniform(0, 2 * np.pi)
    steps = [1.5 * size * np.array([np.cos(a), np.sin(a)]) for a in (angle, angle + rng.uniform(-0.6, 0.6))]
    points = np.rint(np.cumsum([start, *steps], axis=0)).astype(np.int32)
    canvas = np.zeros(shape, np.uint8)
    cv2.polylines(canvas, [points.reshape(-1, 1, 2)], False, 1, thickness=max(1, size // 8))
    return canvas.astype(np.bool_)


def _blob(shape: tuple[int, ...], size: int, rng: np.random.Generator) -> Mask:
    """A closed outline about `size` px across whose radius varies."""
    centre = rng.uniform(0.1, 0.9, 2) * (shape[1], shape[0])
    turns = np.linspace(0, 2 * np.pi, 12, endpoint=False)
    radii = size / 2 * rng.uniform(0.6, 1.2, 12)
    points = np.rint(centre + radii[:, None] * np.stack([np.cos(turns), np.sin(turns)], axis=1)).astype(np.int32)
    canvas = np.zeros(shape, np.uint8)
    cv2.fillPoly(canvas, [points.reshape(-1, 1, 2)], 1)
    return canvas.astype(np.bool_)


def _offset(image: Float, mask: Mask, size: int, rng: np.random.Generator) -> Float:
    """Brighter or darker, whichever has more room."""
    around = cv2.dilate(mask.astype(np.uint8), np.ones((2 * size + 1,) * 2, np.uint8)).astype(np.bool_)
    step = max(2 * VISIBLE, float(rng.uniform(*CONTRAST) * image[around].std()))
    level = float(image[mask].mean()) if mask.any() else 0.0
    up = level < step or (level < 255 - step and rng.random() < 0.5)
    return np.asarray(image + np.float32(step if up else -step))


def _surroundings(image: Float, mask: Mask, size: int, rng: np.random.Generator) -> Float:
    wide = cv2.blur(image, (4 * size + 1,) * 2, borderType=cv2.BORDER_REFLECT_101)
    return np.asarray(wide.reshape(image.shape), np.float32)


def _beside(image: Float, mask: Mask, size: int, rng: np.random.Generator) -> Float:
    angle, distance = rng.uniform(0, 2 * np.pi), size * rng.uniform(0.3, 1.5)
    move = np.array([[1, 0, distance * np.cos(angle)], [0, 1, distance * np.sin(angle)]], np.float32)
    moved = cv2.warpAffine(image, move, (image.shape[1], image.shape[0]), borderMode=cv2.BORDER_REFLECT_101)
    return np.asarray(moved.reshape(image.shape), np.float32)


KINDS: dict[str, tuple[Callable[[tuple[int, ...], int, np.random.Generator], Mask], Mark]] = {
    "made-scratch": (_line, _offset),
    "made-spot": (_blob, _offset),
    "made-missing": (_blob, _surroundings),
    "made-shifted": (_blob, _beside),
}

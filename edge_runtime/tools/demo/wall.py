"""Walls laid from a pile of bricks, and exposures of them."""

from __future__ import annotations

import cv2
import numpy as np

from edge_runtime.tools.demo.surface import COURSE, HALF_BRICK, Pile, UInt8

HEIGHT, WIDTH = 480, 640  # px, of a frame
HALF_BRICKS = 0.2  # share of the bricks that are halves, about as in the photograph
BENT = 1.0  # px, standard deviation of the shifts that put a brick out of shape
_UNEVEN = 8  # px by which a course may lie off its place


def lay_wall(pile: Pile, height: int, width: int, rng: np.random.Generator) -> UInt8:
    """A wall uint8 [height, width] of bricks of the pile, in random order.

    Each brick is a little out of shape, anew wherever it is laid, and some are mirrored left to right. Upright joints
    of neighbouring courses lie a quarter of a brick apart, as in the photograph.
    """
    top, left = int(rng.integers(COURSE)), int(rng.integers(HALF_BRICK))
    courses = []
    for course in range(1 + -(-height // COURSE)):
        start = left + course * HALF_BRICK // 2 + int(rng.integers(-_UNEVEN, _UNEVEN + 1))
        courses.append(_lay_course(pile, start % HALF_BRICK, width, rng))
    return np.concatenate(courses)[top : top + height]


def expose(surface: UInt8, rng: np.random.Generator) -> UInt8:
    """One exposure of a piece of surface: random brightness within 4 %, sensor noise of 2 grey levels."""
    values = surface * rng.uniform(0.96, 1.04) + rng.normal(0, 2.0, surface.shape)
    return np.clip(np.rint(values), 0, 255).astype(np.uint8)


def _lay_course(pile: Pile, start: int, width: int, rng: np.random.Generator) -> UInt8:
    """A course [COURSE, width] that begins `start` px after a joint."""
    bricks: list[UInt8] = []
    while sum(brick.shape[1] for brick in bricks) < start + width:
        kind = pile.half if rng.random() < HALF_BRICKS else pile.whole
        brick = kind[int(rng.integers(len(kind)))]
        bricks.append(_out_of_shape(brick[:, ::-1] if rng.random() < 0.5 else brick, rng))
    return np.concatenate(bricks, axis=1)[:, start : start + width]


def _out_of_shape(brick: UInt8, rng: np.random.Generator) -> UInt8:
    """The brick with its edges and surface shifted smoothly, by BENT px or so."""
    height, width = brick.shape
    coarse = rng.normal(0, BENT, (2, height // 16, width // 16)).astype(np.float32)
    shifts = [cv2.resize(plane, (width, height), interpolation=cv2.INTER_CUBIC) for plane in coarse]
    rows, columns = np.mgrid[:height, :width].astype(np.float32)
    bent = cv2.remap(brick, columns + shifts[0], rows + shifts[1], cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(bent)

"""Walls laid from a pile of bricks, and exposures of them."""

from __future__ import annotations

import numpy as np

from edge_runtime.tools.demo.surface import COURSE, HALF_BRICK, Pile, UInt8

HEIGHT, WIDTH = 480, 640  # px, of a frame
HALF_BRICKS = 0.2  # share of the bricks that are halves, about as in the photograph
_UNEVEN = 8  # px by which a course may lie off its place


def lay_wall(pile: Pile, height: int, width: int, rng: np.random.Generator) -> UInt8:
    """A wall uint8 [height, width] of bricks of the pile, in random order, some of them mirrored left to right.

    Upright joints of neighbouring courses lie a quarter of a brick apart, as in the photograph.
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
        bricks.append(brick[:, ::-1] if rng.random() < 0.5 else brick)
    return np.concatenate(bricks, axis=1)[:, start : start + width]

"""The bricks of the demo, cut from a photograph of a wall (scikit-image's CC0 `brick`) and dealt to three piles.

The photograph holds fewer bricks than one frame of the demo's camera. So walls are laid from them anew, in any number.
The bricks of one pile trained the shipped model, those of the second calibrated it, and the simulated camera sees the
third.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import cv2
import numpy as np
import numpy.typing as npt

from latentline.errors import LatentlineError

UInt8 = npt.NDArray[np.uint8]
COURSE = 48  # px from joint to joint, up the wall
HALF_BRICK = 78  # px from joint to joint, along the wall; a whole brick has twice as many

# the photograph shows the wall in perspective and turned: four points of it, (x, y), and the same points upright
_PHOTOGRAPHED = ((71.1, 0.0), (424.4, 0.0), (8.7, 511.0), (511.3, 511.0))
_UPRIGHT = ((0.0, 124.8), (0.0, 700.8), (709.5, 124.8), (709.5, 700.8))
_WIDTH, _HEIGHT = 709, 825  # px, of the upright wall
_FIRST_JOINT = 29  # px, row of its uppermost joint
_JOINT = 112.0  # grey level: joints are brighter, bricks darker
_DAMAGED = (13, 24, 40)  # in the photograph itself: a corner broken off, two scratches


@dataclass(frozen=True)
class Pile:
    """Bricks, each with half a joint all around: [COURSE, 2 * HALF_BRICK] whole, [COURSE, HALF_BRICK] half."""

    whole: tuple[UInt8, ...]
    half: tuple[UInt8, ...]


class Piles(NamedTuple):
    """Each brick of the photograph is in one pile."""

    train: Pile
    calibration: Pile
    camera: Pile


def load_piles() -> Piles:
    """Cut the photograph, and deal the bricks. Raises LatentlineError without scikit-image.

    The most uneven bricks are dealt first, so that the piles are alike, as lots of one factory are. Training has the
    first of each round; calibration and camera take turns to have the second.
    """
    bricks = _cut(load_photograph())
    half = [brick for brick in bricks if brick.shape[1] == HALF_BRICK]
    whole = [brick for brick in bricks if brick.shape[1] > HALF_BRICK]
    sound = [brick for index, brick in enumerate(whole) if index not in _DAMAGED]
    ranked, ranked_half = (sorted(kind, key=_unevenness, reverse=True) for kind in (sound, half))
    turns = ((0, 3), (1, 5), (2, 4))
    return Piles(*(Pile(_dealt(ranked, turn), _dealt(ranked_half, turn)) for turn in turns))


def _dealt(ranked: list[UInt8], turns: tuple[int, int]) -> tuple[UInt8, ...]:
    return tuple(brick for index, brick in enumerate(ranked) if index % 6 in turns)


def _unevenness(brick: UInt8) -> float:
    """The largest difference between a place of the brick and its row's median, grey levels; its ends do not count."""
    inner = brick[:, 12:-12].astype(np.float32)
    return float(np.abs(cv2.GaussianBlur(inner - np.median(inner, axis=1, keepdims=True), (0, 0), 1.5)).max())


def load_photograph() -> UInt8:
    """The photograph, grey uint8 [512, 512]. Raises LatentlineError without scikit-image."""
    try:
        from skimage import data
    except ImportError:
        raise LatentlineError(
            "the demo needs scikit-image for its photograph; install the extra (in a clone: pip install '.[demo]')"
        ) from None
    return np.asarray(data.brick(), dtype=np.uint8)


def _cut(photograph: UInt8) -> list[UInt8]:
    """All bricks that are whole in the photograph, in reading order."""
    wall, seen = _upright(photograph), _upright(np.full_like(photograph, 255)) == 255
    courses = _courses(wall, seen)
    return [
        cv2.resize(wall[top:bottom, left:right], (halves * HALF_BRICK, COURSE), interpolation=cv2.INTER_CUBIC)
        for top, bottom in pairwise(courses)
        for left, right, halves in _between_joints(wall[top:bottom], seen[top:bottom].all(axis=0))
    ]


def _upright(photograph: UInt8) -> UInt8:
    matrix = cv2.getPerspectiveTransform(np.array(_PHOTOGRAPHED, np.float32), np.array(_UPRIGHT, np.float32))
    return np.asarray(cv2.warpPerspective(photograph, matrix, (_WIDTH, _HEIGHT), flags=cv2.INTER_CUBIC))


def _courses(wall: UInt8, seen: npt.NDArray[np.bool_]) -> list[int]:
    """The rows of the joints between the courses: where the wall is brightest near the expected place."""
    brightness = (wall * seen).sum(axis=1) / seen.sum(axis=1).clip(1)
    brightness = cv2.GaussianBlur(brightness[:, None], (0, 0), 1.5)[:, 0]
    reach = COURSE // 6
    expected = range(_FIRST_JOINT, _HEIGHT - reach, COURSE)
    return [row - reach + int(np.argmax(brightness[row - reach : row + reach])) for row in expected]


def _between_joints(course: UInt8, seen: npt.NDArray[np.bool_]) -> list[tuple[int, int, int]]:
    """(left, right, length in half bricks) of the bricks of a course that are seen whole."""
    quarter = len(course) // 4
    bright = (course[quarter:-quarter].mean(axis=0) > _JOINT) & seen
    changes = np.flatnonzero(np.diff(np.concatenate([[0], bright.astype(int), [0]])))
    joints = [(start + end - 1) // 2 for start, end in changes.reshape(-1, 2) if end - start >= 3]
    found = [(left, right, round((right - left) / HALF_BRICK)) for left, right in pairwise(joints)]
    return [
        (left, right, halves)
        for left, right, halves in found
        if halves in (1, 2) and abs(right - left - halves * HALF_BRICK) < 9 and seen[left:right].all()
    ]

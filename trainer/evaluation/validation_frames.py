"""The frames on which `search.iterations: auto` compares searches, and `search.map: auto` kinds of maps.

Normal frames are those that standardise the score, never those behind the thresholds: the promised false-alarm rate
stays exact. Abnormal frames are known-abnormal ones kept from training, where there are enough of them, else synthetic
defects on the normal frames. Of a large frame only a window counts, around the defect where there is one.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latentline.search.searched_frame import TiledFrame
from latentline.search.tiler import FrameTiler
from latentline.vision.tiles import TilePlan
from trainer.data.crops import prepare_mask
from trainer.data.held_out import HeldOut
from trainer.evaluation.made_defects import MIN_REAL_ABNORMAL, make_synthetic_abnormal

UInt8 = npt.NDArray[np.uint8]
Mask = npt.NDArray[np.bool_]
Raw = tuple[UInt8, Mask | None, str]  # a frame as the camera gave it, its mask, its part
MOST_FRAMES = 60  # normal, and as many abnormal
FEWEST_PARTS = 10  # of normal frames, and of known-abnormal ones: fewer say nothing about noise


@dataclass(frozen=True)
class ValidationFrame:
    """One frame, or a window of it, cut into tiles.

    abnormal  whether it has a defect
    part      that it shows
    mask      [h, w] of the prepared frame; all False for a normal one, None where nobody knows
    """

    tiled: TiledFrame
    abnormal: bool
    part: str
    mask: Mask | None


@dataclass(frozen=True)
class ValidationFrames:
    """Normal frames, then abnormal ones; `synthetic` says whether the latter were made from normal frames."""

    frames: list[ValidationFrame]
    synthetic: bool

    @property
    def tiles(self) -> int:
        """The number of tiles of all frames."""
        return sum(len(frame.tiled.plan.corners) for frame in self.frames)


def normal_parts(held_out: HeldOut) -> list[str]:
    """The part that each standardising frame shows."""
    return _parts(held_out.parts[0], len(held_out.standardising))


def validation_frames(held_out: HeldOut, tiler: FrameTiler, seed: int, most_tiles: int) -> ValidationFrames:
    """At most 60 normal and 60 abnormal frames with about `most_tiles` tiles in all, seeded.

    At least one tile of each of two frames is taken, however few tiles are allowed.
    """
    rng = np.random.default_rng(seed)
    most = max(1, min(MOST_FRAMES, most_tiles // 2))
    chosen = rng.permutation(len(held_out.standardising))[:most]
    parts = normal_parts(held_out)
    normal: list[Raw] = [(held_out.standardising[i], None, parts[i]) for i in chosen]
    of_each = max(1, most_tiles // (2 * most))
    abnormal = _known_abnormal(held_out, tiler, of_each, rng)[:most]
    synthetic = not abnormal
    if synthetic:
        sources = [normal[i % len(normal)] for i in range(most)]
        made = make_synthetic_abnormal([frame for frame, _, _ in sources], tiler, seed)
        abnormal = [(frame, mask, part) for (frame, mask), (_, _, part) in zip(made, sources, strict=True)]
    labelled = [*((raw, False) for raw in normal), *((raw, True) for raw in abnormal)]
    return ValidationFrames([_cut(raw, flag, tiler, of_each, rng) for raw, flag in labelled], synthetic)


def _known_abnormal(held_out: HeldOut, tiler: FrameTiler, most_tiles: int, rng: np.random.Generator) -> list[Raw]:
    """The known-abnormal frames in random order; none where they are few.

    Without a mask a frame counts only where it is small enough to be searched as a whole. Masks of too few parts are
    left out: a figure of their pixels would say nothing about noise.
    """
    parts = _parts(held_out.parts[1], len(held_out.abnormal))
    masks = held_out.masks or [None] * len(held_out.abnormal)
    found: list[Raw] = []
    for i in rng.permutation(len(held_out.abnormal)):
        frame, mask = held_out.abnormal[i], masks[i]
        known = mask is not None and bool(mask.any())
        if known or len(tiler.tile(frame).tiles) <= most_tiles:
            found.append((frame, mask if known else None, parts[i]))
    if len(found) < MIN_REAL_ABNORMAL or len({part for _, _, part in found}) < FEWEST_PARTS:
        return []
    if len({part for _, mask, part in found if mask is not None}) < FEWEST_PARTS:
        found = [(frame, None, part) for frame, _, part in found]
    return found


def _cut(raw: Raw, abnormal: bool, tiler: FrameTiler, most_tiles: int, rng: np.random.Generator) -> ValidationFrame:
    frame, mask, part = raw
    prepared = tiler.preprocessing.apply(frame)
    if not abnormal:
        mask = np.zeros(prepared.shape[:2], np.bool_)
    elif mask is not None:
        mask = prepare_mask(mask, prepared)
    height, width = _window(prepared, tiler, most_tiles)
    around = np.argwhere(mask) if mask is not None and mask.any() else np.argwhere(np.ones(prepared.shape[:2]))
    y, x = (
        _start(int(place), length, whole, rng)
        for place, length, whole in zip(
            around[rng.integers(len(around))], (height, width), prepared.shape[:2], strict=True
        )
    )
    window = np.ascontiguousarray(prepared[y : y + height, x : x + width])
    plan = TilePlan.cover(height, width, tiler.tile_size, tiler.overlap)
    seen = None if mask is None else mask[y : y + height, x : x + width]
    return ValidationFrame(TiledFrame(window, plan, 0.0), abnormal, part, seen)


def _window(prepared: UInt8, tiler: FrameTiler, most_tiles: int) -> tuple[int, int]:
    """Height and width of a window of at most `most_tiles` tiles; the whole frame where that has no more."""
    size, step = tiler.tile_size, max(1, math.floor(tiler.tile_size * (1 - tiler.overlap)))
    whole = prepared.shape[:2]
    rows, columns = (1 + max(0, math.ceil((length - size) / (size * (1 - tiler.overlap)))) for length in whole)
    down = min(rows, max(1, math.isqrt(most_tiles)))
    across = min(columns, most_tiles // down)
    down = min(rows, most_tiles // across)
    height = whole[0] if down == rows else size + (down - 1) * step
    width = whole[1] if across == columns else size + (across - 1) * step
    return height, width


def _start(place: int, length: int, whole: int, rng: np.random.Generator) -> int:
    """Where a window of `length` px that contains `place` begins, of `whole` px."""
    return int(rng.integers(max(0, place - length + 1), min(place, whole - length) + 1))


def _parts(given: Sequence[str] | None, count: int) -> list[str]:
    return [str(i) for i in range(count)] if given is None else list(given)

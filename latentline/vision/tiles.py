"""Cut a frame into overlapping tiles of the model's size, and blend tiles back into a frame."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

Pixel = TypeVar("Pixel", np.uint8, np.float32)


def pad_to(image: npt.NDArray[Pixel], height: int, width: int) -> npt.NDArray[Pixel]:
    """Mirror the right and lower edges of [H, W, C] until it has at least this height and width."""
    bottom, right = max(0, height - image.shape[0]), max(0, width - image.shape[1])
    if not bottom and not right:
        return image
    # BORDER_REFLECT repeats as often as needed, so that a side may be much smaller than the tile
    padded = cv2.copyMakeBorder(image, 0, bottom, 0, right, cv2.BORDER_REFLECT)
    return np.asarray(padded.reshape(*padded.shape[:2], image.shape[2]))


@dataclass(frozen=True)
class TilePlan:
    """Where the tiles of a frame lie: evenly spread from edge to edge, with at least the overlap asked for.

    height, width  of the frame after `pad_to`, pixels
    size           of a tile, pixels a side
    corners        (y, x) of the upper left corner of each tile
    """

    height: int
    width: int
    size: int
    corners: tuple[tuple[int, int], ...]

    @classmethod
    def cover(cls, height: int, width: int, size: int, overlap: float) -> TilePlan:
        """Plan for a frame of `height` x `width` px; `overlap` in [0, 1) is a fraction of the tile."""
        height, width = max(height, size), max(width, size)
        rows, columns = _starts(height, size, overlap), _starts(width, size, overlap)
        return cls(height, width, size, tuple((y, x) for y in rows for x in columns))

    def cut(self, image: npt.NDArray[Pixel], chosen: Iterable[int] | None = None) -> npt.NDArray[Pixel]:
        """[H, W, C] -> [N, size, size, C], contiguous; of the `chosen` tiles, None: all."""
        padded = pad_to(image, self.size, self.size)
        corners = self.corners if chosen is None else [self.corners[i] for i in chosen]
        return np.stack([padded[y : y + self.size, x : x + self.size] for y, x in corners])

    def blend(self, tiles: npt.NDArray[np.float32], chosen: Iterable[int] | None = None) -> npt.NDArray[np.float32]:
        """[N, size, size, ...] -> [height, width, ...]: the weighted mean; a tile weighs less towards its edges.

        chosen  which tiles of the plan are given; the others are 0. None: all
        """
        total = np.zeros((self.height, self.width, *tiles.shape[3:]), np.float32)
        channels = [1] * (tiles.ndim - 3)
        weights = self._weights.reshape(self.height, self.width, *channels)
        window = _window(self.size).reshape(self.size, self.size, *channels)
        if chosen is None:
            for (y, x), tile in zip(self.corners, tiles, strict=True):
                total[y : y + self.size, x : x + self.size] += tile * window
            total /= weights
            return total
        for (y, x), tile in zip((self.corners[i] for i in chosen), tiles, strict=True):
            here = np.s_[y : y + self.size, x : x + self.size]
            total[here] += tile * (window / weights[here])
        return total

    @cached_property
    def _weights(self) -> npt.NDArray[np.float32]:
        """The sum of the tiles' windows at each pixel, [height, width]."""
        weights, window = np.zeros((self.height, self.width), np.float32), _window(self.size)
        for y, x in self.corners:
            weights[y : y + self.size, x : x + self.size] += window
        return weights


def _starts(length: int, size: int, overlap: float) -> list[int]:
    count = 1 + math.ceil((length - size) / (size * (1 - overlap)))
    return [int(v) for v in np.rint(np.linspace(0, length - size, count))]


def _window(size: int) -> npt.NDArray[np.float32]:
    ramp = np.minimum(np.arange(size) + 1, size - np.arange(size)).astype(np.float32) / (size / 2)
    return np.outer(ramp, ramp).astype(np.float32)

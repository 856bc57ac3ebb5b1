"""What is fixed for all frames of one shape, and so for the graph that inspects them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latentline.search.tiler import FrameTiler
from latentline.vision.tiles import TilePlan

Shape = tuple[int, int, int]


@dataclass(frozen=True)
class FramePlan:
    """How a frame becomes tiles, and tiles become batches.

    source    (H, W, C) of what is uploaded: the camera's frame, or the prepared one
    prepared  (h, w, channels of the model)
    tiles     where the tiles lie in the prepared frame
    batch     tiles searched at a time; `batches` of them, the last one filled up with copies of the last tile
    """

    source: Shape
    prepared: Shape
    tiles: TilePlan
    batch: int
    batches: int

    @classmethod
    def of(cls, frame: npt.NDArray[np.uint8], tiler: FrameTiler, most: int) -> FramePlan:
        """Plan for a frame uint8 [H, W] or [H, W, C], at most `most` tiles at a time. Raises ImageError.

        Channels and scale are made on the GPU where the frame shrinks or keeps its size and grey levels stay as they
        are; otherwise `Preprocessing` makes the prepared frame on the CPU.
        """
        prepared = tiler.preprocessing.prepared_shape(frame)
        camera = (frame.shape[0], frame.shape[1], 1 if frame.ndim == 2 else frame.shape[2])
        on_gpu = tiler.preprocessing.normalise == "none" and prepared[0] <= camera[0] and prepared[1] <= camera[1]
        tiles = TilePlan.cover(prepared[0], prepared[1], tiler.tile_size, tiler.overlap)
        return cls(camera if on_gpu else prepared, prepared, tiles, *_batches(len(tiles.corners), most))

    @classmethod
    def stacked(cls, count: int, size: int, channels: int, most: int) -> FramePlan:
        """Plan for `count` tiles, one below the other, as if they were a frame."""
        shape = (count * size, size, channels)
        tiles = TilePlan(shape[0], size, size, tuple((i * size, 0) for i in range(count)))
        return cls(shape, shape, tiles, *_batches(count, most))

    @property
    def prepares(self) -> bool:
        """Whether the graph makes the prepared frame from the camera's."""
        return self.source != self.prepared

    @property
    def count(self) -> int:
        """Tiles of a frame."""
        return len(self.tiles.corners)

    @property
    def corners(self) -> npt.NDArray[np.int32]:
        """(y, x) of every tile [batches * batch, 2], the last repeated to fill the last batch."""
        corners = np.array(self.tiles.corners, np.int32)
        spare = self.batches * self.batch - self.count
        return np.concatenate([corners, np.repeat(corners[-1:], spare, axis=0)])

    @property
    def rows(self) -> npt.NDArray[np.int32]:
        """Where rows of tiles start, y ascending."""
        return np.array(sorted({y for y, _ in self.tiles.corners}), np.int32)

    @property
    def columns(self) -> npt.NDArray[np.int32]:
        """Where columns of tiles start, x ascending."""
        return np.array(sorted({x for _, x in self.tiles.corners}), np.int32)


def _batches(count: int, most: int) -> tuple[int, int]:
    """Size and number of the batches: as few as `most` allows, as even as they can be."""
    number = math.ceil(count / most)
    return math.ceil(count / number), number

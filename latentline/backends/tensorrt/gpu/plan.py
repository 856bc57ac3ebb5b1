"""What all frames of one shape have in common, so that one graph can inspect them."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latentline.search.first_look import look_shape
from latentline.search.tiler import FrameTiler
from latentline.vision.tiles import TilePlan

Shape = tuple[int, int, int]
LARGEST_FRAME = 4096  # px a side that a first look takes


@dataclass(frozen=True)
class FramePlan:
    """How a frame becomes tiles, and tiles become batches.

    source    (H, W, C) of the frame that is uploaded: the camera's, or the prepared one
    prepared  (h, w, channels of the model)
    tiles     where the tiles lie in the prepared frame
    batch     tiles in a batch of the search
    batches   number of batches; copies of the last tile fill the last batch
    most      the tiles that are searched, after a first look at the frame; None: all are, without one
    """

    source: Shape
    prepared: Shape
    tiles: TilePlan
    batch: int
    batches: int
    most: int | None = None

    @classmethod
    def of(cls, frame: npt.NDArray[np.uint8], tiler: FrameTiler, max_batch: int) -> FramePlan:
        """Plan for a frame uint8 [H, W] or [H, W, C], at most `max_batch` tiles in a batch. Raises ImageError.

        The GPU prepares a frame that needs no normalisation and is not enlarged. `Preprocessing` prepares any other on
        the CPU.
        """
        prepared = tiler.preprocessing.prepared_shape(frame)
        camera = (frame.shape[0], frame.shape[1], 1 if frame.ndim == 2 else frame.shape[2])
        on_gpu = tiler.preprocessing.normalise == "none" and prepared[0] <= camera[0] and prepared[1] <= camera[1]
        tiles = TilePlan.cover(prepared[0], prepared[1], tiler.tile_size, tiler.overlap)
        source, count = camera if on_gpu else prepared, len(tiles.corners)
        most = None if tiler.most is None else min(tiler.most, count)
        return cls(source, prepared, tiles, *_batches(count if most is None else most, max_batch), most)

    @classmethod
    def stacked(cls, count: int, size: int, channels: int, max_batch: int) -> FramePlan:
        """Plan for `count` tiles stacked into one tall frame."""
        shape = (count * size, size, channels)
        tiles = TilePlan(shape[0], size, size, tuple((i * size, 0) for i in range(count)))
        return cls(shape, shape, tiles, *_batches(count, max_batch))

    @property
    def prepares(self) -> bool:
        """Whether the graph prepares the frame."""
        return self.source != self.prepared

    @property
    def count(self) -> int:
        """The number of tiles in a frame."""
        return len(self.tiles.corners)

    @property
    def searched(self) -> int:
        """How many of them are searched."""
        return self.count if self.most is None else self.most

    @property
    def room(self) -> int:
        """The tiles of all batches of the search, with the copies that fill the last one."""
        return self.batches * self.batch

    @property
    def corners(self) -> npt.NDArray[np.int32]:
        """(y, x) of each tile, [N, 2]; where all are searched, the last one repeats until the last batch is full."""
        corners = np.array(self.tiles.corners, np.int32)
        spare = 0 if self.most is not None else self.room - self.count
        return np.concatenate([corners, np.repeat(corners[-1:], spare, axis=0)])

    @property
    def look(self) -> tuple[int, int]:
        """Height and width of the frame that a first look sees."""
        return look_shape(self.prepared[0], self.prepared[1], self.tiles.size)

    @property
    def rows(self) -> npt.NDArray[np.int32]:
        """y where each row of tiles starts, ascending."""
        return np.array(sorted({y for y, _ in self.tiles.corners}), np.int32)

    @property
    def columns(self) -> npt.NDArray[np.int32]:
        """x where each column of tiles starts, ascending."""
        return np.array(sorted({x for _, x in self.tiles.corners}), np.int32)


def _batches(count: int, max_batch: int) -> tuple[int, int]:
    """Size and number of the batches: as few as `max_batch` allows, and as equal as possible."""
    number = math.ceil(count / max_batch)
    return math.ceil(count / number), number

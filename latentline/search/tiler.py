"""Cut frames into tiles, and search the tiles."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import numpy.typing as npt

from latentline.search.searched_frame import SearchedFrame, TiledFrame, search_frames
from latentline.search.searcher import Searcher
from latentline.vision.preprocessing import Preprocessing
from latentline.vision.tiles import TilePlan

UInt8 = npt.NDArray[np.uint8]
TILES_TOGETHER = 32  # in one search; more are no faster on a CPU


@dataclass(frozen=True)
class FrameTiler:
    """Prepares frames and cuts them into tiles.

    tile_size  pixels a side
    overlap    of neighbouring tiles, as a fraction of the tile
    most       the most tiles of a frame that are searched; None: all
    """

    preprocessing: Preprocessing
    tile_size: int
    overlap: float
    most: int | None = None

    def tile(self, frame: UInt8) -> TiledFrame:
        """Prepare a frame uint8 [H, W] or [H, W, C] and cut it. Raises ImageError for an unusable frame."""
        start = perf_counter()
        prepared = self.preprocessing.apply(frame)
        plan = TilePlan.cover(prepared.shape[0], prepared.shape[1], self.tile_size, self.overlap)
        return TiledFrame(prepared, plan, 1e3 * (perf_counter() - start), self.most)

    def count(self, frame: UInt8) -> int:
        """How many tiles of this frame are searched. Raises ImageError as `tile` does."""
        height, width, _ = self.preprocessing.prepared_shape(frame)
        tiles = len(TilePlan.cover(height, width, self.tile_size, self.overlap).corners)
        return tiles if self.most is None else min(tiles, self.most)

    def search(self, searcher: Searcher, frame: UInt8) -> SearchedFrame:
        """Cut and search one frame. Raises ImageError."""
        return search_frames(searcher, [self.tile(frame)])[0]

    def search_each(self, searcher: Searcher, frames: Iterable[UInt8]) -> Iterator[tuple[UInt8, SearchedFrame]]:
        """Each frame with its search, in order. Small frames are searched together, which is much faster."""
        waiting: list[tuple[UInt8, TiledFrame]] = []
        for frame in frames:
            waiting.append((frame, self.tile(frame)))
            if sum(len(tiled.plan.corners) for _, tiled in waiting) >= TILES_TOGETHER:
                yield from _search_waiting(searcher, waiting)
                waiting = []
        yield from _search_waiting(searcher, waiting)


def _search_waiting(
    searcher: Searcher, waiting: Sequence[tuple[UInt8, TiledFrame]]
) -> Iterator[tuple[UInt8, SearchedFrame]]:
    if waiting:
        searched = search_frames(searcher, [tiled for _, tiled in waiting])
        yield from zip((frame for frame, _ in waiting), searched, strict=True)

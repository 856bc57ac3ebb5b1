"""How frames become tiles, and how their tiles are searched."""

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


TILES_TOGETHER = 32  # in one search; more do not make it faster on a CPU


@dataclass(frozen=True)
class FrameTiler:
    """How frames become tiles.

    tile_size in px; overlap of neighbouring tiles as a fraction of the tile.
    """

    preprocessing: Preprocessing
    tile_size: int
    overlap: float

    def tile(self, frame: UInt8) -> TiledFrame:
        """Prepare and tile one frame [H, W] or [H, W, C]. Raises ImageError when it is no usable picture."""
        start = perf_counter()
        prepared = self.preprocessing.apply(frame)
        plan = TilePlan.cover(prepared.shape[0], prepared.shape[1], self.tile_size, self.overlap)
        return TiledFrame(prepared, plan, plan.cut(prepared), 1e3 * (perf_counter() - start))

    def search(self, searcher: Searcher, frame: UInt8) -> SearchedFrame:
        """TiledFrame and search one frame. Raises ImageError."""
        return search_frames(searcher, [self.tile(frame)])[0]

    def search_each(self, searcher: Searcher, frames: Iterable[UInt8]) -> Iterator[tuple[UInt8, SearchedFrame]]:
        """(frame, searched) of each, small frames searched together: much faster than one by one."""
        waiting: list[tuple[UInt8, TiledFrame]] = []
        for frame in frames:
            waiting.append((frame, self.tile(frame)))
            if sum(len(view.tiles) for _, view in waiting) >= TILES_TOGETHER:
                yield from _searched(searcher, waiting)
                waiting = []
        yield from _searched(searcher, waiting)


def _searched(searcher: Searcher, waiting: Sequence[tuple[UInt8, TiledFrame]]) -> Iterator[tuple[UInt8, SearchedFrame]]:
    if waiting:
        found = search_frames(searcher, [view for _, view in waiting])
        yield from zip((frame for frame, _ in waiting), found, strict=True)

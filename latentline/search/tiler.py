"""How frames become tiles, and how their tiles are searched."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import numpy.typing as npt

from latentline.search.searched_frame import Evidence, View, search_together
from latentline.search.searcher import Searcher
from latentline.vision.preprocessing import Preprocessing
from latentline.vision.tiles import TilePlan

UInt8 = npt.NDArray[np.uint8]


TILES_TOGETHER = 32  # in one search; more do not make it faster on a CPU


@dataclass(frozen=True)
class Viewer:
    """How frames become tiles.

    tile_size in px; overlap of neighbouring tiles as a fraction of the tile.
    """

    preprocessing: Preprocessing
    tile_size: int
    overlap: float

    def view(self, frame: UInt8) -> View:
        """Prepare and tile one frame [H, W] or [H, W, C]. Raises ImageError when it is no usable picture."""
        start = perf_counter()
        prepared = self.preprocessing.apply(frame)
        plan = TilePlan.cover(prepared.shape[0], prepared.shape[1], self.tile_size, self.overlap)
        return View(prepared, plan, plan.cut(prepared), 1e3 * (perf_counter() - start))

    def search(self, searcher: Searcher, frame: UInt8) -> Evidence:
        """View and search one frame. Raises ImageError."""
        return search_together(searcher, [self.view(frame)])[0]

    def search_each(self, searcher: Searcher, frames: Iterable[UInt8]) -> Iterator[tuple[UInt8, Evidence]]:
        """(frame, evidence) of each, small frames searched together: much faster than one by one."""
        waiting: list[tuple[UInt8, View]] = []
        for frame in frames:
            waiting.append((frame, self.view(frame)))
            if sum(len(view.tiles) for _, view in waiting) >= TILES_TOGETHER:
                yield from _searched(searcher, waiting)
                waiting = []
        yield from _searched(searcher, waiting)


def _searched(searcher: Searcher, waiting: Sequence[tuple[UInt8, View]]) -> Iterator[tuple[UInt8, Evidence]]:
    if waiting:
        found = search_together(searcher, [view for _, view in waiting])
        yield from zip((frame for frame, _ in waiting), found, strict=True)

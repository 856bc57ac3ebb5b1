"""A reconstructor around any searcher: tiles, maps and components are computed on the CPU."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import numpy as np
import numpy.typing as npt

from latentline.inspection.reconstructor import ReconstructedFrame
from latentline.scoring.components import frame_components, tile_components
from latentline.scoring.maps import PixelStatistics
from latentline.search.searched_frame import SearchedFrame, TiledFrame, search_frames
from latentline.search.searcher import Searcher
from latentline.search.tiler import FrameTiler
from latentline.vision.preprocessing import to_model_range, to_picture

UInt8 = npt.NDArray[np.uint8]


@dataclass(eq=False)
class _PendingFrame:
    tiled: TiledFrame
    searched: SearchedFrame | None = None


class HostReconstructor:
    """`Reconstructor` around a `Searcher`. Cuts a frame when it begins; does all else when it finishes.

    ahead  frames that may begin before the first finishes. They are searched together: much faster for small frames
    """

    def __init__(self, searcher: Searcher, tiler: FrameTiler, statistics: PixelStatistics, ahead: int = 1) -> None:
        self.name = searcher.name
        self.ahead = ahead
        self._searcher = searcher
        self._tiler = tiler
        self._statistics = statistics
        self._pending: list[_PendingFrame] = []

    def begin(self, frame: UInt8) -> Callable[[], ReconstructedFrame]:
        """As `Reconstructor.begin`."""
        pending = _PendingFrame(self._tiler.tile(frame))
        self._pending = [*self._pending, pending][-self.ahead :]
        return partial(self._finish, pending)

    def reconstruct(self, frame: UInt8) -> ReconstructedFrame:
        """Begin and finish at once."""
        return self.begin(frame)()

    def _finish(self, pending: _PendingFrame) -> ReconstructedFrame:
        if pending.searched is None:
            together = self._pending if pending in self._pending else [pending]
            self._pending = []
            results = search_frames(self._searcher, [other.tiled for other in together])
            for other, searched in zip(together, results, strict=True):
                other.searched = searched
        assert pending.searched is not None
        return self._reconstructed(pending.searched)

    def _reconstructed(self, searched: SearchedFrame) -> ReconstructedFrame:
        start = perf_counter()
        maps = self._statistics.maps(searched)
        return ReconstructedFrame(
            prepared=searched.prepared,
            plan=searched.plan,
            anomaly_map=maps.max(axis=0),
            reconstruction=reconstruction_of(searched),
            values=frame_components(searched, maps, self._statistics),
            tile_values=tile_components(searched.result),
            milliseconds={**searched.milliseconds, "map": 1e3 * (perf_counter() - start)},
            searched=searched.chosen,
        )

    def close(self) -> None:
        """Release the searcher."""
        self._searcher.close()


def reconstruction_of(searched: SearchedFrame) -> UInt8:
    """The reconstruction uint8 [h, w, C]; where nothing was searched, the prepared frame."""
    blended, share = searched.blend(searched.result.reconstruction.transpose(0, 2, 3, 1)), searched.searched_share()
    if share is None:
        return to_picture(blended.transpose(2, 0, 1))
    picture: UInt8 = searched.prepared.copy()
    for top, bottom, left, right in searched.regions(0):
        here = np.s_[top:bottom, left:right]
        rest = (1 - share[here]) * to_model_range(picture[here][None])[0]
        picture[here] = to_picture(blended[here].transpose(2, 0, 1) + rest)
    return picture

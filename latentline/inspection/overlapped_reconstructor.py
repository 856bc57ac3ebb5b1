"""A `HostReconstructor` that searches a frame while the maps of the one before it are computed."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from latentline.errors import BackendError
from latentline.inspection.host_reconstructor import HostReconstructor
from latentline.inspection.reconstructor import ReconstructedFrame
from latentline.scoring.maps import PixelStatistics
from latentline.search.searched_frame import search_frames
from latentline.search.searcher import Searcher
from latentline.search.tiler import FrameTiler

UInt8 = npt.NDArray[np.uint8]


class OverlappedReconstructor(HostReconstructor):
    """`Reconstructor` around a `Searcher`. Two frames may be in work, and then every core has some.

    A search keeps all cores busy; maps and what else follows it do not. A frame is searched in a thread of its own as
    soon as it begins, while the caller finishes the one before. Raises BackendError when that thread cannot be started.
    """

    def __init__(self, searcher: Searcher, tiler: FrameTiler, statistics: PixelStatistics) -> None:
        super().__init__(searcher, tiler, statistics, ahead=2)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="frame")
        try:
            self._thread.submit(int).result()  # starts it now: later nobody would wait for it
        except RuntimeError as error:
            self._thread.shutdown()
            raise BackendError(f"a thread for the search cannot be started ({error})") from None

    def begin(self, frame: UInt8) -> Callable[[], ReconstructedFrame]:
        """As `Reconstructor.begin`."""
        tiled = self._tiler.tile(frame)
        found = self._thread.submit(search_frames, self._searcher, [tiled])
        return lambda: self._reconstructed(found.result()[0])

    def close(self) -> None:
        """Release the searcher; a frame that has begun is not searched any more."""
        self._thread.shutdown(cancel_futures=True)
        super().close()

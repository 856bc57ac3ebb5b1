"""Reconstruct frames on the host with any searcher."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter

import numpy as np
import numpy.typing as npt

from latentline.inspection.reconstructor import Explained
from latentline.scoring.components import frame_components, tile_components
from latentline.scoring.maps import PixelStatistics
from latentline.search.searched_frame import Evidence, View, search_together
from latentline.search.searcher import Searcher
from latentline.search.tiler import Viewer
from latentline.vision.preprocessing import to_picture

UInt8 = npt.NDArray[np.uint8]


@dataclass(eq=False)
class _Begun:
    view: View
    evidence: Evidence | None = None


class HostExplainer:
    """Explains with any `Searcher`; tiles are cut when a frame is begun, all else is made when it is finished.

    ahead  frames that may be begun before the first is finished; they are searched together, which is much faster for
           small frames
    """

    def __init__(self, searcher: Searcher, viewer: Viewer, statistics: PixelStatistics, ahead: int = 1) -> None:
        self.name = searcher.name
        self.ahead = ahead
        self._searcher = searcher
        self._viewer = viewer
        self._statistics = statistics
        self._begun: list[_Begun] = []

    def begin(self, frame: UInt8) -> Callable[[], Explained]:
        """As `Explainer.begin`."""
        begun = _Begun(self._viewer.view(frame))
        self._begun = [*self._begun, begun][-self.ahead :]
        return partial(self._finish, begun)

    def explain(self, frame: UInt8) -> Explained:
        """Begin and finish at once."""
        return self.begin(frame)()

    def _finish(self, begun: _Begun) -> Explained:
        if begun.evidence is None:
            together = self._begun if begun in self._begun else [begun]
            self._begun = []
            found = search_together(self._searcher, [other.view for other in together])
            for other, evidence in zip(together, found, strict=True):
                other.evidence = evidence
        assert begun.evidence is not None
        return self._explained(begun.evidence)

    def _explained(self, evidence: Evidence) -> Explained:
        start = perf_counter()
        maps = self._statistics.maps(evidence)
        blended = evidence.blend(evidence.result.reconstruction.transpose(0, 2, 3, 1))
        return Explained(
            prepared=evidence.prepared,
            plan=evidence.plan,
            anomaly_map=maps.max(axis=0),
            reconstruction=to_picture(blended.transpose(2, 0, 1)),
            values=frame_components(evidence.result, maps, self._statistics),
            tile_values=tile_components(evidence.result),
            milliseconds={**evidence.milliseconds, "map": 1e3 * (perf_counter() - start)},
        )

    def close(self) -> None:
        """Release the searcher."""
        self._searcher.close()

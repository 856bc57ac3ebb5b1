"""The contract of an explainer: a camera's frame in, what the nearest normal image leaves unexplained out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from time import perf_counter
from typing import Protocol

import numpy as np
import numpy.typing as npt

from latentline.evidence import (
    Evidence,
    PixelStatistics,
    View,
    Viewer,
    frame_components,
    search_together,
    tile_components,
)
from latentline.preprocessing import to_picture
from latentline.searcher import Searcher
from latentline.tiles import TilePlan

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Explained:
    """One frame, searched and compared, in pixels of the prepared frame (h x w).

    prepared        uint8 [h, w, C]: what the model saw
    plan            where the N tiles lay
    anomaly_map     float32 [h, w]: standard deviations of normal frames, the largest over the maps
    reconstruction  uint8 [h, w, C]: the nearest normal image
    values          raw score components of the frame (`latentline.evidence.frame_components`)
    tile_values     raw components of each tile [N] (`latentline.evidence.tile_components`)
    milliseconds    time of each stage
    """

    prepared: UInt8
    plan: TilePlan
    anomaly_map: Float
    reconstruction: UInt8
    values: dict[str, float]
    tile_values: dict[str, Float]
    milliseconds: dict[str, float]


class Explainer(Protocol):
    """Explains frames of any size by the nearest normal image, in the order in which they were begun.

    ahead  how many frames may be begun before the first of them is finished
    """

    name: str
    ahead: int

    def begin(self, frame: UInt8) -> Callable[[], Explained]:
        """Begin uint8 [H, W] or [H, W, C]; what is returned finishes it. Raises ImageError: no usable picture."""
        ...

    def close(self) -> None:
        """Release the backend; afterwards nothing else may be called."""
        ...


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

"""Any reconstructor, with a trunk beside it: the trunk's values and map join those of the search."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from time import perf_counter

import numpy as np
import numpy.typing as npt

from latentline.inspection.reconstructor import ReconstructedFrame, Reconstructor
from latentline.scoring.frame_maps import MapScales, RawMaps
from latentline.trunk.maps import TrunkMaps

UInt8 = npt.NDArray[np.uint8]


class TrunkReconstructor:
    """`Reconstructor` around another one, which searches; the trunk sees each frame once, when it begins.

    A GPU that searches is at work meanwhile. Closing releases both.
    """

    def __init__(self, inner: Reconstructor, trunk: TrunkMaps, scales: MapScales) -> None:
        self.name, self.ahead = inner.name, inner.ahead
        self._inner, self._trunk, self._scales = inner, trunk, scales

    def begin(self, frame: UInt8) -> Callable[[], ReconstructedFrame]:
        """As `Reconstructor.begin`."""
        finish = self._inner.begin(frame)
        start = perf_counter()
        raw = self._trunk.raw_maps(frame)
        return partial(self._finish, finish, raw, 1e3 * (perf_counter() - start))

    def reconstruct(self, frame: UInt8) -> ReconstructedFrame:
        """Begin and finish at once."""
        return self.begin(frame)()

    def close(self) -> None:
        """Release the search and the trunk."""
        self._inner.close()
        self._trunk.close()

    def _finish(
        self, finish: Callable[[], ReconstructedFrame], raw: RawMaps, milliseconds: float
    ) -> ReconstructedFrame:
        found = finish()
        shape = (found.anomaly_map.shape[0], found.anomaly_map.shape[1])
        return replace(
            found,
            anomaly_map=np.maximum(found.anomaly_map, self._scales.plane(raw, shape)),
            values={**found.values, **self._scales.values(raw)},
            milliseconds={**found.milliseconds, "trunk": milliseconds},
        )

"""A trunk at work: frame in, maps out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latentline.scoring.frame_maps import RawMaps
from latentline.trunk.extractor import FeatureExtractor
from latentline.trunk.statistics import TrunkStatistics


@dataclass(frozen=True)
class TrunkMaps:
    """`FrameMaps` of a trunk. Closing it releases the extractor."""

    extractor: FeatureExtractor
    statistics: TrunkStatistics

    def raw_maps(self, frame: npt.NDArray[np.uint8]) -> RawMaps:
        """As `FrameMaps`: the maps of `TrunkStatistics`."""
        return self.statistics.maps(self.extractor.features(frame))

    def close(self) -> None:
        """Release the extractor."""
        self.extractor.close()

"""A trunk as a model package brings it: graph, statistics, and a test with its answer."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from latentline.scoring.frame_maps import MapScales
from latentline.trunk.spec import TrunkNetwork, TrunkSpec
from latentline.trunk.statistics import VERDICT, TrunkStatistics

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class TrunkTest:
    """A picture uint8 [1, channels, H, W] whose features [C, h, w] are known from float64."""

    image: UInt8
    features: Float


@dataclass(frozen=True)
class TrunkGraph:
    """trunk.onnx: image float32 [1, channels, H, W] in 0 … 255 -> features [1, C, h, w], with its test."""

    network: TrunkNetwork
    graph: bytes
    test: TrunkTest


@dataclass(frozen=True)
class PackagedTrunk(TrunkGraph):
    """A trunk that is fitted and calibrated.

    spec        section `trunk` of the manifest
    statistics  of the features of normal images, and the direction of known defects
    scales      of the maps that the score uses
    """

    spec: TrunkSpec
    statistics: TrunkStatistics
    scales: MapScales

    def only(self, scales: MapScales) -> PackagedTrunk | None:
        """This trunk when its maps have these scales. None: no map has a weight, so a package brings none."""
        if not scales.scales:
            return None
        statistics, spec = self.statistics, self.spec
        if VERDICT not in scales.scales:
            statistics = replace(statistics, direction=None)
            spec = spec.model_copy(update={"verdict": None})
        return replace(self, spec=spec, statistics=statistics, scales=scales)

"""The result of inspecting one frame."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from latentline.scoring.defects import Defect, find_defects, tile_defect
from latentline.vision.region import Box, cut


@dataclass(frozen=True)
class InspectionResult:
    """Score, defects and pictures of one frame. `Model.inspect` returns it.

    score           calibrated anomaly score; abnormal when above `threshold`
    components      the standardised components of the score, by name
    defects         regions of an abnormal frame; empty when the frame is normal
    anomaly_map     float32 [H, W] in frame pixels, standard deviations of normal frames
    reconstruction  uint8 [H, W, C] in frame pixels: the nearest normal image of the prepared frame
    prepared        uint8 [H, W, C] in frame pixels: what the model saw, C as the model has
    tiles           number of tiles searched
    milliseconds    time of each stage: preprocess, search, map, score; a backend may merge several
    values          raw components of the frame, as far as the backend computes them; also some without a weight
    worst_tile      (x, y, width, height) in frame pixels: the tile with the highest score; None: the whole frame
    region          (x, y, width, height) in frame pixels: what was inspected; outside of it the map is 0, and the two
                    pictures show the frame itself. None: the whole frame
    """

    score: float
    threshold: float
    components: dict[str, float]
    defects: tuple[Defect, ...]
    anomaly_map: npt.NDArray[np.float32]
    reconstruction: npt.NDArray[np.uint8]
    prepared: npt.NDArray[np.uint8]
    tiles: int
    milliseconds: dict[str, float]
    values: dict[str, float] = field(default_factory=dict)
    worst_tile: Box | None = None
    region: Box | None = None

    @property
    def is_abnormal(self) -> bool:
        """Whether the score is above the threshold."""
        return self.score > self.threshold

    def at_threshold(self, threshold: float, map_threshold: float) -> InspectionResult:
        """This result by another threshold: score, verdict and defects agree. map_threshold: the calibration's."""
        result = replace(self, threshold=threshold)
        if not result.is_abnormal:
            return replace(result, defects=())
        return result if self.defects else replace(result, defects=result.found_defects(map_threshold))

    def found_defects(self, map_threshold: float) -> tuple[Defect, ...]:
        """The defects of an abnormal frame: regions of its map, or its worst tile where the map shows nothing."""
        height, width = self.anomaly_map.shape
        region = self.region or (0, 0, width, height)
        found = find_defects(cut(self.anomaly_map, region), map_threshold)
        if found:
            return tuple(defect.moved(*region[:2]) for defect in found)
        return (tile_defect(self.anomaly_map, self.worst_tile or region),)

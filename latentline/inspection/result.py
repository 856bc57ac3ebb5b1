"""The result of inspecting one frame."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from latentline.scoring.defects import Defect


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
    values          raw components of the frame, also those without a weight in the score
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

    @property
    def is_abnormal(self) -> bool:
        """Whether the score is above the threshold."""
        return self.score > self.threshold

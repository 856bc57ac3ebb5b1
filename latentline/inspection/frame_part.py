"""A frame of which a model inspects only a part: what is found in the part, in pixels of the frame."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from latentline.inspection.result import InspectionResult
from latentline.vision.preprocessing import Preprocessing
from latentline.vision.region import Box, cut

UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class FramePart:
    """The part of a frame uint8 [H, W] or [H, W, C] that lies in `box`, pixels."""

    frame: UInt8
    box: Box

    @property
    def picture(self) -> UInt8:
        """The part alone, contiguous."""
        return np.ascontiguousarray(cut(self.frame, self.box))

    def in_frame(self, result: InspectionResult) -> InspectionResult:
        """The result of `picture` in pixels of the frame, without defects.

        Outside of the part the map is 0, and the two pictures show the frame itself.
        """
        x, y = self.box[:2]
        anomaly_map = np.zeros(self.frame.shape[:2], np.float32)
        cut(anomaly_map, self.box)[:] = result.anomaly_map
        around = Preprocessing(channels=3 if result.prepared.shape[2] == 3 else 1).apply(self.frame)
        worst = result.worst_tile or (0, 0, *self.box[2:])
        return replace(
            result,
            defects=(),
            anomaly_map=anomaly_map,
            reconstruction=self._within(around, result.reconstruction),
            prepared=self._within(around, result.prepared),
            worst_tile=(worst[0] + x, worst[1] + y, *worst[2:]),
            region=self.box,
        )

    def _within(self, around: UInt8, picture: UInt8) -> UInt8:
        whole: UInt8 = around.copy()
        cut(whole, self.box)[:] = picture
        return whole

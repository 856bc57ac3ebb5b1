"""Inspect one frame: explain it, score what remains, find defects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from latentline.inspection.reconstructor import ReconstructedFrame, Reconstructor
from latentline.inspection.result import InspectionResult
from latentline.scoring.calibration import Calibration
from latentline.scoring.defects import Defect, find_defects, tile_defect

UInt8 = npt.NDArray[np.uint8]
Pixel = TypeVar("Pixel", np.uint8, np.float32)


@dataclass(frozen=True)
class Inspector:
    """An reconstructor and what calibration fixed: scores frames and finds their defects."""

    reconstructor: Reconstructor
    calibration: Calibration

    def inspect(self, frame: UInt8) -> InspectionResult:
        """Judge a frame uint8 [H, W] or [H, W, C] of any size. Raises ImageError when it is no usable picture."""
        return self.begin(frame)()

    def begin(self, frame: UInt8) -> Callable[[], InspectionResult]:
        """Begin a frame; what is returned finishes it, in the order of beginning. Raises ImageError."""
        finish = self.reconstructor.begin(frame)
        return lambda: self._judged(finish(), (frame.shape[1], frame.shape[0]))

    def _judged(self, seen: ReconstructedFrame, size: tuple[int, int]) -> InspectionResult:
        start = perf_counter()
        anomaly_map = _resized(seen.anomaly_map, size)
        score, parts = self.calibration.score(seen.values)
        abnormal = score > self.calibration.threshold
        defects = self._defects(seen, anomaly_map) if abnormal else ()
        times = {**seen.milliseconds, "score": 1e3 * (perf_counter() - start)}
        return InspectionResult(
            score,
            self.calibration.threshold,
            parts,
            defects,
            anomaly_map,
            _resized(seen.reconstruction, size),
            _resized(seen.prepared, size),
            len(seen.plan.corners),
            times,
            seen.values,
        )

    def close(self) -> None:
        """Release the reconstructor."""
        self.reconstructor.close()

    def _defects(self, seen: ReconstructedFrame, anomaly_map: npt.NDArray[np.float32]) -> tuple[Defect, ...]:
        found = find_defects(anomaly_map, self.calibration.map_threshold)
        return found or (tile_defect(anomaly_map, self._worst_tile(seen, anomaly_map.shape)),)

    def _worst_tile(self, seen: ReconstructedFrame, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Box in frame px (x, y, width, height) of the tile with the largest weighted components."""
        raw = seen.tile_values
        votes = [c.weight * (raw[c.name] - c.mean) / c.std for c in self.calibration.components if c.name in raw]
        worst = int(np.argmax(np.sum(votes, axis=0))) if votes else 0
        y, x = seen.plan.corners[worst]
        height, width = seen.prepared.shape[:2]
        down, across = shape[0] / height, shape[1] / width
        left, top = round(x * across), round(y * down)
        right = min(shape[1], round((x + seen.plan.size) * across))
        bottom = min(shape[0], round((y + seen.plan.size) * down))
        return left, top, right - left, bottom - top


def _resized(image: npt.NDArray[Pixel], size: tuple[int, int]) -> npt.NDArray[Pixel]:
    """To `size` (width, height), keeping a channel axis."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    resized: npt.NDArray[Pixel] = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return resized.reshape(*resized.shape[:2], *image.shape[2:])

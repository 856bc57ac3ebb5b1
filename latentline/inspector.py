"""Inspect one frame: prepare, tile, search, score, find defects."""

from __future__ import annotations

from dataclasses import dataclass
from time import perf_counter
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

from latentline.calibration import Calibration
from latentline.defects import find_defects, tile_defect
from latentline.evidence import Evidence, PixelStatistics, Viewer, frame_components, tile_components
from latentline.inspection import Defect, Inspection
from latentline.preprocessing import to_picture
from latentline.searcher import Searcher

UInt8 = npt.NDArray[np.uint8]
Pixel = TypeVar("Pixel", np.uint8, np.float32)


@dataclass(frozen=True)
class Inspector:
    """A searcher with everything that calibration fixed."""

    searcher: Searcher
    viewer: Viewer
    calibration: Calibration
    statistics: PixelStatistics

    def inspect(self, frame: UInt8) -> Inspection:
        """Judge a frame uint8 [H, W] or [H, W, C] of any size. Raises ImageError when it is no usable picture."""
        evidence = self.viewer.search(self.searcher, frame)
        start = perf_counter()
        size = frame.shape[1], frame.shape[0]
        maps = self.statistics.maps(evidence)
        anomaly_map = _resized(maps.max(axis=0), size)
        values = frame_components(evidence.result, maps, self.statistics.scales)
        score, parts = self.calibration.score(values)
        abnormal = score > self.calibration.threshold
        defects = self._defects(evidence, anomaly_map) if abnormal else ()
        blended = evidence.plan.blend(evidence.result.reconstruction.transpose(0, 2, 3, 1))
        height, width = evidence.prepared.shape[:2]
        reconstruction = to_picture(blended[:height, :width].transpose(2, 0, 1))
        times = {**evidence.milliseconds, "score": 1e3 * (perf_counter() - start)}
        return Inspection(
            score,
            self.calibration.threshold,
            parts,
            defects,
            anomaly_map,
            _resized(reconstruction, size),
            _resized(evidence.prepared, size),
            len(evidence.tiles),
            times,
        )

    def close(self) -> None:
        """Release the searcher."""
        self.searcher.close()

    def _defects(self, evidence: Evidence, anomaly_map: npt.NDArray[np.float32]) -> tuple[Defect, ...]:
        found = find_defects(anomaly_map, self.calibration.map_threshold)
        return found or (tile_defect(anomaly_map, self._worst_tile(evidence, anomaly_map.shape)),)

    def _worst_tile(self, evidence: Evidence, shape: tuple[int, ...]) -> tuple[int, int, int, int]:
        """Box in frame px (x, y, width, height) of the tile with the largest weighted components."""
        raw = tile_components(evidence.result)
        votes = [c.weight * (raw[c.name] - c.mean) / c.std for c in self.calibration.components if c.name in raw]
        worst = int(np.argmax(np.sum(votes, axis=0))) if votes else 0
        y, x = evidence.plan.corners[worst]
        height, width = evidence.prepared.shape[:2]
        down, across = shape[0] / height, shape[1] / width
        left, top = round(x * across), round(y * down)
        right = min(shape[1], round((x + evidence.plan.size) * across))
        bottom = min(shape[0], round((y + evidence.plan.size) * down))
        return left, top, right - left, bottom - top


def _resized(image: npt.NDArray[Pixel], size: tuple[int, int]) -> npt.NDArray[Pixel]:
    """To `size` (width, height), keeping a channel axis."""
    if (image.shape[1], image.shape[0]) == size:
        return image
    resized: npt.NDArray[Pixel] = cv2.resize(image, size, interpolation=cv2.INTER_LINEAR)
    return resized.reshape(*resized.shape[:2], *image.shape[2:])

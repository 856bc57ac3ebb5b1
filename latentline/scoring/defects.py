"""From an anomaly map to defects: the regions around its peaks."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

EDGE = 0.5
MOST_DEFECTS = 32  # in one frame, the strongest first; more means a broken frame

Map = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Defect:
    """One connected region of an abnormal frame, in pixels of the frame as the camera gave it.

    bbox     (x, y, width, height)
    area     pixels
    peak     largest value of the anomaly map inside, in standard deviations of normal frames
    mean     mean of the anomaly map inside
    polygon  outline as (x, y) corners
    source   "map": pixels above the map threshold; "tile": no pixel is above it, and this tile has the highest score
    """

    bbox: tuple[int, int, int, int]
    area: int
    peak: float
    mean: float
    polygon: tuple[tuple[int, int], ...]
    source: str


def find_defects(anomaly_map: Map, threshold: float) -> tuple[Defect, ...]:
    """Defects of the map [H, W], strongest first: around each peak above `threshold`, the pixels above EDGE times it.

    The map is pooled, so a defect has a blurred edge. Half the height of its peak marks its size; the threshold would
    mark how strong it is. Regions are 8-connected and do not overlap.
    """
    free = anomaly_map.copy()
    defects: list[Defect] = []
    while len(defects) < MOST_DEFECTS:
        peak = int(np.argmax(free))
        height = float(free.flat[peak])
        if height <= threshold:
            break
        region = _component(free > EDGE * height, peak)
        defects.append(_defect(anomaly_map, region))
        # pixels above the threshold that touch the peak's region are the tail of this defect, not another defect
        tail = _component((free > threshold) | region, peak)
        free[tail] = -np.inf
    return tuple(defects)


def tile_defect(anomaly_map: Map, box: tuple[int, int, int, int]) -> Defect:
    """The tile `box` (x, y, width, height) as a defect, for a frame whose score is high and whose map shows nothing."""
    x, y, width, height = box
    inside = anomaly_map[y : y + height, x : x + width]
    corners = ((x, y), (x + width - 1, y), (x + width - 1, y + height - 1), (x, y + height - 1))
    return Defect(box, int(inside.size), float(inside.max()), float(inside.mean()), corners, "tile")


def _component(mask: Mask, pixel: int) -> Mask:
    """The 8-connected region of `mask` around a flat index."""
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return np.asarray(labels == labels.flat[pixel])


def _defect(anomaly_map: Map, region: Mask) -> Defect:
    x, y, width, height = (int(v) for v in cv2.boundingRect(region.astype(np.uint8)))
    values = anomaly_map[region]
    contours, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    outline = cv2.approxPolyDP(max(contours, key=len), 1.0, True).reshape(-1, 2)
    polygon = tuple((int(px), int(py)) for px, py in outline)
    peak, mean = float(values.max()), float(values.mean())
    return Defect((x, y, width, height), int(values.size), peak, mean, polygon, "map")

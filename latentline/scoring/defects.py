"""From an anomaly map to defects: the regions around its peaks."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

EDGE = 0.5
MOST_DEFECTS = 32  # of one frame, the strongest first; more is a broken frame, not a list

Map = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]


def find_defects(anomaly_map: Map, threshold: float) -> tuple[Defect, ...]:
    """Defects of the map [H, W], strongest first: around each peak above `threshold`, the pixels above EDGE times it.

    The map is pooled, so a defect has a blurred edge: where the threshold cuts it says how strong the defect is, and
    half its height says how large it is. Regions are 8-connected and do not overlap.
    """
    free = anomaly_map.copy()
    found: list[Defect] = []
    while len(found) < MOST_DEFECTS:
        peak = int(np.argmax(free))
        height = float(free.flat[peak])
        if height <= threshold:
            break
        region = _component(free > EDGE * height, peak)
        found.append(_defect(anomaly_map, region))
        # above the threshold and connected with the peak: the tail of this defect, not another one
        tail = _component((free > threshold) | region, peak)
        free[tail] = -np.inf
    return tuple(found)


def tile_defect(anomaly_map: Map, box: tuple[int, int, int, int]) -> Defect:
    """The tile `box` (x, y, width, height) as a defect: the score says it is abnormal, the map cannot say where."""
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


@dataclass(frozen=True)
class Defect:
    """One connected region of a frame, in pixels of the frame as the camera gave it.

    bbox     (x, y, width, height)
    area     pixels
    peak     largest value of the anomaly map inside, in standard deviations of normal frames
    mean     mean of the anomaly map inside
    polygon  outline as (x, y) corners
    source   "map": pixels above the map threshold; "tile": no pixel was, and this is the tile that made the score
    """

    bbox: tuple[int, int, int, int]
    area: int
    peak: float
    mean: float
    polygon: tuple[tuple[int, int], ...]
    source: str

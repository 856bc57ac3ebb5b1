"""From an anomaly map to defects: connected regions above the map threshold."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from latentline.inspection import Defect

EDGE = 0.4
MOST_DEFECTS = 32  # of one frame, the strongest first; more is a broken frame, not a list


def find_defects(anomaly_map: npt.NDArray[np.float32], threshold: float) -> tuple[Defect, ...]:
    """Regions (8-connected) of the map [H, W] above `threshold`, strongest first.

    A region is cut back to the pixels above EDGE times its own peak: the map is pooled, and the tails of a strong
    defect reach far beyond it.
    """
    count, labels = cv2.connectedComponents((anomaly_map > threshold).astype(np.uint8), connectivity=8)
    peaks = np.zeros(count, np.float32)
    np.maximum.at(peaks, labels, anomaly_map)
    mask = (anomaly_map > np.maximum(threshold, EDGE * peaks)[labels]).astype(np.uint8)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    found = [_defect(anomaly_map, labels, stats[label], label) for label in range(1, count)]
    return tuple(sorted(found, key=lambda d: -d.peak)[:MOST_DEFECTS])


def tile_defect(anomaly_map: npt.NDArray[np.float32], box: tuple[int, int, int, int]) -> Defect:
    """The tile `box` (x, y, width, height) as a defect: the score says it is abnormal, the map cannot say where."""
    x, y, width, height = box
    inside = anomaly_map[y : y + height, x : x + width]
    corners = ((x, y), (x + width - 1, y), (x + width - 1, y + height - 1), (x, y + height - 1))
    return Defect(box, int(inside.size), float(inside.max()), float(inside.mean()), corners, "tile")


def _defect(
    anomaly_map: npt.NDArray[np.float32], labels: npt.NDArray[np.int32], row: npt.NDArray[np.int32], label: int
) -> Defect:
    x, y, width, height, area = (int(v) for v in row[:5])
    window = (slice(y, y + height), slice(x, x + width))
    region = labels[window] == label
    values = anomaly_map[window][region]
    contours, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(x, y))
    outline = cv2.approxPolyDP(max(contours, key=len), 1.0, True).reshape(-1, 2)
    polygon = tuple((int(px), int(py)) for px, py in outline)
    return Defect((x, y, width, height), area, float(values.max()), float(values.mean()), polygon, "map")

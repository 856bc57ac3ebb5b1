"""From an anomaly map to defects: the regions around its peaks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import cv2
import numpy as np
import numpy.typing as npt

EDGE = 0.5
MOST_DEFECTS = 32  # in one frame, the strongest first; more means a broken frame

Map = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
_Box = tuple[slice, slice]  # rows and columns of a part of the map
_REACH = 48  # px from a peak to the edge of the first part that is looked at


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

    def moved(self, x: int, y: int) -> Defect:
        """The same defect, `x` px further to the right and `y` px further down."""
        left, top, *size = self.bbox
        polygon = tuple((across + x, down + y) for across, down in self.polygon)
        return replace(self, bbox=(left + x, top + y, size[0], size[1]), polygon=polygon)


def find_defects(anomaly_map: Map, threshold: float) -> tuple[Defect, ...]:
    """Defects of the map [H, W], strongest first: around each peak above `threshold`, the pixels above EDGE times it.

    The map is pooled, so a defect has a blurred edge. Half the height of its peak marks its size; the threshold would
    mark how strong it is. Regions are 8-connected and do not overlap.
    """
    free = anomaly_map.copy()
    row_peaks = free.max(axis=1)
    defects: list[Defect] = []
    while len(defects) < MOST_DEFECTS:
        row = int(np.argmax(row_peaks))
        peak = (row, int(np.argmax(free[row])))
        height = float(free[peak])
        if height <= threshold:
            break
        region, box = _component(partial(_above, EDGE * height), free, peak, _around(peak, free.shape))
        defects.append(_defect(anomaly_map, region, box))

        # pixels above the threshold that touch the peak's region are the tail of this defect, not another defect
        def tail_mask(part: Map, at: _Box, region: Mask = region, box: _Box = box) -> Mask:
            mask = part > threshold
            mask[box[0].start - at[0].start :, box[1].start - at[1].start :][: region.shape[0], : region.shape[1]] |= (
                region
            )
            return mask

        tail, box = _component(tail_mask, free, peak, box)
        free[box][tail] = -np.inf
        row_peaks[box[0]] = free[box[0]].max(axis=1)
    return tuple(defects)


def tile_defect(anomaly_map: Map, box: tuple[int, int, int, int]) -> Defect:
    """The tile `box` (x, y, width, height) as a defect, for a frame whose score is high and whose map shows nothing."""
    x, y, width, height = box
    inside = anomaly_map[y : y + height, x : x + width]
    corners = ((x, y), (x + width - 1, y), (x + width - 1, y + height - 1), (x, y + height - 1))
    return Defect(box, int(inside.size), float(inside.max()), float(inside.mean()), corners, "tile")


def _above(limit: float, part: Map, _: _Box) -> Mask:
    return np.asarray(part > limit)


def _around(pixel: tuple[int, int], shape: tuple[int, ...]) -> _Box:
    y, x = (slice(max(0, at - _REACH), min(length, at + _REACH + 1)) for at, length in zip(pixel, shape, strict=True))
    return y, x


def _component(mask_of: Callable[[Map, _Box], Mask], free: Map, pixel: tuple[int, int], box: _Box) -> tuple[Mask, _Box]:
    """The 8-connected region around `pixel` of a mask, and the box that it lies in, which is `box` or a larger one.

    mask_of  gives the mask of a part of `free` and its box. It is asked for larger parts until no inner edge cuts the
             region, so that what is far from the peak costs nothing
    """
    while True:
        mask = mask_of(free[box], box)
        _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
        region = np.asarray(labels == labels[pixel[0] - box[0].start, pixel[1] - box[1].start])
        larger = _without_cuts(region, box, free.shape)
        if larger == box:
            return region, box
        box = larger


def _without_cuts(region: Mask, box: _Box, shape: tuple[int, ...]) -> _Box:
    """`box`, doubled to each side at which an edge inside the map cuts `region`."""
    sides = []
    for axis, (span, length) in enumerate(zip(box, shape, strict=True)):
        touched = np.atleast_1d(region.any(axis=1 - axis))
        size = span.stop - span.start
        first = max(0, span.start - size) if touched[0] else span.start
        last = min(length, span.stop + size) if touched[-1] else span.stop
        sides.append(slice(first, last))
    return sides[0], sides[1]


def _defect(anomaly_map: Map, region: Mask, box: _Box) -> Defect:
    top, left = box[0].start, box[1].start
    x, y, width, height = (int(v) for v in cv2.boundingRect(region.astype(np.uint8)))
    values = anomaly_map[box][region]
    contours, _ = cv2.findContours(
        region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE, offset=(left, top)
    )
    outline = cv2.approxPolyDP(max(contours, key=len), 1.0, True).reshape(-1, 2)
    polygon = tuple((int(px), int(py)) for px, py in outline)
    peak, mean = float(values.max()), float(values.mean())
    return Defect((left + x, top + y, width, height), int(values.size), peak, mean, polygon, "map")

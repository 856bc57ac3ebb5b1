"""Looking only around each peak gives the defects that looking at the whole map gives, to the bit."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from latentline.scoring.defects import EDGE, MOST_DEFECTS, Defect, find_defects

Map = npt.NDArray[np.float32]


def _component(mask: npt.NDArray[np.bool_], pixel: int) -> npt.NDArray[np.bool_]:
    _, labels = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
    return np.asarray(labels == labels.flat[pixel])


def _plainly(anomaly_map: Map, threshold: float) -> tuple[Defect, ...]:
    """The definition, computed on the whole map for each peak."""
    free = anomaly_map.copy()
    defects: list[Defect] = []
    while len(defects) < MOST_DEFECTS:
        peak = int(np.argmax(free))
        height = float(free.flat[peak])
        if height <= threshold:
            break
        region = _component(free > EDGE * height, peak)
        x, y, width, height_px = (int(v) for v in cv2.boundingRect(region.astype(np.uint8)))
        contours, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        outline = cv2.approxPolyDP(max(contours, key=len), 1.0, True).reshape(-1, 2)
        values = anomaly_map[region]
        polygon = tuple((int(px), int(py)) for px, py in outline)
        peak_value, mean = float(values.max()), float(values.mean())
        defects.append(Defect((x, y, width, height_px), int(values.size), peak_value, mean, polygon, "map"))
        free[_component((free > threshold) | region, peak)] = -np.inf
    return tuple(defects)


def _maps(kind: int, shape: tuple[int, int], random: np.random.Generator) -> Map:
    noise = random.normal(0, 1, shape)
    blurred = cv2.GaussianBlur(noise, (0, 0), random.uniform(0.5, 20)) * random.uniform(5, 60)
    steep = np.linspace(0, 9, shape[1])[None]
    spiral = np.zeros(shape)
    for radius in range(2, min(shape) // 2, 6):  # one long thin region that leaves every small box
        cv2.ellipse(spiral, (shape[1] // 2, shape[0] // 2), (radius, radius), 0, 0, 340, 5.0, 1)
        cv2.line(spiral, (shape[1] // 2 + radius, shape[0] // 2), (shape[1] // 2 + radius + 6, shape[0] // 2), 5.0, 1)
    kinds = (noise, blurred, np.round(2 * noise), np.where(noise > 1, 5.0, 0.0), blurred + steep, 0 * noise + 3, spiral)
    return np.ascontiguousarray(kinds[kind], np.float32)


@pytest.mark.parametrize("kind", range(7))
def test_a_window_gives_what_the_whole_map_gives(kind: int) -> None:
    """For noise, blobs, ties, flat maps, slopes and long thin regions, of any shape and at any threshold."""
    random, found = np.random.default_rng(kind), 0
    for _ in range(25):
        plane = _maps(kind, (int(random.integers(1, 260)), int(random.integers(1, 260))), random)
        threshold = float(random.choice([-1, 0, 0.5, 1, 2, 3]))
        defects = find_defects(plane, threshold)
        assert defects == _plainly(plane, threshold)
        found += len(defects)
    assert found


def test_what_is_far_from_a_peak_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """For 32 small defects in a map of 5 million pixels, fewer pixels are looked at than the map has."""
    plane, seen = np.zeros((2048, 2448), np.float32), 0
    for number in range(MOST_DEFECTS):
        plane[60 * number + 20 :, 70 * number + 30 :][:12, :9] = 5 + number
    label = cv2.connectedComponents

    def counting(image: Any, **options: Any) -> Any:
        nonlocal seen
        seen += image.size
        return label(image, **options)

    monkeypatch.setattr(cv2, "connectedComponents", counting)
    assert len(find_defects(plane, 3.0)) == MOST_DEFECTS
    assert seen < plane.size / 4

"""One picture of an inspection: frame with boxes, prepared frame, reconstruction, heat map."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from latentline.base.atomic import write_bytes
from latentline.inspection.result import InspectionResult

UInt8 = npt.NDArray[np.uint8]
HEIGHT = 280  # px
HEAT_FULL_SCALE = 8.0  # standard deviations of normal frames, drawn in the hottest colour
RED, GREEN, WHITE = (40, 40, 230), (80, 200, 60), (255, 255, 255)
MARGIN = 24


def draw_panel(frame: UInt8, result: InspectionResult, mask: npt.NDArray[np.bool_] | None = None) -> UInt8:
    """Frame with defects (red boxes), ground truth (green outline) and region of interest (white box), prepared frame,
    reconstruction, heat map."""
    scale = HEIGHT / frame.shape[0]
    marked = _scaled(frame, scale)
    if mask is not None:
        outlined = cv2.resize(
            mask.astype(np.uint8), (marked.shape[1], marked.shape[0]), interpolation=cv2.INTER_NEAREST
        )
        contours, _ = cv2.findContours(outlined, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        cv2.drawContours(marked, contours, -1, GREEN, 1, cv2.LINE_AA)
    if result.region is not None:
        x, y, width, height = (round(v * scale) for v in result.region)
        cv2.rectangle(marked, (x, y), (x + width - 1, y + height - 1), WHITE, 1)
    for defect in result.defects:
        x, y, width, height = (round(v * scale) for v in defect.bbox)
        cv2.rectangle(marked, (x, y), (x + width, y + height), RED, 2, cv2.LINE_AA)
    heat = np.clip(result.anomaly_map / HEAT_FULL_SCALE, 0, 1)
    coloured = cv2.applyColorMap(np.asarray(heat * 255, np.uint8), cv2.COLORMAP_INFERNO)
    verdict = (
        f"{'ABNORMAL' if result.is_abnormal else 'normal'}  score {result.score:.2f}, threshold {result.threshold:.2f}"
    )
    pictures = {
        verdict: marked,
        "as the model sees it": _scaled(result.prepared, scale),
        "nearest normal image": _scaled(result.reconstruction, scale),
        "anomaly map": _scaled(coloured, scale),
    }
    return np.hstack([_titled(picture, title) for title, picture in pictures.items()])


def save_panel(path: Path, frame: UInt8, result: InspectionResult, mask: npt.NDArray[np.bool_] | None = None) -> None:
    """Write `draw_panel` as PNG, whole or not at all."""
    write_bytes(path, cv2.imencode(".png", draw_panel(frame, result, mask))[1].tobytes())


def _scaled(image: UInt8, scale: float) -> UInt8:
    codes = {1: cv2.COLOR_GRAY2BGR, 4: cv2.COLOR_BGRA2BGR}
    channels = 1 if image.ndim == 2 else image.shape[2]
    colour = image if channels == 3 else cv2.cvtColor(image, codes[channels])
    size = (max(1, round(image.shape[1] * scale)), HEIGHT)
    return np.asarray(cv2.resize(colour, size, interpolation=cv2.INTER_NEAREST if scale > 1 else cv2.INTER_AREA))


def _titled(picture: UInt8, title: str) -> UInt8:
    width = max(picture.shape[1], 240) + 6
    canvas = np.zeros((picture.shape[0] + MARGIN, width, 3), np.uint8)
    canvas[MARGIN:, : picture.shape[1]] = picture
    cv2.putText(canvas, title, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.42, WHITE, 1, cv2.LINE_AA)
    return canvas

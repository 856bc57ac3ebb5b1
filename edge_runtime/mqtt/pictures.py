"""A small JPEG of each defect, for people who look at an event."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.cameras.base import Frame
from edge_runtime.mqtt.events import Message
from edge_runtime.mqtt.settings import SMALLEST_SIDE, PictureSection
from latentline.inspection.result import InspectionResult
from latentline.scoring.defects import Defect

CONTENT_TYPE = "image/jpeg"
_OVERHEAD_BYTES = 1024  # left free in a packet for topic and properties
UInt8 = npt.NDArray[np.uint8]
Box = tuple[int, int, int, int]


@dataclass(frozen=True)
class DefectPicture:
    """One JPEG with its MQTT 5 user properties.

    topic       cam/{id}/picture, below the station's topic
    properties  event_id; index of the defect in the event; captured_at; bbox of the defect and crop (the region that
                the picture shows), both x,y,width,height in pixels of the frame
    """

    topic: str
    payload: bytes
    properties: tuple[tuple[str, str], ...]


def defect_pictures(
    frame: Frame,
    inspection: InspectionResult,
    event: Message,
    settings: PictureSection,
    packet_bytes: int | None = None,
) -> list[DefectPicture]:
    """Pictures of the defects in `event`, which describes `frame` and `inspection`.

    packet_bytes  largest packet that the broker accepts; None: any
    A defect whose picture does not fit even at the lowest quality and size gets none.
    """
    limit = settings.max_bytes if packet_bytes is None else min(settings.max_bytes, packet_bytes - _OVERHEAD_BYTES)
    order = sorted(range(len(inspection.defects)), key=lambda index: -inspection.defects[index].peak)
    pictures = []
    for index in sorted(order[: settings.per_frame]):
        defect = inspection.defects[index]
        box = _crop_box(defect, frame.image.shape, settings.margin)
        payload = _jpeg(_cut(frame.picture, box, settings.longest_side), settings.quality, limit)
        if payload is not None:
            properties = {
                "event_id": str(event["event_id"]),
                "index": str(index),
                "captured_at": str(event["captured_at"]),
                "bbox": ",".join(map(str, defect.bbox)),
                "crop": ",".join(map(str, box)),
            }
            pictures.append(DefectPicture(f"cam/{frame.camera}/picture", payload, tuple(properties.items())))
    return pictures


def _crop_box(defect: Defect, shape: tuple[int, ...], margin: float) -> Box:
    x, y, width, height = defect.bbox
    around = round(margin * max(width, height))
    left, top = max(0, x - around), max(0, y - around)
    right, bottom = min(shape[1], x + width + around), min(shape[0], y + height + around)
    return left, top, right - left, bottom - top


def _cut(image: UInt8, box: Box, longest_side: int) -> UInt8:
    x, y, width, height = box
    return _scaled(image[y : y + height, x : x + width], min(1.0, longest_side / max(width, height)))


def _scaled(image: UInt8, factor: float) -> UInt8:
    if factor == 1.0:
        return image
    size = tuple(max(1, round(side * factor)) for side in (image.shape[1], image.shape[0]))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def _jpeg(image: UInt8, quality: int, limit: int) -> bytes | None:
    """Encode `image` in at most `limit` bytes: first at lower quality, then smaller. None if neither is enough."""
    while True:
        for lowered in range(quality, max(quality - 61, 0), -15):
            payload = cv2.imencode(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, lowered])[1].tobytes()
            if len(payload) <= limit:
                return payload
        if max(image.shape[:2]) < 2 * SMALLEST_SIDE:
            return None
        image = _scaled(image, 0.5)

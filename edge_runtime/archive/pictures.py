"""The files of an archived picture: as the camera gave it, its anomaly map, and the nearest normal picture."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.archive.record import MAP_FULL_SCALE
from edge_runtime.archive.settings import ArchiveSection
from latentline.vision.bit_depth import UInt8

_MAP_SIDE = 256  # px, of the longest side
_NEAREST_SIDE = 512
_NEAREST_QUALITY = 85


def picture_file(image: UInt8, settings: ArchiveSection) -> tuple[str, bytes]:
    """Suffix and content of the file of a picture, uint8 [H, W, C]."""
    if settings.format == "jpeg":
        return ".jpg", _encoded(".jpg", image, [cv2.IMWRITE_JPEG_QUALITY, settings.quality])
    return ".png", _encoded(".png", image, [cv2.IMWRITE_PNG_COMPRESSION, 1])


def map_file(anomaly_map: npt.NDArray[np.float32]) -> bytes:
    """A map [H, W] as a grey PNG of at most 256 px a side: of each block its largest value, so that no peak is lost.

    White is MAP_FULL_SCALE standard deviations or more.
    """
    factor = -(-max(anomaly_map.shape) // _MAP_SIDE)
    height, width = anomaly_map.shape
    padding = ((0, -height % factor), (0, -width % factor))
    padded = np.pad(anomaly_map, padding, mode="edge") if factor > 1 else anomaly_map
    blocks = padded.reshape(padded.shape[0] // factor, factor, padded.shape[1] // factor, factor).max(axis=(1, 3))
    levels = np.rint(255 / MAP_FULL_SCALE * np.clip(np.nan_to_num(blocks), 0, MAP_FULL_SCALE))
    return _encoded(".png", levels.astype(np.uint8), [])


def nearest_file(reconstruction: UInt8) -> bytes:
    """The nearest normal picture, uint8 [H, W, C], as a JPEG of at most 512 px a side."""
    factor = min(1.0, _NEAREST_SIDE / max(reconstruction.shape[:2]))
    size = [max(1, round(factor * side)) for side in reconstruction.shape[1::-1]]
    small = reconstruction if factor == 1 else cv2.resize(reconstruction, size, interpolation=cv2.INTER_AREA)
    return _encoded(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, _NEAREST_QUALITY])


def _encoded(suffix: str, image: UInt8, options: list[int]) -> bytes:
    return bytes(cv2.imencode(suffix, image, options)[1].tobytes())

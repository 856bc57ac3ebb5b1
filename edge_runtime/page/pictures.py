"""Pictures for a browser: small ones of a frame and of its anomaly map."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from latentline.inspection.panels import HEAT_FULL_SCALE

UInt8 = npt.NDArray[np.uint8]
FRAME_SIDE = 1280  # px, longest side of a picture of a frame
HEAT_SIDE = 480  # px, of a heat map, which is smooth
_QUALITY = 85
_COLD = 0.3  # share of the scale of colours that every normal frame reaches: it stays transparent


def frame_jpeg(image: UInt8, side: int = FRAME_SIDE) -> bytes:
    """A frame uint8 [H, W] or [H, W, C], C = 1, 3 or 4, as JPEG with `side` px at most."""
    return cv2.imencode(".jpg", _smaller(image, side)[..., :3], [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])[1].tobytes()


def heat_png(anomaly_map: npt.NDArray[np.float32], side: int = HEAT_SIDE) -> bytes:
    """An anomaly map [H, W] in standard deviations as PNG to lay over the frame: what is normal is transparent."""
    factor = min(1.0, side / max(anomaly_map.shape))
    size = tuple(max(1, round(length * factor)) for length in anomaly_map.shape[::-1])
    small = anomaly_map if factor == 1.0 else cv2.resize(anomaly_map, size, interpolation=cv2.INTER_AREA)
    heat = np.clip(np.nan_to_num(small / HEAT_FULL_SCALE), 0, 1)
    shown = np.clip((heat - _COLD) / (1 - _COLD), 0, 1)
    coloured = cv2.applyColorMap(np.asarray(heat * 255, np.uint8), cv2.COLORMAP_INFERNO)
    alpha = np.asarray(np.sqrt(shown) * 255, np.uint8)
    return cv2.imencode(".png", np.dstack([coloured, alpha]))[1].tobytes()


def _smaller(image: UInt8, side: int) -> UInt8:
    """`image` with `side` px at most. Of a huge one only every k-th pixel is read, so that it costs little."""
    step = max(1, max(image.shape[:2]) // (2 * side))
    image = image[::step, ::step]
    factor = min(1.0, side / max(image.shape[:2]))
    if factor == 1.0:
        return np.ascontiguousarray(image)
    size = tuple(max(1, round(length * factor)) for length in image.shape[1::-1])
    resized: UInt8 = cv2.resize(np.ascontiguousarray(image), size, interpolation=cv2.INTER_AREA)
    return resized if resized.ndim == image.ndim else resized[..., None]

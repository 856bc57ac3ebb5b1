"""Decodes GenICam pixel formats."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import numpy.typing as npt

from edge_runtime.cameras.opencv import load_cv2

UInt8 = npt.NDArray[np.uint8]
# Codes of the GenICam Pixel Format Naming Convention (PFNC). Mono10 and Mono12 use the low bits of two bytes.
_SHIFTS = {0x01100003: 2, 0x01100005: 4, 0x01100007: 8}  # Mono10, Mono12, Mono16: low bits to drop
_COLOURS = {
    0x01080008: (1, "COLOR_BayerGRBG2BGR"),
    0x01080009: (1, "COLOR_BayerRGGB2BGR"),
    0x0108000A: (1, "COLOR_BayerGBRG2BGR"),
    0x0108000B: (1, "COLOR_BayerBGGR2BGR"),
    0x0210001F: (2, "COLOR_YUV2BGR_UYVY"),
    0x02100032: (2, "COLOR_YUV2BGR_YUYV"),
    0x02180014: (3, "COLOR_RGB2BGR"),
}
_MONO8, _BGR8 = 0x01080001, 0x02180015
SUPPORTED = "Mono8, Mono10, Mono12, Mono16, BayerRG8 and its variants, RGB8, BGR8, YUV422_8, YUV422_8_UYVY"


def decoder(code: int) -> Callable[[bytes, int, int], UInt8] | None:
    """A function that turns (bytes, width, height) into uint8 [H, W, C], grey or BGR. None: unsupported format.

    It raises ValueError if there are too few bytes.
    """
    if code == _MONO8:
        return lambda data, width, height: _pixels(data, width, height, 1)
    if code == _BGR8:
        return lambda data, width, height: _pixels(data, width, height, 3)
    if code in _SHIFTS:
        return lambda data, width, height: _high_bits(data, width, height, _SHIFTS[code])
    if code in _COLOURS:
        channels, name = _COLOURS[code]
        cv2 = load_cv2()
        return partial(_to_bgr, cv2.cvtColor, getattr(cv2, name), channels)
    return None


def _pixels(data: bytes, width: int, height: int, channels: int) -> UInt8:
    return np.frombuffer(data, np.uint8, width * height * channels).reshape(height, width, channels)


def _to_bgr(
    convert: Callable[[UInt8, int], UInt8], code: int, channels: int, data: bytes, width: int, height: int
) -> UInt8:
    return convert(_pixels(data, width, height, channels), code)


def _high_bits(data: bytes, width: int, height: int, shift: int) -> UInt8:
    values = np.frombuffer(data, "<u2", width * height).reshape(height, width, 1)
    return np.asarray(np.minimum(values >> shift, 255), dtype=np.uint8)

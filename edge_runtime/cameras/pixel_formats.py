"""Decodes GenICam pixel formats."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from edge_runtime.cameras.opencv import load_cv2
from latentline.errors import ImageError
from latentline.vision.bit_depth import Image, UInt8, UInt16, to_8_bit

# Codes of the GenICam Pixel Format Naming Convention (PFNC). Mono10, 12 and 14 use the low bits of two bytes.
_BITS = {0x01100003: 10, 0x01100005: 12, 0x01100025: 14}
_MONO16 = 0x01100007
_PACKED = {0x010A0046: 10, 0x010C0047: 12, 0x010E0104: 14}  # Mono10p …: bits follow each other, lowest first
_GIGE_PACKED = (0x010C0004, 0x010C0006)  # Mono10Packed, Mono12Packed: in three bytes two pixels, the middle their rest
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
SUPPORTED = (
    "Mono8, Mono10, Mono12, Mono14 (also packed), Mono16, BayerRG8 and its variants, RGB8, BGR8, YUV422_8, "
    "YUV422_8_UYVY"
)


def decoder(code: int) -> Callable[[bytes, int, int], Image] | None:
    """A function that turns (bytes, width, height) into [H, W, C], grey or BGR. None: unsupported format.

    Its result is uint8, of Mono16 uint16: the format does not say how many of the 16 bits a camera uses. It raises
    ValueError if there are too few bytes, ImageError for a grey level that the format does not have.
    """
    if code == _MONO8:
        return lambda data, width, height: _pixels(data, width, height, 1)
    if code == _BGR8:
        return lambda data, width, height: _pixels(data, width, height, 3)
    if code in _BITS:
        return lambda data, width, height: _low_bits(data, width, height, _BITS[code])
    if code == _MONO16:
        return _two_bytes
    if code in _PACKED:
        return lambda data, width, height: _packed(data, width, height, _PACKED[code])
    if code in _GIGE_PACKED:
        return _gige_packed
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


def _two_bytes(data: bytes, width: int, height: int) -> UInt16:
    return np.frombuffer(data, "<u2", width * height).reshape(height, width, 1).astype(np.uint16, copy=False)


def _low_bits(data: bytes, width: int, height: int, bits: int) -> UInt8:
    values = _two_bytes(data, width, height)
    if (peak := int(values.max(initial=0))) >> bits:
        raise ImageError(f"grey level {peak} needs {peak.bit_length()} bits, and the pixel format has {bits}")
    return to_8_bit(values, bits)


def _packed(data: bytes, width: int, height: int, bits: int) -> UInt8:
    """The upper eight bits of each pixel. Four pixels together fill whole bytes, `bits` / 2 of them."""
    pixels, group = width * height, bits // 2
    groups = -(-pixels // 4)
    content = np.frombuffer(data, np.uint8, -(-pixels * bits // 8))
    rows = np.concatenate([content, np.zeros(groups * group - len(content), np.uint8)]).reshape(groups, group)
    columns = []
    for place in range(4):
        byte, shift = divmod(place * bits + bits - 8, 8)
        low, high = rows[:, byte] >> shift, rows[:, byte + 1] << (8 - shift) if shift else np.uint8(0)
        columns.append(low | high)
    return np.stack(columns, axis=1).reshape(-1)[:pixels].reshape(height, width, 1)


def _gige_packed(data: bytes, width: int, height: int) -> UInt8:
    """The upper eight bits of each pixel, which are the first and the third of three bytes."""
    pixels = width * height
    whole = np.frombuffer(data, np.uint8, -(-pixels * 3 // 2))
    return np.delete(whole, slice(1, None, 3))[:pixels].reshape(height, width, 1)

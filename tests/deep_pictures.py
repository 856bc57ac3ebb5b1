"""Pictures of more than eight bits, as cameras and their software write them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]
UInt16 = npt.NDArray[np.uint16]


def deepened(image: UInt8, bits: int, seed: int = 0) -> UInt16:
    """An image of so many bits whose upper eight are `image`."""
    low = np.random.default_rng(seed).integers(0, 1 << (bits - 8), image.shape, np.uint16)
    return np.asarray((image.astype(np.uint16) << (bits - 8)) | low, dtype=np.uint16)


def significant(png: bytes, bits: int) -> bytes:
    """A grey PNG with a chunk sBIT."""
    chunk = b"sBIT" + bytes([bits])
    return png[:33] + struct.pack(">I", 1) + chunk + struct.pack(">I", zlib.crc32(chunk)) + png[33:]


def pgm(image: UInt16, white: int) -> bytes:
    """A PGM whose white is given."""
    height, width = image.shape
    samples = image.astype(">u2" if white > 255 else np.uint8).tobytes()
    return f"P5\n{width} {height}\n{white}\n".encode() + samples


def tiff(image: npt.NDArray[np.generic], bits: int, *tags: tuple[int, int]) -> bytes:
    """A grey TIFF; samples of 10, 12 or 14 bits are packed. tags: (number, value), each a SHORT."""
    height, width = image.shape
    data = image.tobytes() if bits % 8 == 0 else b"".join(_packed(row.tolist(), bits) for row in image)
    own = {
        256: width,
        257: height,
        258: bits,
        259: 1,
        262: 1,
        273: 0,
        277: 1,
        278: height,
        279: len(data),
        **dict(tags),
    }
    own[273] = 8 + 2 + 12 * len(own) + 4
    entries = b"".join(struct.pack("<HHII", tag, 4 if tag in (273, 279) else 3, 1, own[tag]) for tag in sorted(own))
    return b"II*\0" + struct.pack("<IH", 8, len(own)) + entries + bytes(4) + data


def jp2(image: UInt16, bits: int) -> bytes:
    """A lossless JPEG 2000 of `bits` bits: one of 16, whose header is changed, and with it the level of zero."""
    raised = (image.astype(np.int32) + (1 << 15) - (1 << (bits - 1))).astype(np.uint16)
    content = bytearray(cv2.imencode(".jp2", raised, (cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000))[1].tobytes())
    content[content.index(b"\xff\x4f\xff\x51") + 42] = bits - 1
    return bytes(content)


def png(image: UInt8 | UInt16) -> bytes:
    """A PNG."""
    return cv2.imencode(".png", image)[1].tobytes()


def write(path: Path, content: bytes) -> Path:
    """Write a file, and its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _packed(row: Sequence[int], bits: int) -> bytes:
    text = "".join(format(value, f"0{bits}b") for value in row)
    text += "0" * (-len(text) % 8)
    return bytes(int(text[i : i + 8], 2) for i in range(0, len(text), 8))

"""What a picture declares about itself, from its first bytes, before a decoder allocates anything."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

PIXEL_LIMIT = 1 << 27  # 134 million: 11,585 px squared; decoded in colour 384 MiB
FILE_LIMIT = 1 << 29  # bytes: 512 MiB


@dataclass(frozen=True)
class PictureHeader:
    """Kind of the file, and the size in pixels that it declares."""

    kind: str
    width: int
    height: int


def picture_header(content: bytes) -> PictureHeader | None:
    """The header of a PNG, JPEG, BMP, TIFF, WebP, GIF, JPEG 2000, PNM or PFM file; None: of no such file, or broken."""
    for start, (kind, read) in _READERS.items():
        if re.match(start, content, re.S):
            try:
                width, height = read(content)
            except (struct.error, ValueError, StopIteration):
                return None
            return PictureHeader(kind, abs(width), abs(height))
    return None


def _png(content: bytes) -> tuple[int, int]:
    return _unpack(">II", content, 16)


def _bmp(content: bytes) -> tuple[int, int]:
    old = struct.unpack_from("<I", content, 14)[0] == 12  # OS/2
    return _unpack("<HH" if old else "<ii", content, 18)


def _jpeg(content: bytes) -> tuple[int, int]:
    return next((width, height) for marker, height, width in _frames(content))


def _frames(content: bytes) -> Iterator[tuple[int, int, int]]:
    """(marker, height, width) of each frame header, up to the first scan."""
    position = 2
    while True:
        position = content.index(b"\xff", position)
        marker = content[position + 1] if position + 1 < len(content) else 0xD9
        if marker in (0xDA, 0xD9):
            return
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD8:  # filling, and markers without a length
            position += 1 if marker == 0xFF else 2
            continue
        if 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC):
            yield (marker, *_unpack(">HH", content, position + 5))
        position += 2 + struct.unpack_from(">H", content, position + 2)[0]


def _tiff(content: bytes) -> tuple[int, int]:
    order = "<" if content[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", content, 2)[0] == 43
    (first,) = struct.unpack_from(f"{order}Q" if big else f"{order}I", content, 8 if big else 4)
    (count,) = struct.unpack_from(f"{order}Q" if big else f"{order}H", content, first)
    entry, start, inline = (20, 8, 12) if big else (12, 2, 8)
    values: dict[int, int] = {}
    for index in range(min(count, 4096)):
        at = first + start + index * entry
        tag, kind = struct.unpack_from(f"{order}HH", content, at)
        if tag in (256, 257):
            code = {1: "B", 3: "H", 4: "I", 16: "Q"}.get(kind, "I")
            (value,) = struct.unpack_from(f"{order}{code}", content, at + inline)
            values[tag] = max(value, values.get(tag, 0))
    if len(values) < 2:
        raise ValueError("no size")
    return values[256], values[257]


def _webp(content: bytes) -> tuple[int, int]:
    kind = content[12:16]
    if kind == b"VP8X":
        sizes = [int.from_bytes(content[at : at + 3], "little") + 1 for at in (24, 27)]
        return sizes[0], sizes[1]
    if kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = _unpack("<HH", content, 26)
    return width & 0x3FFF, height & 0x3FFF


def _gif(content: bytes) -> tuple[int, int]:
    return _unpack("<HH", content, 6)


def _jp2(content: bytes) -> tuple[int, int]:
    at = content.index(b"\xff\x4f\xff\x51")  # the codestream's start and its size marker
    right, bottom, _, _ = struct.unpack_from(">IIII", content, at + 8)
    return right, bottom


def _pnm(content: bytes) -> tuple[int, int]:
    found = re.match(rb"P[1-6fF]" + 2 * rb"(?:\s+|#[^\n]*\n)+(\d{1,9})", content[:4096])
    if found is None:
        raise ValueError("no size")
    return int(found[1]), int(found[2])


def _unpack(layout: str, content: bytes, at: int) -> tuple[int, int]:
    first, second = struct.unpack_from(layout, content, at)
    return first, second


_READERS: dict[bytes, tuple[str, Callable[[bytes], tuple[int, int]]]] = {
    rb"\x89PNG\r\n\x1a\n": ("PNG", _png),
    rb"\xff\xd8\xff": ("JPEG", _jpeg),
    rb"BM": ("BMP", _bmp),
    rb"II[\x2a\x2b]\x00|MM\x00[\x2a\x2b]": ("TIFF", _tiff),
    rb"RIFF....WEBP": ("WebP", _webp),
    rb"GIF8": ("GIF", _gif),
    rb"\xff\x4f\xff\x51|\x00\x00\x00\x0cjP": ("JPEG 2000", _jp2),
    rb"P[1-6fF]\s": ("PNM", _pnm),
}

"""What a picture declares about itself, from its first bytes, before a decoder allocates anything."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from latentline.vision.tiff_header import Sample, tiff_header

PIXEL_LIMIT = 1 << 27  # 134 million: 11,585 px squared
DECODED_LIMIT = 1 << 29  # bytes: 512 MiB, 134 million px in colour, or 89 million with 16 bits
FILE_LIMIT = 1 << 29  # bytes: 512 MiB


@dataclass(frozen=True)
class PictureHeader:
    """What a file declares.

    kind           of the file, e.g. "PNG"
    width, height  in pixels
    channels       as they are decoded
    bits           of a sample, as the file stores it
    sample         how a sample is stored
    white          the largest sample, where the format defines it; None: the picture may have fewer bits than its file
    claimed        bits that a remark in the file gives to its 16-bit samples, which not every program heeds
    inverted       zero is white
    tile_pixels    of one tile that the decoder holds, where the file is cut into tiles
    """

    kind: str
    width: int
    height: int
    channels: int = 3
    bits: int = 8
    sample: Sample = "unsigned"
    white: int | None = None
    claimed: int | None = None
    inverted: bool = False
    tile_pixels: int = 0

    @property
    def pixels(self) -> int:
        """Pixels that a decoder holds at once."""
        return max(self.width * self.height, self.tile_pixels)

    @property
    def decoded_bytes(self) -> int:
        """Memory that the decoded picture takes. JPEG 2000 is decoded into 32 bits."""
        stored = 4 if self.kind == "JPEG 2000" else -(-self.bits // 8)
        return self.pixels * self.channels * stored


def picture_header(content: bytes) -> PictureHeader | None:
    """The header of a PNG, JPEG, BMP, TIFF, WebP, GIF, JPEG 2000, PNM or PFM file; None: of no such file, or broken."""
    for start, read in _READERS.items():
        if re.match(start, content, re.S):
            try:
                return read(content)
            except (struct.error, ValueError, OverflowError, StopIteration):
                return None
    return None


def _png(content: bytes) -> PictureHeader:
    width, height, bits, colour = struct.unpack_from(">IIBB", content, 16)
    channels = {0: 1, 4: 2, 6: 4}.get(colour, 3)
    return PictureHeader("PNG", width, height, channels, bits, claimed=_significant(content) if bits == 16 else None)


def _significant(content: bytes) -> int | None:
    """The significant bits of a 16-bit PNG's colours, from its chunk sBIT, which stands before the pixels."""
    position = 8
    while position + 12 <= len(content):
        size, name = struct.unpack_from(">I4s", content, position)
        if name == b"sBIT":
            bits = max(content[position + 8 : position + 8 + min(size, 3)], default=0)
            return bits if 8 <= bits < 16 else None
        if name in (b"IDAT", b"PLTE"):
            return None
        position += 12 + int(size)
    return None


def _bmp(content: bytes) -> PictureHeader:
    old = struct.unpack_from("<I", content, 14)[0] == 12  # OS/2
    width, height = struct.unpack_from("<HH" if old else "<ii", content, 18)
    return PictureHeader("BMP", abs(width), abs(height), 4)


def _jpeg(content: bytes) -> PictureHeader:
    bits, height, width, channels = next(_frames(content))
    return PictureHeader("JPEG", width, height, channels, bits)


def _frames(content: bytes) -> Iterator[tuple[int, int, int, int]]:
    """(precision, height, width, channels) of each frame header, up to the first scan."""
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
            bits, height, width, channels = struct.unpack_from(">BHHB", content, position + 4)
            yield bits, height, width, channels
        position += 2 + struct.unpack_from(">H", content, position + 2)[0]


def _tiff(content: bytes) -> PictureHeader:
    found = tiff_header(content)
    return PictureHeader(
        "TIFF",
        found.width,
        found.height,
        found.channels,
        found.bits,
        found.sample,
        claimed=found.claimed,
        inverted=found.inverted,
        tile_pixels=found.tile_pixels,
    )


def _webp(content: bytes) -> PictureHeader:
    kind = content[12:16]
    if kind == b"VP8X":
        width, height = (int.from_bytes(content[at : at + 3], "little") + 1 for at in (24, 27))
    elif kind == b"VP8L":
        (bits,) = struct.unpack_from("<I", content, 21)
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", content, 26))
    return PictureHeader("WebP", width, height)


def _gif(content: bytes) -> PictureHeader:
    return PictureHeader("GIF", *struct.unpack_from("<HH", content, 6))


def _jp2(content: bytes) -> PictureHeader:
    at = content.index(b"\xff\x4f\xff\x51")  # the codestream's start and its size marker
    right, bottom = struct.unpack_from(">II", content, at + 8)
    channels, depth = struct.unpack_from(">HB", content, at + 40)
    bits = (depth & 0x7F) + 1
    sample: Sample = "signed" if depth & 0x80 else "unsigned"
    return PictureHeader(
        "JPEG 2000", right, bottom, channels, bits, sample, white=(1 << bits) - 1 if 8 < bits < 16 else None
    )


def _pnm(content: bytes) -> PictureHeader:
    number = rb"(?:\s+|#[^\n]*\n)+(\d{1,9})"
    found = re.match(rb"P([1-6fF])" + 2 * number + rb"(?:" + number + rb")?", content[:4096])
    if found is None:
        raise ValueError("no size")
    kind, width, height = found[1], int(found[2]), int(found[3])
    channels = 3 if kind in b"36F" else 1
    if kind in b"fF":
        return PictureHeader("PNM", width, height, channels, 32, "float")
    if kind in b"14":
        return PictureHeader("PNM", width, height, channels)
    white = int(found[4] or 0)
    if not 0 < white < 1 << 16:
        raise ValueError("no white")
    if white > 255:
        return PictureHeader("PNM", width, height, channels, 16, white=white if white < 65535 else None)
    as_text = kind in b"23"  # which the decoder scales
    return PictureHeader("PNM", width, height, channels, white=None if as_text or white == 255 else white)


_READERS: dict[bytes, Callable[[bytes], PictureHeader]] = {
    rb"\x89PNG\r\n\x1a\n": _png,
    rb"\xff\xd8\xff": _jpeg,
    rb"BM": _bmp,
    rb"II[\x2a\x2b]\x00|MM\x00[\x2a\x2b]": _tiff,
    rb"RIFF....WEBP": _webp,
    rb"GIF8": _gif,
    rb"\xff\x4f\xff\x51|\x00\x00\x00\x0cjP": _jp2,
    rb"P[1-6fF]\s": _pnm,
}

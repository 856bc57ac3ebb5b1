"""What the first image of a TIFF or BigTIFF declares, from its tags."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

_WIDTH, _HEIGHT, _BITS, _MEANING, _CHANNELS, _LARGEST, _SAMPLE = 256, 257, 258, 262, 277, 281, 339
_TILE_WIDTH, _TILE_HEIGHT = 322, 323
_WANTED = {_WIDTH, _HEIGHT, _BITS, _MEANING, _CHANNELS, _LARGEST, _SAMPLE, _TILE_WIDTH, _TILE_HEIGHT}
_CODES = {1: "B", 3: "H", 6: "B", 8: "H", 16: "Q", 17: "Q"}  # of a number, by its type; all others: "I"
_MOST_TAGS, _MOST_VALUES = 4096, 64


Sample = Literal["unsigned", "signed", "float"]


@dataclass(frozen=True)
class TiffHeader:
    """As the fields of `PictureHeader`."""

    width: int
    height: int
    channels: int
    bits: int
    sample: Sample
    claimed: int | None
    inverted: bool
    tile_pixels: int


def tiff_header(content: bytes) -> TiffHeader:
    """The header of the first image. Raises ValueError or struct.error when it is broken."""
    tags = _tags(content)
    if _WIDTH not in tags or _HEIGHT not in tags:
        raise ValueError("no size")
    bits = max(tags.get(_BITS, [1]))
    kinds = tags.get(_SAMPLE, [1])
    return TiffHeader(
        max(tags[_WIDTH]),
        max(tags[_HEIGHT]),
        max(tags.get(_CHANNELS, [1])),
        bits,
        "float" if 3 in kinds else "signed" if 2 in kinds else "unsigned",
        _claim(tags.get(_LARGEST, [])) if bits == 16 else None,
        tags.get(_MEANING, [1])[0] == 0,
        max(tags.get(_TILE_WIDTH, [0])) * max(tags.get(_TILE_HEIGHT, [0])),
    )


def _claim(largest: list[int]) -> int | None:
    """The bits that MaxSampleValue means. Some programs write the brightest level of the picture there: no claim."""
    white = max(largest, default=0)
    bits = white.bit_length()
    return bits if 8 <= bits < 16 and white == (1 << bits) - 1 else None


def _tags(content: bytes) -> dict[int, list[int]]:
    """Whole numbers by tag."""
    order = "<" if content[:2] == b"II" else ">"
    big = struct.unpack_from(f"{order}H", content, 2)[0] == 43
    (first,) = struct.unpack_from(f"{order}Q" if big else f"{order}I", content, 8 if big else 4)
    (count,) = struct.unpack_from(f"{order}Q" if big else f"{order}H", content, first)
    entry, start, inline, room = (20, 8, 12, 8) if big else (12, 2, 8, 4)
    found: dict[int, list[int]] = {}
    for index in range(min(count, _MOST_TAGS)):
        at = first + start + index * entry
        tag, kind, length = struct.unpack_from(f"{order}HHQ" if big else f"{order}HHI", content, at)
        if tag not in _WANTED or not length:
            continue
        layout = f"{order}{min(length, _MOST_VALUES)}{_CODES.get(kind, 'I')}"
        place = at + inline
        if struct.calcsize(layout) > room:
            (place,) = struct.unpack_from(f"{order}Q" if big else f"{order}I", content, place)
        found[tag] = [*found.get(tag, []), *struct.unpack_from(layout, content, place)]
    return found

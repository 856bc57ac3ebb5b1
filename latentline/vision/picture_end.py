"""Whether a picture's file is whole. A decoder silently fills the missing rest with grey."""

from __future__ import annotations

import re
import struct

_PNG = b"\x89PNG\r\n\x1a\n"
# In entropy-coded data ff stands before 00 (a byte), d0 … d7 (a restart) or ff (filling); anything else is a marker.
_MARKER = re.compile(rb"\xff([^\x00\xd0-\xd7\xff])", re.S)


def is_whole(content: bytes) -> bool:
    """Whether a PNG or JPEG has its end, whatever bytes a camera wrote behind it; True for any other file."""
    if content.startswith(_PNG):
        return _png_ends(content)
    if content.startswith(b"\xff\xd8\xff"):
        return _jpeg_ends(content)
    return True


def _png_ends(content: bytes) -> bool:
    position = len(_PNG)
    while position + 12 <= len(content):
        (size,) = struct.unpack_from(">I", content, position)
        if content[position + 4 : position + 8] == b"IEND":
            return True
        position += 12 + size
    return False


def _jpeg_ends(content: bytes) -> bool:
    position = 2
    while (found := _MARKER.search(content, position)) is not None:
        if found[1] == b"\xd9":
            return True
        position = found.end()
        if found[1] not in (b"\x01", b"\xd8"):  # every other marker has a length
            if position + 2 > len(content):
                return False
            position += struct.unpack_from(">H", content, position)[0]
    return False

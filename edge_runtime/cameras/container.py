"""What the container of a video file says about itself: whether it is whole, and whether it counts its frames."""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import BinaryIO

_NEVER_CLOSED = (0, 0xFFFFFFFF)  # what a recorder leaves in the place of a size until it closes the file


def cut_short(path: Path) -> bool:
    """Whether an AVI, MP4 or Matroska file lacks its end. False for other files, of which nobody can tell."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        start = file.read(12)
        if start[:4] == b"RIFF" and start[8:] == b"AVI ":
            return _avi_cut(file, size)
        if start[4:8] == b"ftyp":
            return _mp4_cut(file, size)
        if start[:4] == b"\x1a\x45\xdf\xa3":
            return _matroska_cut(file, size)
    return False


def counts_frames(path: Path) -> bool:
    """Whether the number of frames that OpenCV knows was written by the recorder, and is not an estimate."""
    with path.open("rb") as file:
        start = file.read(12)
    return start[4:8] == b"ftyp" or start[:4] == b"RIFF"


def _avi_cut(file: BinaryIO, size: int) -> bool:
    position = 0
    while position + 8 <= size:
        file.seek(position)
        name, length = struct.unpack("<4sI", file.read(8))
        if name != b"RIFF":
            return False
        position += 8 + length
        if length in _NEVER_CLOSED or position > size:
            return True
    return False


def _mp4_cut(file: BinaryIO, size: int) -> bool:
    position, index = 0, False
    while position + 8 <= size:
        file.seek(position)
        length, name = struct.unpack(">I4s", file.read(8))
        if length == 1:
            length = int.from_bytes(file.read(8), "big")
        index = index or name in (b"moov", b"moof")
        if length == 0:  # the rest of the file
            break
        if length < 8:
            return not index
        position += length
        if position > size:
            return True
    return not index


def _matroska_cut(file: BinaryIO, size: int) -> bool:
    file.seek(4)
    header = _element_size(file)
    if header is None:
        return False
    file.seek(header, os.SEEK_CUR)
    if file.read(4) != b"\x18\x53\x80\x67":  # the segment, which holds everything else
        return False
    length = _element_size(file)
    return length is not None and file.tell() + length > size


def _element_size(file: BinaryIO) -> int | None:
    """An EBML size: the number of leading zero bits tells its bytes; None: unknown, or no size."""
    first = file.read(1)
    if not first or not first[0]:
        return None
    more = 8 - first[0].bit_length()
    value = (first[0] & (0x7F >> more)) << 8 * more | int.from_bytes(file.read(more), "big")
    return None if value == (1 << 7 * (more + 1)) - 1 else value

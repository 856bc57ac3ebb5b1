"""Video files, whole and harmed."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np

from edge_runtime.cameras.settings.opencv import StreamSettings


def film(path: Path, count: int = 30, codec: str = "MJPG") -> Path:
    """A film of `count` textured frames of 64 x 48 px; the grey level rises with the number."""
    noise = np.random.default_rng(0).integers(0, 40, (48, 64, 1), np.uint8)
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*codec), 10, (64, 48))
    for number in range(count):
        writer.write(np.repeat(noise + np.uint8(5 * number), 3, axis=2))
    writer.release()
    return path


def frames_of(path: Path) -> list[tuple[int, int]]:
    """Where each JPEG of a Motion JPEG film in an AVI stands: its first byte and its size."""
    content = path.read_bytes()
    found, position = [], content.index(b"movi") + 4
    while content[position : position + 4] == b"00dc":
        (size,) = struct.unpack_from("<I", content, position + 4)
        found.append((position + 8, size))
        position += 8 + size + size % 2
    return found


def spoil(path: Path, numbers: Iterable[int], part: float = 0.0) -> None:
    """Overwrite frames by zeros, as a lost block on the disk does; `part` of each is left."""
    content = bytearray(path.read_bytes())
    places = frames_of(path)
    for number in numbers:
        start, size = places[number]
        kept = int(part * size)
        content[start + kept : start + size] = bytes(size - kept)
    path.write_bytes(content)


def cut(path: Path, part: float = 0.5) -> None:
    """Leave `part` of the file."""
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])


def film_settings(source: object) -> StreamSettings:
    """The camera `top` over a film."""
    return StreamSettings(kind="stream", id="top", source=str(source))

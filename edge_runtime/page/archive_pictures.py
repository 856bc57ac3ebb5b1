"""Pictures of the archive for a browser."""

from __future__ import annotations

import threading
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from edge_runtime.archive.reader import ArchiveReader
from edge_runtime.archive.record import MAP_FULL_SCALE
from edge_runtime.page.pictures import frame_jpeg, heat_png
from latentline.errors import ArchiveError

_REVIEW_SIDE = 1600  # px, longest side
_THUMB_SIDE = 240  # px


class ArchivePictures:
    """Reads and shrinks pictures, one at a time: one of 50 megapixels takes a second and some 200 MB.

    Each call raises ArchiveError when the archive has the picture no more, or it cannot be decoded.
    """

    def __init__(self, reader: ArchiveReader) -> None:
        self._reader = reader
        self._one = threading.Lock()

    def frame(self, frame_id: str) -> bytes:
        """The picture as JPEG, for review."""
        return self._picture(frame_id, _REVIEW_SIDE)

    def thumb(self, frame_id: str) -> bytes:
        """A small JPEG of it, for lists."""
        return self._picture(frame_id, _THUMB_SIDE)

    def heat(self, frame_id: str) -> bytes:
        """The anomaly map as PNG to lay over the picture."""
        with self._one:
            grey = _decoded(self._reader.map_path(frame_id), cv2.IMREAD_GRAYSCALE)
            return heat_png(np.asarray(grey, np.float32) * (MAP_FULL_SCALE / 255))

    def nearest(self, frame_id: str) -> bytes:
        """The nearest normal picture, JPEG."""
        return _content(self._reader.nearest_path(frame_id))

    def _picture(self, frame_id: str, side: int) -> bytes:
        path = self._reader.picture_path(self._reader.frame(frame_id))
        with self._one:
            image = _decoded(path, cv2.IMREAD_COLOR)
            return frame_jpeg(image, side)


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise ArchiveError(f"{path.name} has been pruned from the archive; load the list again") from None
    except OSError as error:
        raise ArchiveError(f"{path.name} cannot be read ({error.strerror})") from None


def _decoded(path: Path, flags: int) -> npt.NDArray[np.uint8]:
    image = cv2.imdecode(np.frombuffer(_content(path), np.uint8), flags)
    if image is None:
        raise ArchiveError(f"{path.name} is damaged and cannot be shown")
    return np.asarray(image, np.uint8)

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
_HUGE = 8_000_000  # pixels of a picture


class ArchivePictures:
    """Reads and shrinks pictures, one at a time: one of 50 megapixels takes a second and some 200 MB.

    Each call raises ArchiveError when the archive has the picture no more, or it cannot be decoded.
    """

    def __init__(self, reader: ArchiveReader) -> None:
        self._reader = reader
        self._one, self._one_thumb = threading.Lock(), threading.Lock()  # no picture waits behind sixty thumbs

    def frame(self, frame_id: str) -> bytes:
        """The picture as JPEG, for review."""
        path = self._reader.picture_path(self._reader.frame(frame_id))
        with self._one:
            return frame_jpeg(_decoded(path, cv2.IMREAD_COLOR), _REVIEW_SIDE)

    def thumb(self, frame_id: str) -> bytes:
        """A small JPEG of it, for lists; of a huge picture that of its anomaly map, which takes no time."""
        frame = self._reader.frame(frame_id)
        huge = frame.verdict.width * frame.verdict.height > _HUGE
        path = self._reader.map_path(frame_id) if huge else self._reader.picture_path(frame)
        with self._one_thumb:
            return frame_jpeg(_decoded(path, cv2.IMREAD_COLOR), _THUMB_SIDE)

    def heat(self, frame_id: str) -> bytes:
        """The anomaly map as PNG to lay over the picture."""
        with self._one:
            grey = _decoded(self._reader.map_path(frame_id), cv2.IMREAD_GRAYSCALE)
            return heat_png(np.asarray(grey, np.float32) * (MAP_FULL_SCALE / 255))

    def nearest(self, frame_id: str) -> bytes:
        """The nearest normal picture, JPEG."""
        return _content(self._reader.nearest_path(frame_id))


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

"""Motion JPEG decoded here and not by FFmpeg, which fills the missing rest of a broken picture with grey."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import numpy.typing as npt

_FOURCC = "MJPG"
_START, _END = b"\xff\xd8\xff", b"\xff\xd9"
_ENDLESS = 3  # pictures without an end from the beginning on: some cameras never write it

_log = logging.getLogger(__name__)


class MotionJpeg:
    """The pictures of a `cv2.VideoCapture` whose codec is Motion JPEG, as the file or the server holds them."""

    def __init__(self, cv2: Any, capture: Any, shown: str) -> None:
        self._cv2, self._capture, self._shown = cv2, capture, shown
        self._endless: int | None = 0  # so many at the beginning have no end; None: one has

    @classmethod
    def of(cls, cv2: Any, capture: Any, shown: str) -> MotionJpeg | None:
        """Make `capture` give its pictures undecoded; None if it has another codec, turns pictures, or cannot.

        shown  where they come from, with credentials masked
        """
        code = int(capture.get(cv2.CAP_PROP_FOURCC))
        name = "".join(chr(code >> shift & 0xFF) for shift in (0, 8, 16, 24))
        if name != _FOURCC or capture.getBackendName() != "FFMPEG":
            return None
        if capture.get(cv2.CAP_PROP_ORIENTATION_META) or not capture.set(cv2.CAP_PROP_FORMAT, -1):
            return None
        return cls(cv2, capture, shown)

    def retrieve(self) -> npt.NDArray[np.uint8] | None:
        """The grabbed picture as uint8 [H, W, 3] (BGR); None if it is broken or cut short."""
        # Imported here because it needs OpenCV, whose absence `load_cv2` reports in a sentence.
        from latentline.vision.picture_header import PIXEL_LIMIT, picture_header

        got, packet = self._capture.retrieve()
        content = packet.tobytes() if got and packet is not None else b""
        start = content.find(_START)  # some servers write line ends before it
        header = picture_header(content[start:]) if start >= 0 else None
        if header is None or header.width * header.height > PIXEL_LIMIT or not self._has_its_end(content[start:]):
            return None
        flags = self._cv2.IMREAD_COLOR | self._cv2.IMREAD_IGNORE_ORIENTATION
        try:
            image = self._cv2.imdecode(np.frombuffer(content[start:] + _END, np.uint8), flags)
        except self._cv2.error:
            return None
        return None if image is None else np.asarray(image)

    def _has_its_end(self, content: bytes) -> bool:
        """Whether a picture is whole; True for all of a source that never writes the end."""
        from latentline.vision.picture_end import is_whole

        if is_whole(content):
            self._endless = None
            return True
        if self._endless is None:
            return False
        self._endless += 1
        if self._endless == _ENDLESS:
            _log.warning("%s: no picture has an end, so one that is cut short cannot be told", self._shown)
        return self._endless >= _ENDLESS

"""Motion JPEG decoded here and not by FFmpeg, which fills the missing rest of a broken picture with grey."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

_FOURCC = "MJPG"
_START = b"\xff\xd8\xff"


class MotionJpeg:
    """The pictures of a `cv2.VideoCapture` whose codec is Motion JPEG, as the file or the server holds them."""

    def __init__(self, cv2: Any, capture: Any) -> None:
        self._cv2, self._capture = cv2, capture

    @classmethod
    def of(cls, cv2: Any, capture: Any) -> MotionJpeg | None:
        """Make `capture` give its pictures undecoded; None if it has another codec, or cannot."""
        code = int(capture.get(cv2.CAP_PROP_FOURCC))
        name = "".join(chr(code >> shift & 0xFF) for shift in (0, 8, 16, 24))
        if name != _FOURCC or capture.getBackendName() != "FFMPEG" or not capture.set(cv2.CAP_PROP_FORMAT, -1):
            return None
        return cls(cv2, capture)

    def retrieve(self) -> npt.NDArray[np.uint8] | None:
        """The grabbed picture as uint8 [H, W, 3] (BGR); None if it is broken or cut short."""
        # Imported here because it needs OpenCV, whose absence `load_cv2` reports in a sentence.
        from latentline.vision.picture_end import is_whole
        from latentline.vision.picture_header import PIXEL_LIMIT, picture_header

        got, packet = self._capture.retrieve()
        content = packet.tobytes() if got and packet is not None else b""
        header = picture_header(content) if content.startswith(_START) and is_whole(content) else None
        if header is None or header.width * header.height > PIXEL_LIMIT:
            return None
        flags = self._cv2.IMREAD_COLOR | self._cv2.IMREAD_IGNORE_ORIENTATION
        try:
            image = self._cv2.imdecode(packet.reshape(-1), flags)
        except self._cv2.error:
            return None
        return None if image is None else np.asarray(image)

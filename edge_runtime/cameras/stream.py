"""Network streams and video files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from edge_runtime.cameras.opencv import OpenCVCamera
from edge_runtime.cameras.settings.opencv import StreamSettings
from edge_runtime.cameras.stream_clock import StreamClock
from latentline.errors import CameraError

_STREAM_HINT = "are the address, the user and the password right, and is it reachable?"
_FILE_HINT = "can this OpenCV decode it?"


class StreamCamera(OpenCVCamera):
    """Reads through the FFmpeg in OpenCV. The end of a file is the end of the input, that of a stream a fault."""

    def __init__(self, settings: StreamSettings) -> None:
        hint = _STREAM_HINT if settings.network else _FILE_HINT
        super().__init__(settings.id, settings.shown, hint, ends=not settings.network)
        self._settings = settings
        self._clock = StreamClock()

    def _open(self, cv2: Any) -> Any:
        source, self._clock = self._settings.source, StreamClock()
        if not self._settings.network:
            if not Path(source).is_file():
                raise CameraError(f"camera {self.name}: there is no video file {self._shown}")
            return cv2.VideoCapture(source)
        # A little later than a stall is reported: so the fault is a stall, and the thread that was left behind ends.
        limits = {
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: self._settings.open_seconds + 1,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC: self._settings.stall_seconds + 1,
        }
        options = [number for limit, seconds in limits.items() for number in (limit, int(1000 * seconds))]
        return cv2.VideoCapture(source, cv2.CAP_ANY, options)

    def _behind(self, capture: Any) -> float:
        """Only RTSP has the camera's own times; for others FFmpeg makes them up from a frame rate."""
        if not self._settings.source.startswith(("rtsp://", "rtsps://")):
            return 0.0
        return self._clock.behind(time.monotonic(), capture.get(self._cv2.CAP_PROP_POS_MSEC) / 1e3)

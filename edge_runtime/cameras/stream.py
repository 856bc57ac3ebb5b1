"""Network streams."""

from __future__ import annotations

import time
from typing import Any

from edge_runtime.cameras.opencv import OpenCVCamera
from edge_runtime.cameras.settings.opencv import StreamSettings
from edge_runtime.cameras.stream_clock import StreamClock
from latentline.errors import CameraError


class StreamCamera(OpenCVCamera):
    """Reads through the FFmpeg in OpenCV. The end of a stream is a fault."""

    def __init__(self, settings: StreamSettings) -> None:
        super().__init__(settings.id, settings.shown, settings.hint)
        self._settings = settings
        self._clock = StreamClock()
        self._first = 0  # number of the first frame since the source was opened

    def _open(self, cv2: Any) -> Any:
        self._clock = StreamClock()
        # A little later than a stall is reported: so the fault is a stall, and the thread that was left behind ends.
        limits = {
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: self._settings.open_seconds + 1,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC: self._settings.stall_seconds + 1,
        }
        options = [number for limit, seconds in limits.items() for number in (limit, int(1000 * seconds))]
        return cv2.VideoCapture(self._settings.source, cv2.CAP_ANY, options)

    def _at_open(self, capture: Any) -> None:
        self._first = self._number

    def _end(self) -> None:
        if self._number == self._first + 1:
            raise CameraError(
                f"camera {self.name}: {self._shown} gave one picture and ended; if this is the address of single "
                "pictures, give that of the camera's stream (MJPEG or RTSP)"
            )
        super()._end()

    def _behind(self, capture: Any) -> float:
        """Only RTSP has the camera's own times; for others FFmpeg makes them up from a frame rate."""
        if not self._settings.source.startswith(("rtsp://", "rtsps://")):
            return 0.0
        return self._clock.behind(time.monotonic(), capture.get(self._cv2.CAP_PROP_POS_MSEC) / 1e3)

"""A network stream or a video file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edge_runtime.cameras.opencv import OpenCVCamera
from edge_runtime.cameras.settings.opencv import StreamSettings
from latentline.errors import CameraError

_STREAM_HINT = "is the address right and reachable, and are user and password?"
_FILE_HINT = "is it a video that this OpenCV can decode?"


class StreamCamera(OpenCVCamera):
    """Frames that FFmpeg inside OpenCV decodes. A stream that ends is a fault; a file that ends is at its end."""

    def __init__(self, settings: StreamSettings) -> None:
        hint = _STREAM_HINT if settings.network else _FILE_HINT
        super().__init__(settings.id, settings.shown, hint, ends=not settings.network)
        self._settings = settings

    def _open(self, cv2: Any) -> Any:
        source = self._settings.source
        if not self._settings.network:
            if not Path(source).is_file():
                raise CameraError(f"camera {self.name}: there is no video file {self._shown}")
            return cv2.VideoCapture(source)
        # A little later than the stall is noticed: then the stall has its name, and the thread left behind ends, too.
        limits = {
            cv2.CAP_PROP_OPEN_TIMEOUT_MSEC: self._settings.open_seconds + 1,
            cv2.CAP_PROP_READ_TIMEOUT_MSEC: self._settings.stall_seconds + 1,
        }
        options = [number for limit, seconds in limits.items() for number in (limit, int(1000 * seconds))]
        return cv2.VideoCapture(source, cv2.CAP_ANY, options)

"""A V4L2 or UVC device."""

from __future__ import annotations

import sys
from typing import Any

from edge_runtime.cameras.opencv import OpenCVCamera
from edge_runtime.cameras.settings.opencv import DeviceSettings


class DeviceCamera(OpenCVCamera):
    """A camera that the system lists as /dev/video…"""

    def __init__(self, settings: DeviceSettings) -> None:
        super().__init__(settings.id, settings.shown, "is it plugged in, and may this user read it (group video)?")
        self._settings = settings

    def _open(self, cv2: Any) -> Any:
        wanted = self._settings
        capture = cv2.VideoCapture(wanted.source, cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY)
        # The format comes first: it decides which sizes and rates the device has.
        fourcc = wanted.fourcc and cv2.VideoWriter.fourcc(*wanted.fourcc)
        options = [
            (cv2.CAP_PROP_FOURCC, fourcc),
            (cv2.CAP_PROP_FRAME_WIDTH, wanted.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, wanted.height),
            (cv2.CAP_PROP_FPS, wanted.fps),
            # The driver's queue would hand out old frames; not every backend knows the option, and that is fine.
            (cv2.CAP_PROP_BUFFERSIZE, None if wanted.lossless else 1),
        ]
        for option, value in options:
            if value is not None and capture.isOpened():
                capture.set(option, value)
        return capture

"""V4L2 and UVC devices, e.g. USB cameras."""

from __future__ import annotations

import sys
import time
from typing import Any

from edge_runtime.cameras.opencv import OpenCVCamera
from edge_runtime.cameras.settings.opencv import DeviceSettings
from latentline.errors import CameraError

_GREY_16, _BIG_ENDIAN = int.from_bytes(b"Y16 ", "little"), 1 << 31


class DeviceCamera(OpenCVCamera):
    """A camera at /dev/video… Its 16-bit frames stay as they are; OpenCV would keep their upper eight bits alone."""

    def __init__(self, settings: DeviceSettings) -> None:
        super().__init__(settings.id, settings.shown, "is it plugged in, and may this user read it (group video)?")
        self._settings = settings
        self._opened = 0.0

    def _open(self, cv2: Any) -> Any:
        wanted = self._settings
        capture = cv2.VideoCapture(wanted.source, cv2.CAP_V4L2 if sys.platform == "linux" else cv2.CAP_ANY)
        # The pixel format comes first: it determines which sizes and rates the device offers.
        fourcc = wanted.fourcc and cv2.VideoWriter.fourcc(*wanted.fourcc)
        options = [
            (cv2.CAP_PROP_FOURCC, fourcc),
            (cv2.CAP_PROP_FRAME_WIDTH, wanted.width),
            (cv2.CAP_PROP_FRAME_HEIGHT, wanted.height),
            (cv2.CAP_PROP_FPS, wanted.fps),
            # A longer queue in the driver would give old frames. Backends that do not know the option ignore it.
            (cv2.CAP_PROP_BUFFERSIZE, None if wanted.lossless else 1),
        ]
        for option, value in options:
            if value is not None and capture.isOpened():
                capture.set(option, value)
        self._opened = time.monotonic()
        if capture.isOpened():
            self._keep_16_bits(cv2, capture)
        return capture

    def _behind(self, capture: Any) -> float:
        """Drivers stamp a frame with the monotonic clock; a stamp from before the opening is one of another clock."""
        now, stamp = time.monotonic(), capture.get(self._cv2.CAP_PROP_POS_MSEC) / 1e3
        return now - stamp if self._opened <= stamp <= now else 0.0

    def _keep_16_bits(self, cv2: Any, capture: Any) -> None:
        """Raise CameraError where the 16 bits of the frames cannot be had as they are."""
        fourcc = int(capture.get(cv2.CAP_PROP_FOURCC)) & 0xFFFFFFFF
        if fourcc & ~_BIG_ENDIAN != _GREY_16:
            return
        if fourcc & _BIG_ENDIAN or not capture.set(cv2.CAP_PROP_CONVERT_RGB, 0):
            capture.release()
            raise CameraError(
                f"camera {self.name}: {self._shown} gives 16 bits in a form that OpenCV cannot hand on; "
                "request another format (fourcc)"
            )

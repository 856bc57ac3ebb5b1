"""Device, video file or network stream through OpenCV."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.cameras.base import Frame, as_hwc
from latentline.errors import CameraError
from latentline.strict_config import mask_credentials


class OpenCVCamera:
    """One `cv2.VideoCapture`.

    source           device number, path of a video file, or URL
    size             device only: (width, height) to ask for; the camera may give another
    timeout_seconds  network stream: after so long without data, opening or reading fails
    """

    def __init__(
        self,
        name: str,
        source: int | str,
        *,
        size: tuple[int | None, int | None] = (None, None),
        timeout_seconds: float = 5.0,
    ) -> None:
        self.name = name
        self._source = source
        self._size = size
        self._timeout_ms = int(timeout_seconds * 1000)
        self._is_file = isinstance(source, str) and "://" not in source
        self._shown = f"device {source}" if isinstance(source, int) else mask_credentials(source)
        self._capture: Any = None
        self._number = 0
        self._closed = False
        self._in_use = threading.Lock()  # releasing a capture while another thread grabs from it would crash

    def open(self) -> None:
        """Open the source. Raises CameraError, with credentials masked."""
        cv2 = load_cv2()
        self._closed = False
        if self._is_file and not Path(str(self._source)).is_file():
            raise CameraError(f"camera {self.name}: there is no video file {self._shown}")
        with _quiet(cv2):
            if isinstance(self._source, str) and not self._is_file:
                limits = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, cv2.CAP_PROP_READ_TIMEOUT_MSEC]
                options = [number for limit in limits for number in (limit, self._timeout_ms)]
                capture = cv2.VideoCapture(self._source, cv2.CAP_ANY, options)
            else:
                capture = cv2.VideoCapture(self._source)
            if not capture.isOpened():
                capture.release()
                raise CameraError(f"camera {self.name}: {self._shown} does not open; {self._hint()}")
            for option, value in zip((cv2.CAP_PROP_FRAME_WIDTH, cv2.CAP_PROP_FRAME_HEIGHT), self._size, strict=True):
                if value is not None:
                    capture.set(option, value)
            # The driver's queue would hand out old frames; not every backend knows the option, and that is fine.
            if isinstance(self._source, int):
                capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
        self._capture = capture

    def read(self) -> Frame | None:
        """The next frame, uint8 [H, W, C]. None at the end of a file; a device or stream without one: CameraError."""
        with self._in_use:
            if self._capture is None:
                return None
            with _quiet(load_cv2()):
                grabbed = self._capture.grab()
                captured_at = datetime.now(timezone.utc)
                got, image = self._capture.retrieve() if grabbed else (False, None)
            if self._closed:
                self._release()
                return None
        if not got or image is None:
            if self._is_file and self._number:
                return None
            raise CameraError(f"camera {self.name}: {self._shown} gives no frame")
        number, self._number = self._number, self._number + 1
        return Frame(as_hwc(np.asarray(image, np.uint8)), captured_at, self.name, self._shown, number)

    def close(self) -> None:
        """Release the capture. A read that another thread is in ends by itself, or by its timeout, and releases it."""
        self._closed = True
        if self._in_use.acquire(blocking=False):
            try:
                self._release()
            finally:
                self._in_use.release()

    def _release(self) -> None:
        capture, self._capture = self._capture, None
        if capture is not None:
            capture.release()

    def _hint(self) -> str:
        if isinstance(self._source, int):
            return "is it plugged in, and may this user read it?"
        return "is it a video that this OpenCV can decode?" if self._is_file else "is the address right and reachable?"


def load_cv2() -> Any:
    """OpenCV, or a CameraError that says how to get it."""
    try:
        import cv2
    except ImportError as error:
        advice = "on a Jetson use JetPack's, elsewhere `pip install 'latentline[opencv]'`"
        raise CameraError(f"OpenCV cannot be imported ({error}); {advice}") from None
    return cv2


@contextmanager
def _quiet(cv2: Any) -> Iterator[None]:
    """Keep OpenCV from printing: its own messages carry the address with the password in it."""
    log = getattr(getattr(cv2, "utils", None), "logging", None)
    if log is None:
        yield
        return
    level = log.getLogLevel()
    log.setLogLevel(log.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        log.setLogLevel(level)

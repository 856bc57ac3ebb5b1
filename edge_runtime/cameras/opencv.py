"""The base of all cameras that are read through OpenCV."""

from __future__ import annotations

import os
import threading
from abc import ABC, abstractmethod
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np

from edge_runtime.cameras.base import Frame, as_hwc
from latentline.errors import CameraError


class OpenCVCamera(ABC):
    """Reads a `cv2.VideoCapture`, which the subclass opens in `_open`.

    shown  where the frames come from, with credentials masked
    hint   what the user should check if it does not open
    ends   whether a missing frame is the end of the input and not a fault
    """

    def __init__(self, name: str, shown: str, hint: str, *, ends: bool = False) -> None:
        self.name = name
        self._shown, self._hint, self._ends = shown, hint, ends
        self._cv2 = load_cv2()
        self._capture: Any = None
        self._number = 0
        self._closed = False
        self._in_use = threading.Lock()  # releasing a capture while another thread grabs from it crashes

    @abstractmethod
    def _open(self, cv2: Any) -> Any:
        """A `cv2.VideoCapture` of the source, open or not."""

    def _behind(self, capture: Any) -> float:
        """For how long the frame that was just grabbed had waited unread, seconds; 0 where nobody can tell."""
        return 0.0

    def open(self) -> None:
        """Open the source. Raises CameraError."""
        self._closed = False
        with self._in_use:
            capture = self._open(self._cv2)
            if not capture.isOpened():
                capture.release()
                raise CameraError(f"camera {self.name}: {self._shown} does not open; {self._hint}")
            self._capture = capture

    def read(self) -> Frame | None:
        """The next frame; None at the end of a file. Raises CameraError if a live source gives none."""
        with self._in_use:
            if self._closed:
                self._release()
            if self._capture is None:
                return None
            grabbed = self._capture.grab()
            captured_at = datetime.now(timezone.utc)
            got, image = self._capture.retrieve() if grabbed else (False, None)
            if got:
                captured_at -= timedelta(seconds=self._behind(self._capture))
            if self._closed:
                self._release()
                return None
        if not got or image is None:
            if self._ends and self._number:
                return None
            raise CameraError(f"camera {self.name}: {self._shown} gives no frame")
        number, self._number = self._number, self._number + 1
        return Frame(as_hwc(np.asarray(image)), captured_at, self.name, self._shown, number)

    def close(self) -> None:
        """Release the capture. If another thread is reading, it releases the capture after that read."""
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


def load_cv2() -> Any:
    """Import OpenCV and silence its log. Raises CameraError if it is not installed."""
    try:
        import cv2
    except ImportError as error:
        advice = "on a Jetson use the one of JetPack, elsewhere install the extra `opencv`"
        raise CameraError(f"OpenCV cannot be imported ({error}); {advice}") from None
    # OpenCV and FFmpeg may print the address with its password. The level stays silent, because all cameras share it
    # and no thread could know when to raise it again.
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    log = getattr(getattr(cv2, "utils", None), "logging", None)
    if log is not None:
        log.setLogLevel(log.LOG_LEVEL_SILENT)
    return cv2

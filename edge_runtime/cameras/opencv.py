"""The base of all cameras that are read through OpenCV."""

from __future__ import annotations

import os
import threading
import time
from abc import ABC, abstractmethod
from collections import deque
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np

from edge_runtime.cameras.base import BadFrame, Frame, Idle, as_hwc
from edge_runtime.cameras.motion_jpeg import MotionJpeg
from latentline.errors import CameraError

_TRIES = 20  # in a row that a live source refuses at once, until it has failed
_AT_ONCE_SECONDS = 0.001  # a picture that is received and cannot be decoded takes longer


class OpenCVCamera(ABC):
    """Reads a `cv2.VideoCapture`, which the subclass opens in `_open`. One bad picture does not end it.

    shown  where the frames come from, with credentials masked
    hint   what the user should check if it does not open
    """

    def __init__(self, name: str, shown: str, hint: str) -> None:
        self.name = name
        self._shown, self._hint = shown, hint
        self._cv2 = load_cv2()
        self._capture: Any = None
        self._jpeg: MotionJpeg | None = None
        self._number = 0
        self._pending: deque[Frame | BadFrame | Idle] = deque()  # read, and not given yet
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
            self._jpeg = MotionJpeg.of(self._cv2, capture, self._shown)
            self._at_open(capture)

    def read(self) -> Frame | Idle | None:
        """The next frame; None at the end of a file.

        Raises BadFrame for one that cannot be decoded, CameraError if a live source gives nothing any more.
        """
        with self._in_use:
            if self._closed:
                self._release()
            if self._capture is None:
                return None
            if not self._pending:
                self._read_on()
            if self._closed:
                self._release()
                return None
            one = self._pending.popleft() if self._pending else None
        if isinstance(one, BadFrame):
            raise one
        return one

    def close(self) -> None:
        """Release the capture. If another thread is reading, it releases the capture after that read."""
        self._closed = True
        if self._in_use.acquire(blocking=False):
            try:
                self._release()
            finally:
                self._in_use.release()

    def _at_open(self, capture: Any) -> None:  # noqa: B027 -- most sources need nothing more
        """The source is open."""

    def _has_failed(self, _failed: int, at_once: int) -> bool:
        """Whether to ask no more, after `failed` failures in a row, of which the last `at_once` took no time."""
        return at_once >= _TRIES

    def _end(self) -> None:
        """The source gives nothing any more. Raises CameraError unless that is its end."""
        raise CameraError(f"camera {self.name}: {self._shown} gives no frame")

    def _read_on(self) -> None:
        """Ask for the next frame; OpenCV says "none" for one that it cannot decode, and may give the next one."""
        failed = at_once = 0
        begin = time.perf_counter()
        while not self._capture.grab():
            begin, before = time.perf_counter(), begin
            failed, at_once = failed + 1, at_once + 1 if begin - before < _AT_ONCE_SECONDS else 0
            if self._closed:
                return
            if self._has_failed(failed, at_once):
                return self._end()
        captured_at = datetime.now(timezone.utc)
        for _ in range(failed):
            self._pending.append(self._bad())
        image = self._retrieve()
        if image is None:
            self._pending.append(self._bad())
            return None
        number, self._number = self._number, self._number + 1
        captured_at -= timedelta(seconds=self._behind(self._capture))
        frame = Frame(as_hwc(image), captured_at, self.name, self._shown, number, lasting=self._lasting(number))
        self._pending.append(frame)
        return None

    def _lasting(self, _number: int) -> str | None:
        """What names a frame where it comes again after a restart."""
        return None

    def _retrieve(self) -> Any:
        if self._jpeg is not None:
            return self._jpeg.retrieve()
        got, image = self._capture.retrieve()
        return np.asarray(image) if got and image is not None else None

    def _bad(self) -> BadFrame:
        number, self._number = self._number, self._number + 1
        return BadFrame(f"camera {self.name}: frame {number} of {self._shown} cannot be decoded", "unreadable")

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

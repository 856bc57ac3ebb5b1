"""Frames with known defects, an inspector that finds them, and a log of the frames that were inspected."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path

import numpy as np
import numpy.typing as npt

from edge_runtime.cameras.base import Frame
from latentline.inspection.result import InspectionResult
from latentline.package.identity import ModelIdentity
from latentline.scoring.defects import Defect

_NORMAL, _BRIGHT = 60, 220  # grey levels of the surface and of a defect


def defective(number: int) -> bool:
    """Whether frame `number` shows a defect; two of three frames do."""
    return number % 3 != 0


class FrameLog:
    """The numbers of the frames whose result is on disk, one a line. It survives a process that is killed."""

    def __init__(self, path: Path) -> None:
        if path.exists():
            content = path.read_bytes()
            os.truncate(path, content.rfind(b"\n") + 1)  # a kill may have cut the last line short
        self._file = os.open(path, os.O_APPEND | os.O_CREAT | os.O_WRONLY)
        self._path = path

    @staticmethod
    def read(path: Path) -> list[int]:
        """The numbers written so far."""
        return [int(line) for line in path.read_text().split("\n")[:-1]] if path.exists() else []

    @staticmethod
    def count(path: Path) -> int:
        """How many numbers are written so far."""
        return path.read_bytes().count(b"\n") if path.exists() else 0

    @property
    def next_number(self) -> int:
        """The number of the first frame that is not in the log."""
        return max(self.read(self._path), default=-1) + 1

    def add(self, number: int) -> None:
        """Add frame `number`: its result is on disk."""
        os.write(self._file, f"{number}\n".encode())


class NumberedCamera:
    """Frames first, first + 1, …, count - 1, at most `rate` a second. The `source` of a frame is its number.

    count  None: no end
    size   height and width, pixels
    """

    name = "line"

    def __init__(self, first: int, count: int | None, rate: float, size: tuple[int, int]) -> None:
        self._number, self._count, self._pause = first, count, 1 / rate
        self._surface = np.random.default_rng(0).integers(_NORMAL - 20, _NORMAL + 20, (*size, 1), np.uint8)
        self._closed = threading.Event()
        self._due = 0.0

    def open(self) -> None:
        """Begin, or go on after `close`."""
        self._closed.clear()
        self._due = time.monotonic()

    def read(self) -> Frame | None:
        """Wait for the time of the next frame and return it; None at the end."""
        if self._count is not None and self._number >= self._count:
            return None
        self._due = max(self._due + self._pause, time.monotonic() - 1.0)  # catches up with at most a second
        if self._closed.wait(max(0.0, self._due - time.monotonic())):
            return None
        number, self._number = self._number, self._number + 1
        return Frame(self._image(number), datetime.now(timezone.utc), self.name, str(number), number)

    def close(self) -> None:
        """End a wait in `read`."""
        self._closed.set()

    def _image(self, number: int) -> npt.NDArray[np.uint8]:
        image: npt.NDArray[np.uint8] = self._surface.copy()
        if defective(number):
            y, x = number % (image.shape[0] - 8), number % (image.shape[1] - 8)
            image[y : y + 8, x : x + 8] = _BRIGHT
        return image


class BrightSpotInspector:
    """Takes a frame with a bright spot for abnormal. It needs no model and almost no time."""

    identity = ModelIdentity("bright spots", "00" * 32, "none", 100.0, 3.0, 1, 8)
    ahead = 2
    baseline = None

    def begin(self, image: npt.NDArray[np.uint8]) -> Callable[[], InspectionResult]:
        """The function that is returned inspects the image."""
        return lambda: self._inspect(image)

    def close(self) -> None:
        """Nothing to release."""

    def _inspect(self, image: npt.NDArray[np.uint8]) -> InspectionResult:
        score = float(image.max())
        defects: tuple[Defect, ...] = ()
        if score > self.identity.threshold:
            ys, xs = np.nonzero(image[:, :, 0] > self.identity.threshold)
            x, y, right, bottom = int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1
            corners = ((x, y), (right, y), (right, bottom), (x, bottom))
            defects = (Defect((x, y, right - x, bottom - y), len(xs), 9.0, 4.0, corners, "map"),)
        anomaly_map = image[:, :, 0].astype(np.float32) / np.float32(10)
        times = {"preprocess": 0.0, "search": 0.0, "score": 0.0}
        return InspectionResult(score, 100.0, {"level": score}, defects, anomaly_map, image, image, 1, times)

"""Video files."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from edge_runtime.cameras.base import IDLE, BadFrame
from edge_runtime.cameras.container import counts_frames, cut_short
from edge_runtime.cameras.opencv import OpenCVCamera
from edge_runtime.cameras.settings.opencv import StreamSettings
from edge_runtime.cameras.work_journal import WorkJournal
from latentline.base.counted import counted
from latentline.errors import CameraError

_log = logging.getLogger(__name__)
_TRIES = 1000  # in a row, where the file does not say how many frames are left
_MOST_TRIES = 100_000  # where it does: its number may be garbage
_PAUSE_SECONDS = 0.02  # while another picture must be in work alone


class VideoFileCamera(OpenCVCamera):
    """Reads every frame of a file. It goes on over frames that cannot be decoded, and says so if the file is cut short.

    OpenCV says the same of such a frame as of the end, so the camera asks again as long as frames should be left.

    work  notes which frame is being decoded, and knows which ones are set aside
    """

    def __init__(self, settings: StreamSettings, work: WorkJournal) -> None:
        super().__init__(settings.id, settings.shown, "can this OpenCV decode it?")
        self._path = Path(settings.path)
        self._work = work
        self._identity = ""
        self._set_aside: list[int] = []
        self._count = 0
        self._unreadable: list[int] = []

    def _open(self, cv2: Any) -> Any:
        if not self._path.is_file():
            raise CameraError(f"camera {self.name}: there is no video file {self._shown}")
        found = self._path.stat()
        self._identity = f"{self.name}/{self._path.name}/{found.st_size}/{found.st_mtime_ns}"
        capture = cv2.VideoCapture(str(self._path))
        if not capture.isOpened() and cut_short(self._path):
            raise CameraError(
                f"camera {self.name}: {self._shown} does not open; it is cut short, as by a recorder that was switched "
                "off or a copy that broke off"
            )
        return capture

    def warnings(self) -> Mapping[str, str | None]:
        """`set_aside` once such frames were left out."""
        sentence = (
            f"camera {self.name}: not inspected, because the station ended twice while they were in work: frames "
            f"{', '.join(_ranges(self._set_aside))} of {self._shown}"
        )
        return {"set_aside": sentence if self._set_aside else None}

    def _at_open(self, capture: Any) -> None:
        count = capture.get(self._cv2.CAP_PROP_FRAME_COUNT)
        self._count = int(count) if 0 < count < 2**53 else 0

    def _has_failed(self, failed: int, _at_once: int) -> bool:
        left = self._count - self._number
        return failed >= (min(left, _MOST_TRIES) if left > 0 else _TRIES)

    def _lasting(self, number: int) -> str:
        return f"{self._identity}/{number}"

    def _read_on(self) -> None:
        number = self._number
        decoding = f"{self._lasting(number)}/decode"
        admission = self._work.begin(decoding)
        if admission == "set_aside":
            raise CameraError(
                f"camera {self.name}: the station ended twice while it decoded frame {number} of {self._shown}; the "
                "rest of the file is not inspected"
            )
        if admission == "later":
            time.sleep(_PAUSE_SECONDS)
            self._pending.append(IDLE)
            return
        super()._read_on()
        if not self._closed:
            self._work.end(decoding)
        if self._pending and self._work.is_set_aside(self._lasting(number)):
            self._set_aside.append(number)
            sentence = f"camera {self.name}: frame {number} of {self._shown} is set aside"
            self._pending[0] = BadFrame(f"{sentence}: the station ended twice while it was in work", "set aside")

    def _bad(self) -> BadFrame:
        self._unreadable.append(self._number)
        return super()._bad()

    def _end(self) -> None:
        good = self._number - len(self._unreadable)
        if not good:
            raise CameraError(f"camera {self.name}: {self._shown} gives no frame")
        cut = cut_short(self._path)
        if not cut and counts_frames(self._path):
            self._pending.extend(self._bad() for _ in range(self._count - self._number))
        if self._unreadable:
            _log.warning(
                "camera %s: %d of the frames of %s cannot be decoded: %s",
                self.name,
                len(self._unreadable),
                self._shown,
                ", ".join(_ranges(self._unreadable)),
            )
        self._unreadable, self._count = [], 0
        if cut:
            raise CameraError(
                f"camera {self.name}: {self._shown} is cut short; what it still holds was read: "
                f"{counted(good, 'frame')}"
            )


def _ranges(numbers: Iterable[int]) -> Iterator[str]:
    """Numbers in ascending order as text, e.g. "3", "7-9"."""
    for _, group in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        run = [number for _, number in group]
        yield str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}"

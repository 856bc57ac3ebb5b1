"""A camera that follows a script."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np

from edge_runtime.cameras.base import Frame, Idle
from edge_runtime.cameras.feeds import Feeds
from edge_runtime.cameras.settings.folder import FolderSettings
from edge_runtime.cameras.settings.opencv import DeviceSettings, StreamSettings
from tests.waiting import wait_until

Step = int | Exception | Idle | Frame | Callable[[], object]


class ScriptedCamera:
    """Steps: a number gives a frame, an exception is raised, IDLE and frames are returned, functions are called."""

    def __init__(self, script: Sequence[Step] = (), *, name: str = "top", at_open: Step | None = None) -> None:
        self.name = name
        self._script = list(script)
        self._at_open = at_open
        self.closed = threading.Event()
        self.finished: list[int] = []

    def open(self) -> None:
        if isinstance(self._at_open, Exception):
            raise self._at_open
        if callable(self._at_open):
            self._at_open()

    def read(self) -> Frame | Idle | None:
        while self._script and not self.closed.is_set():
            step = self._script.pop(0)
            if isinstance(step, Exception):
                raise step
            if isinstance(step, Frame | Idle):
                return step
            if isinstance(step, int):
                return picture(step, self.name)
            step()
        return None

    def close(self) -> None:
        self.closed.set()


class TrackingCamera(ScriptedCamera):
    """A camera that keeps track of finished frames."""

    def done(self, frame: Frame) -> None:
        self.finished.append(frame.number)


class SteppedCamera(ScriptedCamera):
    """Gives one frame for each release of `step`, as long as it is open."""

    def __init__(self, name: str = "top") -> None:
        super().__init__(name=name)
        self.step = threading.Semaphore(0)
        self.number = 0
        self.shape: tuple[int, ...] = (2, 2, 1)

    def read(self) -> Frame | Idle | None:
        while not self.closed.is_set():
            if self.step.acquire(timeout=0.01):
                self.number += 1
                return picture(self.number - 1, self.name, self.shape)
        return None


def picture(number: int, name: str = "top", shape: tuple[int, ...] = (2, 2, 1), dtype: Any = np.uint8) -> Frame:
    """A black frame."""
    return Frame(np.zeros(shape, dtype), datetime.now(timezone.utc), name, str(number), number)


LIVE, FILE, FOLDER = "live", "file", "folder"


@contextmanager
def feeds_of(
    *cameras: ScriptedCamera, kind: str = LIVE, faults: list[tuple[str, str | None]] | None = None, **options: Any
) -> Iterator[Feeds]:
    """Feeds of one camera "top". Each attempt to open it uses the next of `cameras`, and then always the last."""
    left = list(cameras)
    common = {"id": "top", "reopen_seconds": 0.01, "reopen_max_seconds": 0.02, **options}
    settings: DeviceSettings | StreamSettings | FolderSettings
    if kind == LIVE:
        settings = DeviceSettings(kind="device", source=0, **common)
    elif kind == FILE:
        settings = StreamSettings(kind="stream", source="film.avi", **common)
    else:
        settings = FolderSettings(kind="folder", source=Path("pictures"), watch=True, **common)
    reported = faults if faults is not None else []
    make = {"top": lambda: left.pop(0) if len(left) > 1 else left[0]}
    feeds = Feeds([settings], lambda code, sentence: reported.append((code, sentence)), cameras=make)
    feeds.start()
    try:
        yield feeds
    finally:
        feeds.close(2.0)


def drain(feeds: Feeds) -> list[int]:
    """The numbers of all frames, until the input ends."""
    numbers = []

    def step() -> bool:
        if (frame := feeds.get(0.02)) is not None:
            numbers.append(frame.number)
            feeds.done(frame)
        return feeds.ended

    wait_until(step, "the end of the input")
    return numbers


def take(feeds: Feeds) -> Frame:
    """The next frame."""
    got: list[Frame] = []

    def came() -> bool:
        if (frame := feeds.get(0.05)) is not None:
            got.append(frame)
        return bool(got)

    wait_until(came, "a frame")
    return got[0]

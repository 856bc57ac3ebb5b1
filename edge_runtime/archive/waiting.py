"""Frames that wait to be archived: a queue that never holds up the thread that inspects."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from edge_runtime.archive.record import Why
from edge_runtime.cameras.base import Frame
from latentline.inspection.result import InspectionResult
from latentline.package.identity import ModelIdentity

_MOST_FRAMES = 64
_MOST_BYTES = 256 << 20


@dataclass(frozen=True)
class WaitingFrame:
    """A chosen frame, inspected by `model`."""

    frame: Frame
    inspection: InspectionResult
    model: ModelIdentity
    event_id: str | None
    why: Why

    @property
    def bytes(self) -> int:
        """Memory that it holds."""
        inspection = self.inspection
        held: tuple[npt.NDArray[np.generic], ...] = (
            self.frame.image,
            inspection.anomaly_map,
            inspection.reconstruction,
            inspection.prepared,
        )
        return sum(array.nbytes for array in held)


class FrameBuffer:
    """At most 64 frames of 256 MiB together; a single larger frame fits, too. Any thread may call."""

    def __init__(self) -> None:
        self._frames: deque[WaitingFrame] = deque()
        self._bytes = 0
        self._closed = False
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._frames)

    def put(self, waiting: WaitingFrame) -> bool:
        """Add a frame at the end; False if there is no room. Never waits for a disk."""
        with self._changed:
            full = len(self._frames) >= _MOST_FRAMES or self._bytes + waiting.bytes > _MOST_BYTES
            if self._closed or (full and self._frames):
                return False
            self._frames.append(waiting)
            self._bytes += waiting.bytes
            self._changed.notify()
            return True

    def get(self, timeout: float | None) -> WaitingFrame | None:
        """Take the oldest frame, after a wait of `timeout` seconds at most; None: there is none, or it is closed."""
        deadline = None if timeout is None else time.monotonic() + timeout
        with self._changed:
            while not self._frames and not self._closed:
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    return None
                self._changed.wait(left)
            if not self._frames:
                return None
            waiting = self._frames.popleft()
            self._bytes -= waiting.bytes
            return waiting

    @property
    def closed(self) -> bool:
        """Whether `close` was called and nothing is left."""
        return self._closed and not self._frames

    def close(self) -> None:
        """Take no more frames; those that wait can still be taken."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()

    def clear(self) -> int:
        """Drop what waits; returns how many frames."""
        with self._changed:
            count = len(self._frames)
            self._frames.clear()
            self._bytes = 0
            return count

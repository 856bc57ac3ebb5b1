"""The frames of one camera that wait for the inspector, and the rules by which frames are dropped."""

from __future__ import annotations

import time
from collections import Counter, deque

from edge_runtime.cameras.base import Frame
from edge_runtime.cameras.settings.common import CommonSettings

_CAPACITY = 4  # of a lossless queue, in frames; also the limit of pending triggers


class FrameQueue:
    """Frames that have not been taken yet. It has no lock of its own: the owner has one.

    Lossless: the camera is not read while the queue is full (`should_read`). Otherwise there is one slot, and a newer
    frame replaces one that was not taken. With `trigger: command` only frames that a trigger asked for are kept.

    pending_triggers  triggers whose frame has not arrived
    dropped           good frames that are never inspected, by cause
    finished          frames that nobody needs any more, to be passed to a camera that supports `done`
    """

    def __init__(self, settings: CommonSettings) -> None:
        self._settings = settings
        self._frames: deque[Frame] = deque()
        self._paused = False
        self._waiting_since: float | None = None  # time.monotonic()
        self.pending_triggers = 0
        self.dropped: Counter[str] = Counter()
        self.finished: list[Frame] = []

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def on_command(self) -> bool:
        """Whether only frames that a trigger asked for are kept."""
        return self._settings.trigger == "command"

    @property
    def should_read(self) -> bool:
        """Whether the camera should be read now."""
        if self._settings.keeps and (self._paused or (self.on_command and not self.pending_triggers)):
            return False
        return not self._settings.lossless or len(self._frames) < _CAPACITY

    def put(self, frame: Frame, triggered: bool) -> None:
        """Keep `frame` or drop it. triggered: its exposure began after a trigger."""
        if self._paused and not self._settings.keeps:
            self._drop(frame, "paused")
        elif self.on_command and not triggered:
            self._drop(frame, "no trigger")
        else:
            self.pending_triggers = max(0, self.pending_triggers - 1)
            if not self._settings.lossless:
                self.drop_all("newer frame")
            if self._waiting_since is None:
                self._waiting_since = time.monotonic()
            self._frames.append(frame)

    def take(self) -> Frame | None:
        """Remove and return the oldest frame; None if there is none, or while paused."""
        if not self._frames or self._paused:
            return None
        frame = self._frames.popleft()
        if not self._frames:
            self._waiting_since = None
        return frame

    def backlog_seconds(self) -> float:
        """For how long there has been a frame that waits; 0 unless that means that more pile up in the source."""
        if self._waiting_since is None or not (self._settings.lossless and self._settings.piles_up):
            return 0.0
        return time.monotonic() - self._waiting_since

    def pause(self, paused: bool) -> None:
        """Give no frames while paused. Frames of a live camera are dropped meanwhile."""
        self._paused, self._waiting_since = paused, None  # a frame that waits in a pause is not late
        if paused and not self._settings.keeps:
            self.drop_all("paused")

    def add_trigger(self) -> bool:
        """Ask for one more frame. False if it would not be kept."""
        if not self.on_command or self._paused or self.pending_triggers >= _CAPACITY:
            return False
        self.pending_triggers += 1
        return True

    def drop_triggers(self) -> None:
        """Forget the pending triggers, because the camera failed: a much later frame is not an answer to them."""
        if self.pending_triggers:
            self.dropped["trigger not answered"] += self.pending_triggers
        self.pending_triggers = 0

    def drop_all(self, cause: str) -> None:
        """Drop all waiting frames, and count them under `cause`."""
        while self._frames:
            self._drop(self._frames.popleft(), cause)
        self._waiting_since = None

    def clear(self) -> None:
        """Forget all waiting frames without counting them: their source still has them."""
        self._frames.clear()
        self._waiting_since = None

    def _drop(self, frame: Frame, cause: str) -> None:
        self.dropped[cause] += 1
        self.finished.append(frame)

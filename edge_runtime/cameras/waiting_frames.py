"""What stands between a camera and the inspector: few frames, and the rules by which they pass."""

from __future__ import annotations

from collections import Counter, deque

from edge_runtime.cameras.base import Frame
from edge_runtime.cameras.settings.common import CommonSettings

_ROOM = 4  # lossless: so many frames wait at most, then the camera does; also the triggers that may wait


class WaitingFrames:
    """Frames that nobody took yet. No lock of its own: whoever owns it has one.

    Lossless: the camera is not to be read while the queue is full (`due`). Else one slot: a newer frame replaces the
    one that nobody took. With `trigger: command` only frames that were asked for are kept.

    wanted    triggers that wait for their frame
    dropped   good frames that nobody will see, by cause
    finished  frames that nobody needs again, for a camera that keeps account of them
    """

    def __init__(self, settings: CommonSettings) -> None:
        self._settings = settings
        self._frames: deque[Frame] = deque()
        self._paused = False
        self.wanted = 0
        self.dropped: Counter[str] = Counter()
        self.finished: list[Frame] = []

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def on_command(self) -> bool:
        """Whether only frames that were asked for are kept."""
        return self._settings.trigger == "command"

    @property
    def due(self) -> bool:
        """Whether the camera is to be read now."""
        if self._settings.keeps and (self._paused or (self.on_command and not self.wanted)):
            return False
        return not self._settings.lossless or len(self._frames) < _ROOM

    def put(self, frame: Frame, asked: bool) -> None:
        """Keep `frame` or drop it. `asked`: its exposure began after a trigger."""
        if self._paused and not self._settings.keeps:
            self._drop(frame, "paused")
        elif self.on_command and not asked:
            self._drop(frame, "no trigger")
        else:
            self.wanted = max(0, self.wanted - 1)
            if not self._settings.lossless:
                self.drop_all("newer frame")
            self._frames.append(frame)

    def take(self) -> Frame | None:
        """The oldest frame."""
        return self._frames.popleft() if self._frames and not self._paused else None

    def pause(self, paused: bool) -> None:
        """While paused no frame is given, and those that cannot wait at their source are dropped."""
        self._paused = paused
        if paused and not self._settings.keeps:
            self.drop_all("paused")

    def ask(self) -> bool:
        """Want one frame more; False where none will be kept."""
        if not self.on_command or self._paused or self.wanted >= _ROOM:
            return False
        self.wanted += 1
        return True

    def forget_triggers(self) -> None:
        """The camera failed: a frame that comes much later is not the one that was asked for."""
        if self.wanted:
            self.dropped["trigger not answered"] += self.wanted
        self.wanted = 0

    def drop_all(self, cause: str) -> None:
        """Drop what waits."""
        while self._frames:
            self._drop(self._frames.popleft(), cause)

    def leave_all(self) -> None:
        """Forget what waits, at its source it waits on."""
        self._frames.clear()

    def _drop(self, frame: Frame, cause: str) -> None:
        self.dropped[cause] += 1
        self.finished.append(frame)

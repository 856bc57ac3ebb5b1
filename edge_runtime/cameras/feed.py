"""One camera under supervision: a read that hangs is left behind, a camera that failed is opened anew."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from edge_runtime.backoff import Backoff
from edge_runtime.cameras.base import Camera, Frame, Idle
from edge_runtime.cameras.old_feed import CameraFeed as CameraFeed
from edge_runtime.cameras.reader import Reader
from edge_runtime.cameras.settings import CommonSettings
from edge_runtime.rate_limit import RateLimitedLog
from latentline.errors import CameraError

_log = logging.getLogger(__name__)
_WAITING_FRAMES = 4  # lossless: so many frames wait at most, then the camera does; also the triggers that may wait
_HUNG_READERS = 4  # so many threads may hang in a driver before no further one is risked
_LOOK_SECONDS = 0.1  # how often a stall is looked for at most
CameraState = Literal["ok", "stalled", "failing", "ended"]


@dataclass(frozen=True)
class CameraReport:
    """How a camera does.

    state        ok; stalled (nothing comes); failing (it said why it cannot); ended (end of the input, or closed)
    reason       a sentence when it is not ok
    frames       good frames so far, with those that nobody inspected
    bad_causes   frames that could not be used, by cause
    reopened     how often it was opened again
    stalls       how often nothing came for `stall_seconds`
    dropped      good frames that were not inspected, by cause
    age_seconds  since the newest good frame; None before the first
    """

    state: CameraState
    reason: str | None
    frames: int
    bad_causes: Mapping[str, int]
    reopened: int
    stalls: int
    dropped: Mapping[str, int]
    age_seconds: float | None

    @property
    def bad(self) -> int:
        """Frames that could not be used."""
        return sum(self.bad_causes.values())


class Feed:
    """One camera. A reader thread may hang; the supervisor thread of this feed never does.

    make      gives a new camera each time; the first one is made at once, so what can never work raises CameraError
    changed   notified when a frame came or the input ended; guards the state of this feed
    on_fault  called by the supervisor with (code, sentence), with (code, None) when it is right again
    """

    def __init__(
        self,
        settings: CommonSettings,
        make: Callable[[], Camera],
        changed: threading.Condition,
        on_fault: Callable[[str, str | None], None],
    ) -> None:
        self.settings = settings
        self._make = make
        self._first: Camera | None = make()
        self._changed = changed
        self._on_fault = on_fault
        self._backoff = Backoff(settings.reopen_seconds, settings.reopen_max_seconds)
        self._attention = threading.Event()
        self._supervisor = threading.Thread(target=self._supervise, name=f"supervisor {settings.id}", daemon=True)
        self._bad_log = RateLimitedLog(_log)
        self._reader: Reader | None = None
        self._hung: list[Reader] = []
        self._frames: deque[Frame] = deque()
        self._finished: list[Frame] = []
        self._wanted = 0
        self._paused = self._closing = self._over = False
        self._problem: tuple[CameraState, str] | None = None
        self._unfinished: str | None = None
        self._said: dict[str, str | None] = {}
        self._first_number = self._next_number = 0
        self._newest: float | None = None
        self._good = self._reopened = self._stalls = 0
        self._bad: Counter[str] = Counter()
        self._dropped: Counter[str] = Counter()
        self.error: CameraError | None = None

    # For the owner of the feed.

    def start(self) -> None:
        """Begin to open and read, in the background."""
        self._supervisor.start()

    def take(self) -> Frame | None:
        """The next frame, if one is there. The caller holds `changed`."""
        if self._paused or not self._frames:
            return None
        self._changed.notify_all()
        return self._frames.popleft()

    @property
    def ended(self) -> bool:
        """Whether the input is over and every frame of it was taken. The caller holds `changed`."""
        return self._over and not self._frames

    def pause(self, paused: bool) -> None:
        """Take no frames (frames that cannot wait at their source are dropped), or take them again."""
        with self._changed:
            self._paused = paused
            if paused and not self.settings.keeps:
                self._drop_all("paused")
            self._changed.notify_all()

    def trigger(self) -> bool:
        """Ask for one frame, exposed from now on; False where none will come."""
        with self._changed:
            well = self._reader is not None and self._reader.is_open and self._problem is None and not self._over
            if self.settings.trigger != "command" or self._paused or not well or self._wanted >= _WAITING_FRAMES:
                return False
            self._wanted += 1
            self._changed.notify_all()
            return True

    def done(self, frame: Frame) -> None:
        """Nobody needs `frame` again: a folder may mark or move the file."""
        with self._changed:
            if self._reader is None or self._reader.remembers:
                self._finished.append(frame)
                self._changed.notify_all()

    def report(self) -> CameraReport:
        """How the camera does."""
        with self._changed:
            state, reason = self._problem or (("ended", None) if self._over else ("ok", None))
            if self.error is not None:
                state, reason = "ended", str(self.error)
            age = None if self._newest is None else time.monotonic() - self._newest
            counts = dict(self._bad), self._reopened, self._stalls, dict(self._dropped)
            return CameraReport(state, reason, self._good, *counts, age)

    def end(self) -> None:
        """Ask everything to stop; frames that nobody took count as dropped."""
        with self._changed:
            self._closing = self._over = True
            if self._reader is None or not self._reader.remembers:
                self._drop_all("station stopped")
            self._frames.clear()
            self._changed.notify_all()
            reader = self._reader
        self._attention.set()
        if reader is not None:
            reader.close()

    def join(self, deadline: float) -> None:
        """Wait until the monotonic time `deadline` for the end; a reader that hangs is left behind."""
        if self._supervisor.ident is not None:
            self._supervisor.join(max(0.0, deadline - time.monotonic()))
        if self._reader is not None:
            self._reader.join(deadline - time.monotonic())
            if self._reader.alive:
                _log.warning("camera %s hangs in its driver; it is left behind", self.settings.id)

    # For the reader (`reader.Taker`).

    def turn(self, reader: Reader) -> list[Frame] | None:
        """See `Taker`."""
        with self._changed:
            reader.busy = False
            self._changed.wait_for(lambda: reader is not self._reader or self._finished or self._closing or self._due())
            if reader is not self._reader or (self._closing and not self._finished):
                return None
            finished, self._finished = self._finished, []
            if not finished:
                reader.asked = self._wanted > 0
                reader.busy, reader.sign = True, time.monotonic()
            return finished

    def opened(self, reader: Reader) -> None:
        """See `Taker`."""
        with self._changed:
            if reader is self._reader:
                reader.sign, reader.is_open = time.monotonic(), True
                self._reopened += self._first_number > 0 or self._problem is not None

    def arrived(self, reader: Reader, frame: Frame | Idle) -> None:
        """See `Taker`."""
        with self._changed:
            if reader is not self._reader or self._closing:
                return
            resting = self.settings.trigger == "command" and not reader.asked
            if isinstance(frame, Frame) or self.settings.silent or resting:
                self._is_well(reader)
            if isinstance(frame, Frame):
                self._good += 1
                self._newest = reader.sign
                self._next_number = self._first_number + frame.number + 1
                self._hand_over(replace(frame, number=self._next_number - 1), reader)

    def spoilt(self, reader: Reader, cause: str, sentence: str) -> None:
        """See `Taker`."""
        with self._changed:
            if reader is not self._reader:
                return
            self._bad[cause] += 1
            if self.settings.keeps:
                self._is_well(reader)
        self._bad_log.warning(f"skipped: {sentence}")

    def unfinished(self, sentence: str | None) -> None:
        """See `Taker`."""
        with self._changed:
            self._unfinished = sentence
        self._attention.set()

    def over(self, reader: Reader, error: CameraError | None) -> bool:
        """See `Taker`."""
        with self._changed:
            if reader is not self._reader:
                return False
            if error is not None and self.settings.live and not self._closing:
                self._give_up(("failing", str(error)))
                return False
            self.error = None if self._closing else error
            self._problem = None
            self._over = True
            self._changed.notify_all()
        self._attention.set()
        return True

    # Under `changed`.

    def _due(self) -> bool:
        """Whether a frame is to be read now."""
        waits = self.settings.keeps and (self._paused or (self.settings.trigger == "command" and not self._wanted))
        full = self.settings.lossless and len(self._frames) >= _WAITING_FRAMES
        return not (self._over or waits or full)

    def _is_well(self, reader: Reader) -> None:
        reader.sign = time.monotonic()
        if self._problem is not None:
            self._problem = None
            self._attention.set()
        self._backoff.reset()

    def _hand_over(self, frame: Frame, reader: Reader) -> None:
        if self._paused and not self.settings.keeps:
            self._drop(frame, "paused")
        elif self.settings.trigger == "command" and not reader.asked:
            self._drop(frame, "no trigger")
        else:
            self._wanted = max(0, self._wanted - 1)
            if not self.settings.lossless:
                self._drop_all("newer frame")
            self._frames.append(frame)
            self._changed.notify_all()

    def _drop(self, frame: Frame, cause: str) -> None:
        self._dropped[cause] += 1
        self._finished.append(frame)

    def _drop_all(self, cause: str) -> None:
        while self._frames:
            self._drop(self._frames.popleft(), cause)

    def _give_up(self, problem: tuple[CameraState, str]) -> None:
        """Leave the reader to itself; triggers that wait will not be answered."""
        self._problem, self._reader = problem, None
        if self._wanted:
            self._dropped["trigger not answered"] += self._wanted
        self._wanted = 0
        self._first_number = self._next_number
        self._changed.notify_all()
        self._attention.set()

    # The supervisor.

    def _supervise(self) -> None:
        self._read_anew()
        while not self._closing:
            self._attention.wait(min(_LOOK_SECONDS, self.settings.stall_seconds / 4))
            self._attention.clear()
            self._look_for_a_stall()
            self._say()
            if self._reader is None and not self._closing:
                self._reopen()
        self._say()

    def _reopen(self) -> None:
        pause = time.monotonic() + self._backoff.pause()
        while not self._closing and time.monotonic() < pause:
            self._attention.wait(max(0.0, pause - time.monotonic()))
            self._attention.clear()
        self._hung = [reader for reader in self._hung if reader.alive]
        if len(self._hung) >= _HUNG_READERS:
            sentence = f"camera {self.settings.id}: {len(self._hung)} reads hang in its driver; restart the station"
            self._problem = ("stalled", sentence)
        elif not self._closing:
            self._read_anew()

    def _read_anew(self) -> None:
        first, self._first = self._first, None
        make = self._make if first is None else lambda: first
        with self._changed:
            self._reader = reader = Reader(self.settings.id, make, self)
        reader.start()

    def _look_for_a_stall(self) -> None:
        """Name a reader from which nothing comes; one of a live camera is left behind."""
        with self._changed:
            reader = self._reader
            is_open = reader is not None and reader.is_open
            limit = self.settings.stall_seconds if is_open else self.settings.open_seconds
            silent = reader is not None and reader.alive and reader.busy and time.monotonic() - reader.sign > limit
            if reader is None or not silent or self._over or (self._problem and not self.settings.live):
                return
            self._stalls += 1
            what = "no usable frame" if is_open else f"{self.settings.shown} did not open"
            problem: tuple[CameraState, str]
            problem = ("stalled", f"camera {self.settings.id} is stalled: {what} for more than {limit:g} s")
            if not self.settings.live:
                self._problem = problem
                return
            self._give_up(problem)
        self._hung.append(reader)
        reader.close()

    def _say(self) -> None:
        """Report what changed. Not under `changed`: who listens may ask for a report."""
        code = f"camera.{self.settings.id}"
        with self._changed:
            failed = None if self.error is None else str(self.error)
            now = {code: self._problem[1] if self._problem else failed, f"{code}.done": self._unfinished}
        for name, sentence in now.items():
            if self._said.get(name) != sentence:
                self._said[name] = sentence
                self._on_fault(name, sentence)

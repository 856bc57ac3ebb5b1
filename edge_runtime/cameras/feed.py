"""One camera under supervision: a read that hangs is left behind, a camera that failed is opened anew."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from edge_runtime.cameras.base import Camera, Frame, Idle
from edge_runtime.cameras.reader import Reader
from edge_runtime.cameras.settings import CommonSettings
from edge_runtime.cameras.waiting_frames import WaitingFrames
from edge_runtime.pacing import Backoff, RateLimitedLog
from latentline.errors import CameraError

_log = logging.getLogger(__name__)
_HUNG_READERS = 4  # so many threads may hang in a driver before no further one is risked
_LOOK_SECONDS = 0.1  # how often a stall is looked for at most
CameraState = Literal["ok", "stalled", "failing", "ended"]


@dataclass(frozen=True)
class CameraReport:
    """How a camera does.

    state        ok; stalled (nothing comes); failing (it said why it cannot); ended (end of the input, or closed)
    reason       a sentence where something is wrong
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
    changed   guards the state of this feed; notified when a frame came or the input ended
    on_fault  called by the supervisor with (code, sentence), with (code, None) when it is right again
    error     why a camera that has an end, a file or a folder, ended before it
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
        self._waiting = WaitingFrames(settings)
        self._reader: Reader | None = None
        self._hung: list[Reader] = []
        self._closing = self._over = False
        self._problem: tuple[CameraState, str] | None = None
        self._unfinished: str | None = None
        self._said: dict[str, str | None] = {}
        self._first_number = self._next_number = 0  # of the frames of this reader
        self._newest: float | None = None
        self._good = self._opened = self._stalls = 0
        self._bad: Counter[str] = Counter()
        self.error: CameraError | None = None

    def start(self) -> None:
        """Begin to open and read, in the background."""
        self._supervisor.start()

    def take(self) -> Frame | None:
        """The next frame, if one is there. The caller holds `changed`."""
        frame = self._waiting.take()
        if frame is not None:
            self._changed.notify_all()
        return frame

    @property
    def ended(self) -> bool:
        """Whether the input is over and every frame of it was taken. The caller holds `changed`."""
        return self._over and not len(self._waiting)

    def pause(self, paused: bool) -> None:
        """Take no frames (frames that cannot wait at their source are dropped), or take them again."""
        with self._changed:
            self._waiting.pause(paused)
            self._changed.notify_all()

    def trigger(self) -> bool:
        """Ask for one frame, exposed from now on; False where none will come."""
        with self._changed:
            well = self._reader is not None and self._reader.is_open and self._problem is None and not self._over
            asked = well and self._waiting.ask()
            self._changed.notify_all()
            return asked

    def done(self, frame: Frame) -> None:
        """Nobody needs `frame` again: a folder may mark or move the file."""
        with self._changed:
            self._waiting.finished.append(frame)
            self._changed.notify_all()

    def report(self) -> CameraReport:
        """How the camera does."""
        with self._changed:
            state, reason = self._problem or ("ok", None if self.error is None else str(self.error))
            age = None if self._newest is None else time.monotonic() - self._newest
            return CameraReport(
                state="ended" if self._over else state,
                reason=reason,
                frames=self._good,
                bad_causes=dict(self._bad),
                reopened=max(0, self._opened - 1),
                stalls=self._stalls,
                dropped=dict(self._waiting.dropped),
                age_seconds=age,
            )

    def end(self) -> None:
        """Ask everything to stop. Frames that nobody took count as dropped, unless a restart finds them again."""
        with self._changed:
            self._closing = self._over = True
            reader = self._reader
            if reader is not None and reader.remembers:
                self._waiting.leave_all()
            self._waiting.drop_all("station stopped")
            self._changed.notify_all()
        self._attention.set()
        if reader is not None and reader.busy:
            reader.close()

    def join(self, deadline: float) -> None:
        """Wait until the monotonic time `deadline` for the end; a reader that hangs is left behind."""
        if self._supervisor.ident is not None:
            self._supervisor.join(max(0.0, deadline - time.monotonic()))
        if self._reader is not None:
            self._reader.join(deadline - time.monotonic())
            if self._reader.alive:
                _log.warning("camera %s hangs in its driver; it is left behind", self.settings.id)

    # What a reader says, see `reader.Taker`. One that was given up is not listened to.

    def turn(self, reader: Reader) -> list[Frame] | None:
        """Wait until there is something to do: frames to be finished, or none (then read one); None: end."""
        waiting = self._waiting
        with self._changed:
            reader.busy, began = False, time.monotonic()
            self._changed.wait_for(lambda: reader is not self._reader or self._closing or self._something_to_do())
            if reader is not self._reader or (self._closing and not waiting.finished):
                return None
            finished, waiting.finished = waiting.finished, []
            reader.asked = waiting.wanted > 0
            reader.sign += time.monotonic() - began  # it waited for us
            reader.busy = True
            return finished

    def opened(self, reader: Reader) -> None:
        """The camera is open."""
        with self._changed:
            if reader is self._reader:
                reader.sign, reader.is_open = time.monotonic(), True
                self._opened += 1

    def arrived(self, reader: Reader, frame: Frame | Idle) -> None:
        """The camera gave a frame, or a sign that it is well."""
        with self._changed:
            if reader is not self._reader or self._closing:
                return
            resting = self._waiting.on_command and not reader.asked
            if isinstance(frame, Frame) or self.settings.silent or resting:
                self._is_well(reader)
            if isinstance(frame, Frame):
                self._good += 1
                self._newest = reader.sign
                number = self._first_number + frame.number
                self._next_number = number + 1
                self._waiting.put(replace(frame, number=number), reader.asked)
                self._changed.notify_all()

    def spoilt(self, reader: Reader, cause: str, sentence: str) -> None:
        """The camera gave a frame that cannot be used."""
        with self._changed:
            if reader is not self._reader:
                return
            self._bad[cause] += 1
            if self.settings.keeps:
                self._is_well(reader)
        self._bad_log.warning(f"skipped: {sentence}")

    def unfinished(self, sentence: str | None) -> None:
        """A frame could not be marked or moved; None: it could."""
        with self._changed:
            self._unfinished = sentence
        self._attention.set()

    def over(self, reader: Reader, error: CameraError | None) -> bool:
        """The input is at its end, or failed. True: go on for the frames that are still to be finished."""
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

    def _something_to_do(self) -> bool:
        return bool(self._waiting.finished) or (self._waiting.due and not self._over)

    def _is_well(self, reader: Reader) -> None:
        reader.sign = time.monotonic()
        self._backoff.reset()
        if self._problem is not None:
            self._problem = None
            self._attention.set()

    def _give_up(self, problem: tuple[CameraState, str]) -> None:
        """Listen to this reader no longer; under `changed`."""
        self._problem, self._reader = problem, None
        self._waiting.forget_triggers()
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
        """After a pause that grows, try again; not while too many threads hang in the driver."""
        until = time.monotonic() + self._backoff.pause()
        while not self._closing and (left := until - time.monotonic()) > 0:
            self._attention.wait(left)
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
        """Name a reader from which nothing comes; that of a live camera is left behind."""
        with self._changed:
            reader = self._reader
            if reader is None or not (reader.alive and reader.busy) or self._over:
                return
            limit = self.settings.stall_seconds if reader.is_open else self.settings.open_seconds
            known = self._problem is not None and not self.settings.live
            if known or time.monotonic() - reader.sign <= limit:
                return
            self._stalls += 1
            what = "no usable frame" if reader.is_open else f"{self.settings.shown} did not open"
            sentence = f"camera {self.settings.id} is stalled: {what} for more than {limit:g} s"
            if not self.settings.live:
                self._problem = ("stalled", sentence)
                return  # a file begun anew would repeat its frames
            self._give_up(("stalled", sentence))
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

"""One camera as a source of frames, under supervision."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timezone

from edge_runtime.cameras.base import Camera, Frame, Idle
from edge_runtime.cameras.frame_queue import FrameQueue
from edge_runtime.cameras.reader import Reader
from edge_runtime.cameras.reader_supervisor import ReaderSupervisor
from edge_runtime.cameras.report import CameraReport, CameraState
from edge_runtime.cameras.settings.common import CommonSettings
from edge_runtime.kept_thread import KeptThread
from edge_runtime.pacing import Backoff, RateLimitedLog
from latentline.errors import CameraError

_log = logging.getLogger(__name__)
_NAMED = 20  # bad pictures of a folder or file that the log names in ten seconds


class Feed:
    """Passes the frames of one camera from its reader thread to the station. A reader that hangs is given up.

    make      makes a camera, a new one for each attempt; called once at the start, and may raise CameraError
    changed   lock of this feed's state; notified when a frame has arrived or the input has ended
    on_fault  called by the supervisor's thread with (code, sentence), and with (code, None) when the fault is over
    error     why a file or folder ended early
    reader    the reader in use; None: there is none yet, or the last one was given up
    stuck     so many readers hang in the driver that no other is tried: only a new process can help
    """

    def __init__(
        self,
        settings: CommonSettings,
        make: Callable[[], Camera],
        changed: threading.Condition,
        on_fault: Callable[[str, str | None], None],
    ) -> None:
        self.settings = settings
        self._changed = changed
        self._backoff = Backoff(settings.reopen_seconds, settings.reopen_max_seconds)
        self._bad_log = RateLimitedLog(_log, burst=_NAMED if settings.keeps else 1)
        self._queue = FrameQueue(settings)
        self._ended = False
        self._problem: tuple[CameraState, str] | None = None
        self._warnings: dict[str, str | None] = {}  # by kind
        self._first_number = self._next_number = 0  # of the frames of this reader
        self._newest: float | None = None  # time.monotonic()
        self._good = self._opened = self._stalls = 0
        self._opened_at = 0.0  # time.monotonic()
        self._bad: Counter[str] = Counter()
        self.closing = False
        self.error: CameraError | None = None
        self.reader: Reader | None = None
        self.stuck = False
        self._supervisor = ReaderSupervisor(self, make, self._backoff, on_fault)

    def start(self) -> None:
        """Open the camera and read it, in the background."""
        self._supervisor.start()

    @property
    def thread(self) -> KeptThread:
        """The thread that supervises the reader; the reader has one of its own."""
        return self._supervisor.thread

    def take(self) -> Frame | None:
        """The next frame, if there is one. The caller holds `changed`."""
        frame = self._queue.take()
        if frame is not None:
            self._changed.notify_all()
        return frame

    @property
    def ended(self) -> bool:
        """Whether the input has ended and all its frames were taken. The caller holds `changed`."""
        return self._ended and not len(self._queue)

    def pause(self, paused: bool) -> None:
        """Give no frames while paused; frames of a live camera are dropped meanwhile."""
        with self._changed:
            self._queue.pause(paused)
            self._changed.notify_all()

    def trigger(self) -> bool:
        """Ask for one frame whose exposure begins from now on. False if none will come."""
        with self._changed:
            works = self.reader is not None and self.reader.is_open and self._problem is None and not self._ended
            accepted = works and self._queue.add_trigger()
            self._changed.notify_all()
            return accepted

    def done(self, frame: Frame) -> None:
        """`frame` is no longer needed: a folder may mark or move its file."""
        with self._changed:
            self._queue.finished.append(frame)
            self._changed.notify_all()

    def report(self) -> CameraReport:
        """State and counters of the camera."""
        with self._changed:
            state, reason = self._problem or ("ok", None if self.error is None else str(self.error))
            age = None if self._newest is None else time.monotonic() - self._newest
            return CameraReport(
                state="ended" if self._ended else state,
                reason=reason,
                frames=self._good,
                bad_causes=dict(self._bad),
                reopened=max(0, self._opened - 1),
                stalls=self._stalls,
                dropped=dict(self._queue.dropped),
                age_seconds=age,
                backlog_seconds=self._queue.backlog_seconds(),
            )

    def close(self) -> None:
        """Stop reading. Frames that were not taken count as dropped, unless a restart finds them again."""
        with self._changed:
            self.closing = self._ended = True
            reader = self.reader
            if reader is not None and reader.supports_done:
                self._queue.clear()
            self._queue.drop_all("station stopped")
            self._changed.notify_all()
        self._supervisor.notify()
        if reader is not None and reader.busy:
            reader.close()

    def join(self, deadline: float) -> None:
        """Wait for the threads to end, until `deadline` (time.monotonic()); a reader that hangs is left behind."""
        self._supervisor.join(deadline - time.monotonic())
        if self.reader is not None:
            self.reader.join(deadline - time.monotonic())
            if self.reader.alive:
                _log.warning("camera %s hangs in its driver; its thread is left behind", self.settings.id)

    # ---- called by readers, see ReaderListener; one that was given up is ignored

    def next_work(self, reader: Reader) -> list[Frame] | None:
        """Wait for work: frames that are finished; an empty list to read a frame; None to stop."""
        with self._changed:
            reader.busy, began = False, time.monotonic()
            self._changed.wait_for(lambda: reader is not self.reader or self.closing or self._has_work())
            if reader is not self.reader or (self.closing and not self._queue.finished):
                return None
            finished, self._queue.finished = self._queue.finished, []
            reader.triggered = self._queue.pending_triggers > 0
            reader.last_activity += time.monotonic() - began  # this wait was not the camera's
            reader.busy = True
            return finished

    def opened(self, reader: Reader) -> None:
        """The camera is open."""
        with self._changed:
            if reader is self.reader:
                reader.last_activity, reader.is_open = time.monotonic(), True
                self._opened_at = reader.last_activity
                self._opened += 1

    def received(self, reader: Reader, frame: Frame | Idle) -> None:
        """The camera gave a frame, or the sign that it works but has none."""
        with self._changed:
            if reader is not self.reader or self.closing:
                return
            untriggered = self._queue.on_command and not reader.triggered
            if isinstance(frame, Frame) or self.settings.silent or self.settings.keeps or untriggered:
                self._works(reader)
            if isinstance(frame, Frame):
                self._good += 1
                self._newest = reader.last_activity
                number = self._first_number + frame.number
                self._next_number = number + 1
                numbered = replace(frame, number=number, since=self._since(frame), bit_depth=self.settings.bit_depth)
                self._queue.put(numbered, reader.triggered)
                self._changed.notify_all()

    def bad_frame(self, reader: Reader, cause: str, sentence: str) -> None:
        """The camera gave an unusable frame."""
        with self._changed:
            if reader is not self.reader:
                return
            self._bad[cause] += 1
            if self.settings.keeps:
                self._works(reader)
        self._bad_log.warning(f"a frame is skipped: {sentence}")

    def warn(self, kind: str, sentence: str | None) -> None:
        """The camera works, and has a trouble of this `kind`; None: it no longer has it."""
        with self._changed:
            if self._warnings.get(kind) == sentence:
                return
            self._warnings[kind] = sentence
        self._supervisor.notify()

    def input_ended(self, reader: Reader, error: CameraError | None) -> bool:
        """The input has ended or failed. Returns whether to stay for frames that will be finished later."""
        with self._changed:
            if reader is not self.reader:
                return False
            if error is not None and self.settings.live and not self.closing:
                self._give_up(("failing", str(error)))
                return False
            self.error = None if self.closing else error
            self._problem = None
            self._ended = True
            self._changed.notify_all()
        self._supervisor.notify()
        return True

    def _since(self, frame: Frame) -> float:
        """From when on a frame has waited: since it was taken, at most since the opening, whatever the clock says."""
        age = (datetime.now(timezone.utc) - frame.captured_at).total_seconds()
        return min(frame.since, max(self._opened_at, time.monotonic() - age))

    def _has_work(self) -> bool:
        return bool(self._queue.finished) or (self._queue.should_read and not self._ended)

    def _works(self, reader: Reader) -> None:
        reader.last_activity = time.monotonic()
        self._backoff.reset()
        if self._problem is not None:
            self._problem = None
            self._supervisor.notify()

    def _give_up(self, problem: tuple[CameraState, str]) -> None:
        """Ignore the present reader from now on. The caller holds `changed`."""
        self._problem, self.reader = problem, None
        self._queue.drop_triggers()
        self._first_number = self._next_number
        self._changed.notify_all()
        self._supervisor.notify()

    # ---- called by the supervisor

    def use(self, reader: Reader) -> None:
        """Use `reader` from now on, and ignore any other."""
        with self._changed:
            self.reader, self.stuck = reader, False

    def give_up_stalled(self) -> Reader | None:
        """Check for a stall. Returns the reader that was given up because of it; that of a file is kept."""
        with self._changed:
            reader = self.reader
            if reader is None or not (reader.alive and reader.busy) or self._ended:
                return None
            limit = self.settings.stall_seconds if reader.is_open else self.settings.open_seconds
            known = self._problem is not None and not self.settings.live
            if known or time.monotonic() - reader.last_activity <= limit:
                return None
            self._stalls += 1
            what = "no usable frame" if reader.is_open else f"{self.settings.shown} did not open"
            sentence = f"camera {self.settings.id} is stalled: {what} for more than {limit:g} s"
            if not self.settings.live:
                self._problem = ("stalled", sentence)
                return None  # a file that is opened again would repeat its frames
            self._give_up(("stalled", sentence))
            return reader

    def give_up_dead(self) -> None:
        """Check whether the reader's thread has died. That of a file is not replaced, once it has given frames."""
        with self._changed:
            reader = self.reader
            if reader is None or reader.alive or self._ended:
                return
            sentence = f"camera {self.settings.id}: the thread that reads it has died"
            if self.settings.live or not reader.is_open:
                self._give_up(("failing", sentence))
                return
            self.error, self._problem, self._ended = CameraError(sentence), None, True
            self._changed.notify_all()

    def cannot_start(self, reader: Reader, reason: str) -> None:
        """There is no thread for `reader`; another one will be tried."""
        with self._changed:
            if reader is self.reader:
                sentence = f"camera {self.settings.id}: no thread can be started to read it ({reason})"
                self._give_up(("failing", f"{sentence}; the station tries again"))

    def too_many_hang(self, sentence: str) -> None:
        """The camera cannot be opened again, because too many readers hang."""
        with self._changed:
            self._problem, self.stuck = ("stalled", sentence), True

    def faults(self) -> Mapping[str, str | None]:
        """The present sentence of `camera.{id}`, and of `camera.{id}.{kind}`; None: no such fault."""
        code = f"camera.{self.settings.id}"
        with self._changed:
            error = None if self.error is None else str(self.error)
            kinds = {f"{code}.{kind}": sentence for kind, sentence in self._warnings.items()}
            return {code: self._problem[1] if self._problem else error, **kinds}

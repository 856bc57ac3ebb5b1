"""Supervises the thread that reads a camera: starts it, leaves it behind when it hangs, and starts another one."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from edge_runtime.cameras.base import Camera
from edge_runtime.cameras.reader import Reader, ReaderListener
from edge_runtime.cameras.settings.common import CommonSettings
from edge_runtime.kept_thread import KeptThread
from edge_runtime.pacing import Backoff

_MAX_HUNG_READERS = 4  # threads that may hang in a driver before no other one is started
_POLL_SECONDS = 0.1  # longest time between two checks for a stall


class SupervisedFeed(ReaderListener, Protocol):
    """What the supervisor needs of a feed."""

    settings: CommonSettings

    @property
    def closing(self) -> bool:
        """Whether the feed is being closed."""
        ...

    @property
    def reader(self) -> Reader | None:
        """The reader in use; None: there is none yet, or the last one was given up."""
        ...

    def use(self, reader: Reader) -> None:
        """Use `reader` from now on, and ignore any other."""
        ...

    def give_up_stalled(self) -> Reader | None:
        """Check for a stall, and return the reader that was given up because of one."""
        ...

    def give_up_dead(self) -> None:
        """Check whether the reader's thread has died."""
        ...

    def cannot_start(self, reader: Reader, reason: str) -> None:
        """There is no thread for `reader`; another one will be tried."""
        ...

    def too_many_hang(self, sentence: str) -> None:
        """The camera cannot be opened again, because too many readers hang."""
        ...

    def faults(self) -> Mapping[str, str | None]:
        """The present sentence of each fault code; None: no such fault."""
        ...


class ReaderSupervisor:
    """One thread for one camera. It never calls the driver, so it cannot hang.

    make      makes a camera; the first one is made at once, and may raise CameraError
    backoff   gives the pauses before the camera is opened again
    on_fault  called with (code, sentence or None) whenever one of the feed's faults changes
    hung      readers that were left behind
    """

    def __init__(
        self,
        feed: SupervisedFeed,
        make: Callable[[], Camera],
        backoff: Backoff,
        on_fault: Callable[[str, str | None], None],
    ) -> None:
        self._feed, self._make, self._backoff, self._on_fault = feed, make, backoff, on_fault
        self._first: Camera | None = make()
        self._notified = threading.Event()
        self._reported: dict[str, str | None] = {}
        self.thread = KeptThread(f"supervisor {feed.settings.id}", self._run)
        self.hung: list[Reader] = []

    def start(self) -> None:
        """Start the thread, which opens the camera."""
        self.thread.start()

    def notify(self) -> None:
        """Something about the feed has changed."""
        self._notified.set()

    def join(self, timeout: float) -> None:
        """Wait for the thread to end, `timeout` seconds at most."""
        self.thread.join(timeout)

    def _run(self) -> None:
        if self._feed.reader is None:  # else this thread is the successor of one that died
            self._start_reader()
        while not self._feed.closing:
            self._notified.wait(min(_POLL_SECONDS, self._feed.settings.stall_seconds / 4))
            self._notified.clear()
            stalled = self._feed.give_up_stalled()
            if stalled is not None:
                self.hung.append(stalled)
                stalled.close()
            self._feed.give_up_dead()
            self._report_faults()
            if self._feed.reader is None and not self._feed.closing:
                self._reopen()
        self._report_faults()

    def _reopen(self) -> None:
        """Open the camera again after a pause, unless too many readers hang in its driver."""
        until = time.monotonic() + self._backoff.pause()
        while not self._feed.closing and (left := until - time.monotonic()) > 0:
            self._notified.wait(left)
            self._notified.clear()
        self.hung = [reader for reader in self.hung if reader.alive]
        if len(self.hung) >= _MAX_HUNG_READERS:
            camera = self._feed.settings.id
            self._feed.too_many_hang(f"camera {camera}: {len(self.hung)} reads hang in its driver; restart the station")
        elif not self._feed.closing:
            self._start_reader()

    def _start_reader(self) -> None:
        first, self._first = self._first, None
        make = self._make if first is None else lambda: first
        settings = self._feed.settings
        reader = Reader(settings.id, make, self._feed, settings.secrets, settings.frozen_limit)
        self._feed.use(reader)
        try:
            reader.start()
        except RuntimeError as error:
            self._feed.cannot_start(reader, str(error))

    def _report_faults(self) -> None:
        # Not while the lock of the feed is held: `on_fault` may ask for a report.
        for code, sentence in self._feed.faults().items():
            if self._reported.get(code) != sentence:
                self._reported[code] = sentence
                self._on_fault(code, sentence)

"""Has the disk checked in a thread of its own: on a disk that hangs this thread hangs, and nobody else does."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from edge_runtime.kept_thread import KeptThread
from edge_runtime.supervision.guards import DiskGuard

_HANG_SECONDS = 15.0  # of one check


class DiskWatch:
    """`ask` for a check, and read `fault`, which never waits. clock: seconds, monotonic."""

    def __init__(self, guard: DiskGuard, clock: Callable[[], float] = time.monotonic) -> None:
        self._guard, self._clock = guard, clock
        self._asked = threading.Event()
        self._closing = False
        self._began: float | None = None
        self._found: str | None = None
        self.thread = KeptThread("disk guard", self._run)

    def ask(self) -> None:
        """Have the disk checked."""
        self._asked.set()

    @property
    def fault(self) -> str | None:
        """The sentence of the last check, or that the present one does not end; None when all is well."""
        began = self._began  # read once: the thread may set None at any time
        if began is not None and self._clock() - began > _HANG_SECONDS:
            return f"the disk of {self._guard.folder} has not answered for more than {_HANG_SECONDS:g} s"
        return self._found

    def close(self) -> None:
        """End the thread, unless the disk hangs."""
        self._closing = True
        self._asked.set()
        self.thread.join(0.2)

    def _run(self) -> None:
        while self._asked.wait() and not self._closing:
            self._asked.clear()
            self._began = self._clock()
            self._found = self._guard.check()
            self._began = None

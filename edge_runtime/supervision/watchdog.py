"""Finds a stage of the station that hangs: each stage reports when it works, and the watchdog checks for how long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stage:
    """One stage. Call `busy` when work begins and as a sign of life, and `idle` when it waits for work.

    Only one thread calls `busy` and `idle`; any may read `late`. limit: longest time between signs of life, seconds.
    """

    def __init__(self, name: str, limit: float, doing: str, clock: Callable[[], float]) -> None:
        self.code = f"watchdog.{name}"
        self.sentence = f"{doing} for more than {limit:g} s"
        self._limit, self._clock = limit, clock
        self._since: float | None = None

    def busy(self) -> None:
        """Work begins or goes on: the limit counts from now."""
        self._since = self._clock()

    def idle(self) -> None:
        """Wait for work. An idle stage is never late."""
        self._since = None

    @contextmanager
    def working(self) -> Iterator[None]:
        """Busy inside the block, then idle."""
        self.busy()
        try:
            yield
        finally:
            self.idle()

    @property
    def late(self) -> bool:
        """Whether the last sign of life is older than the limit."""
        since = self._since  # read once: the stage's thread may set None at any time
        return since is not None and self._clock() - since > self._limit


class Watchdog:
    """The stages of a station, and which of them are late.

    fault  called by `check` with (code, sentence) for a stage that is late and (code, None) when it no longer is; the
           code is `watchdog.` and the name
    """

    def __init__(self, fault: Callable[[str, str | None], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._fault, self._clock = fault, clock
        self._stages: list[Stage] = []
        self._late: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def stage(self, name: str, limit: float, doing: str) -> Stage:
        """Add a stage. doing: the sentence when it is late, e.g. "the inspector has worked on one frame"."""
        stage = Stage(name, limit, doing, self._clock)
        with self._lock:
            self._stages.append(stage)
        return stage

    @property
    def late(self) -> frozenset[str]:
        """Codes of the stages that were late at the last `check`."""
        return self._late

    def check(self) -> frozenset[str]:
        """Check every stage; returns `late`."""
        with self._lock:
            stages = list(self._stages)
        # Set it before the faults are reported: their receiver may read `late`.
        known, self._late = self._late, frozenset(stage.code for stage in stages if stage.late)
        for stage in stages:
            if stage.code in self._late:
                self._fault(stage.code, stage.sentence)
            elif stage.code in known:
                self._fault(stage.code, None)
        return self._late

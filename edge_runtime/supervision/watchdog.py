"""Finds a stage of the station that hangs or always fails: each stage reports what it does, and the watchdog checks."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from latentline.base.counted import counted


class Stage:
    """One stage. Call `busy` when work begins and as a sign of life, and `idle` when it waits for work.

    Only one thread calls the methods; any may read `trouble`.

    limit     longest time between signs of life, seconds
    doing     the sentence when it hangs, e.g. "the inspector has worked on one frame"
    failures  so many calls of `failed` in a row are trouble; None: any number is none
    failing   the sentence then, e.g. "the inspector has failed at"
    """

    def __init__(
        self,
        name: str,
        limit: float,
        doing: str,
        clock: Callable[[], float],
        failures: int | None = None,
        failing: str = "",
    ) -> None:
        self.code = f"watchdog.{name}"
        self._hangs = f"{doing} for more than {limit:g} s"
        self._limit, self._clock, self._failures, self._failing = limit, clock, failures, failing
        self._since: float | None = None
        self._failed = 0

    def busy(self) -> None:
        """Show a sign of life: the limit counts from now."""
        self._since = self._clock()

    def idle(self) -> None:
        """Wait for work. An idle stage does not hang."""
        self._since = None

    @contextmanager
    def working(self) -> Iterator[None]:
        """Busy inside the block, then idle."""
        self.busy()
        try:
            yield
        finally:
            self.idle()

    def failed(self) -> None:
        """A piece of work has failed."""
        self._failed += 1

    def succeeded(self) -> None:
        """A piece of work is done."""
        self._failed = 0

    @property
    def trouble(self) -> str | None:
        """What is wrong: the last sign of life is older than the limit, or it has failed too often. None: nothing."""
        since = self._since  # read once: the stage's thread may set None at any time
        if since is not None and self._clock() - since > self._limit:
            return self._hangs
        if self._failures is not None and self._failed >= self._failures:
            return f"{self._failing} {counted(self._failures, 'frame')} in a row or more; a restart may help"
        return None


class Watchdog:
    """The stages of a station, and which of them are in trouble.

    fault  called by `check` with (code, sentence) for a stage in trouble and (code, None) when it no longer is; the
           code is `watchdog.` and the name
    """

    def __init__(self, fault: Callable[[str, str | None], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._fault, self._clock = fault, clock
        self._stages: list[Stage] = []
        self._troubled: Mapping[str, str] = {}
        self._lock = threading.Lock()

    def stage(self, name: str, limit: float, doing: str, failures: int | None = None, failing: str = "") -> Stage:
        """Add a stage; see `Stage`."""
        stage = Stage(name, limit, doing, self._clock, failures, failing)
        with self._lock:
            self._stages.append(stage)
        return stage

    @property
    def troubled(self) -> frozenset[str]:
        """Codes of the stages that were in trouble at the last `check`."""
        return frozenset(self._troubled)

    def check(self) -> frozenset[str]:
        """Check every stage; returns `troubled`."""
        with self._lock:
            stages = list(self._stages)
        troubles = {stage.code: stage.trouble for stage in stages}
        # Set it before the faults are reported: their receiver may read `troubled`.
        known, self._troubled = self._troubled, {code: sentence for code, sentence in troubles.items() if sentence}
        for code, sentence in troubles.items():
            if sentence is not None or code in known:
                self._fault(code, sentence)
        return self.troubled

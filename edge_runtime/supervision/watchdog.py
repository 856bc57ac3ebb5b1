"""Which stage of the station has not come back: each says when it works, and a monitor asks how long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Stage:
    """One stage. `busy` when work begins and at each sign of life, `idle` when it waits for work.

    Only one thread works on a stage; any may ask. limit: seconds from one sign of life to the next.
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
        """Nothing to do: however long that lasts, it is not late."""
        self._since = None

    @contextmanager
    def working(self) -> Iterator[None]:
        """Busy within the block."""
        self.busy()
        try:
            yield
        finally:
            self.idle()

    @property
    def late(self) -> bool:
        """Whether the last sign of life is older than the limit."""
        since = self._since  # read once: its thread may set None meanwhile
        return since is not None and self._clock() - since > self._limit


class Watchdog:
    """The stages of a station, and who of them is late.

    fault  called by `check` with (code, sentence) for a stage that is late, (code, None) when it is right again; the
           code is `watchdog.` and the name
    """

    def __init__(self, fault: Callable[[str, str | None], None], clock: Callable[[], float] = time.monotonic) -> None:
        self._fault, self._clock = fault, clock
        self._stages: list[Stage] = []
        self._late: frozenset[str] = frozenset()
        self._lock = threading.Lock()

    def stage(self, name: str, limit: float, doing: str) -> Stage:
        """Add one. doing: what it does when it is busy, e.g. "the inspector has worked on one frame"."""
        stage = Stage(name, limit, doing, self._clock)
        with self._lock:
            self._stages.append(stage)
        return stage

    @property
    def late(self) -> frozenset[str]:
        """Codes of the stages that were late at the last `check`."""
        return self._late

    def check(self) -> frozenset[str]:
        """Look at every stage; returns `late`."""
        with self._lock:
            stages = list(self._stages)
        # Before the faults are said: whoever hears of one may ask.
        known, self._late = self._late, frozenset(stage.code for stage in stages if stage.late)
        for stage in stages:
            if stage.code in self._late:
                self._fault(stage.code, stage.sentence)
            elif stage.code in known:
                self._fault(stage.code, None)
        return self._late

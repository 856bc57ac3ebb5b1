"""Does the retained status tell the truth about a process that is killed and started again?"""

from __future__ import annotations

import threading

_LIVING = {"starting", "online", "degraded"}


class StatusJudge:
    """Compares what a subscriber last heard with whether the process lives. Any thread may call; times in seconds.

    Wrong is `starting`, `online` or `degraded` of a process that is dead, and `offline` or `stopped` of one that
    lives. A status may be wrong for `limit` seconds at a stretch; longer is a violation. While the subscriber has no
    broker there is no status, right or wrong, and the stretch begins anew.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._alive = False
        self._state: str | None = None
        self._wrong_since: float | None = None
        self._counted = False  # this stretch is a violation already
        self.longest = 0.0
        self.violations: list[str] = []

    @property
    def state(self) -> str | None:
        """What was heard last on this connection."""
        return self._state

    def process(self, *, alive: bool, at: float) -> None:
        """The process was started or has ended."""
        with self._lock:
            self._settle(at)
            self._alive = alive
            self._begin(at)

    def heard(self, state: str | None, at: float) -> None:
        """A status message; None: the connection is lost."""
        with self._lock:
            self._settle(at)
            self._state = state
            self._begin(at)

    def finish(self, at: float) -> None:
        """Nothing follows."""
        with self._lock:
            self._settle(at)

    def _settle(self, at: float) -> None:
        """Count the stretch that ends or goes on at `at`."""
        if self._wrong_since is None:
            return
        wrong = at - self._wrong_since
        self.longest = max(self.longest, wrong)
        if wrong > self._limit and not self._counted:
            self._counted = True
            said = f"'{self._state}' for {wrong:.1f} s of a process that {'lives' if self._alive else 'is dead'}"
            self.violations.append(said)

    def _begin(self, at: float) -> None:
        wrong = self._state is not None and (self._state in _LIVING) != self._alive
        if not wrong:
            self._wrong_since = None
        elif self._wrong_since is None:
            self._wrong_since, self._counted = at, False

"""Checks the retained status of a station that is killed and started again."""

from __future__ import annotations

import threading

_ALIVE = {"starting", "online", "degraded"}


class StatusChecker:
    """Compares the last status that a subscriber received with whether the process is alive. Thread-safe; seconds.

    A status is wrong when it says `starting`, `online` or `degraded` and the process is dead, or `offline` or `stopped`
    and the process is alive. It may be wrong for `limit` seconds without a break; longer is a violation. While the
    subscriber has no connection there is no status, and the time starts again at zero.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._alive = False
        self._state: str | None = None
        self._wrong_since: float | None = None
        self._counted = False  # the present wrong status is a violation already
        self.longest = 0.0
        self.violations: list[str] = []

    @property
    def state(self) -> str | None:
        """The last status received on this connection."""
        return self._state

    def process_changed(self, *, alive: bool, at: float) -> None:
        """The process was started, or it has ended."""
        with self._lock:
            self._check(at)
            self._alive = alive
            self._compare(at)

    def status_received(self, state: str | None, at: float) -> None:
        """A status message arrived; None: the connection was lost."""
        with self._lock:
            self._check(at)
            self._state = state
            self._compare(at)

    def finish(self, at: float) -> None:
        """Check a last time."""
        with self._lock:
            self._check(at)

    def _check(self, at: float) -> None:
        """Count a violation when the status has been wrong for too long at time `at`."""
        if self._wrong_since is None:
            return
        wrong = at - self._wrong_since
        self.longest = max(self.longest, wrong)
        if wrong > self._limit and not self._counted:
            self._counted = True
            process = "is alive" if self._alive else "is dead"
            self.violations.append(f"'{self._state}' for {wrong:.1f} s, but the process {process}")

    def _compare(self, at: float) -> None:
        wrong = self._state is not None and (self._state in _ALIVE) != self._alive
        if not wrong:
            self._wrong_since = None
        elif self._wrong_since is None:
            self._wrong_since, self._counted = at, False

"""Pauses between retries, and a limit for repeated warnings."""

from __future__ import annotations

import logging
import time


class Backoff:
    """Pauses of first, 2·first, 4·first, … seconds, at most `cap`; `reset` starts again."""

    def __init__(self, first: float, cap: float) -> None:
        self._first, self._cap = first, cap
        self._next = first

    def pause(self) -> float:
        """The next pause in seconds; the one after it is twice as long."""
        pause, self._next = self._next, min(self._cap, 2 * self._next)
        return pause

    def reset(self) -> None:
        """After a success: the next pause is `first` again."""
        self._next = self._first

    def longest(self) -> float:
        """The longest pause, for a fault that retries make worse; all pauses are `cap` until `reset`."""
        self._next = self._cap
        return self._cap


class RateLimitedLog:
    """Logs at most `burst` warnings in `seconds`; it counts those left out, and the next one gives their number."""

    def __init__(self, logger: logging.Logger, seconds: float = 10.0, burst: int = 1) -> None:
        self._logger = logger
        self._seconds, self._burst = seconds, burst
        self._began: float | None = None
        self._logged = self._left_out = 0

    def warning(self, sentence: str) -> None:
        """Log `sentence`, or count it."""
        now = time.monotonic()
        if self._began is None or now - self._began >= self._seconds:
            self._began, self._logged = now, 0
        if self._logged == self._burst:
            self._left_out += 1
            return
        more = f" (and {self._left_out} more like it)" if self._left_out else ""
        self._logger.warning("%s%s", sentence, more)
        self._logged += 1
        self._left_out = 0

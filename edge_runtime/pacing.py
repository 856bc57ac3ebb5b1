"""Pauses between tries: doubling, capped."""

from __future__ import annotations

import logging
import time


class Backoff:
    """first, 2·first, 4·first, … up to `cap` seconds; `reset` begins again."""

    def __init__(self, first: float, cap: float) -> None:
        self._first, self._cap = first, cap
        self._next = first

    def pause(self) -> float:
        """Seconds to wait now; the next pause is twice as long."""
        pause, self._next = self._next, min(self._cap, 2 * self._next)
        return pause

    def reset(self) -> None:
        """It worked: the next pause is the first again."""
        self._next = self._first

    def longest(self) -> float:
        """The cap: for a fault that hurrying makes worse."""
        self._next = self._cap
        return self._cap


class RateLimitedLog:
    """Warnings, one per `seconds`; those in between are counted and the count is said with the next."""

    def __init__(self, logger: logging.Logger, seconds: float = 10.0) -> None:
        self._logger = logger
        self._seconds = seconds
        self._last: float | None = None
        self._silent = 0

    def warning(self, sentence: str) -> None:
        """Log `sentence`, or count it."""
        now = time.monotonic()
        if self._last is not None and now - self._last < self._seconds:
            self._silent += 1
            return
        more = f" (and {self._silent} more like it)" if self._silent else ""
        self._logger.warning("%s%s", sentence, more)
        self._last, self._silent = now, 0

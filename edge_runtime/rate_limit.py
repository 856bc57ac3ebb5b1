"""Say a thing that may happen with every frame without filling the log."""

from __future__ import annotations

import logging
import time


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

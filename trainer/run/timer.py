"""When something that costs time is due again."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic


class Timer:
    """Runs from its start, or from the last `restart`."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._started = clock()

    @property
    def seconds(self) -> float:
        """How long it has been running."""
        return self._clock() - self._started

    def restart(self) -> None:
        """Start again at 0."""
        self._started = self._clock()

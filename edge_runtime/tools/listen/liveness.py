"""Finds stations that are silent although no status says so, e.g. because the broker lost their will."""

from __future__ import annotations

import time
from collections.abc import Callable


class Liveness:
    """When the next sign of life of each station is due. clock: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: dict[str, tuple[float, float]] = {}  # station -> (when, limit in seconds)

    def alive(self, station: str, seconds: float) -> None:
        """A station gave a sign of life; the next one is due within `seconds`."""
        self._due[station] = (self._clock() + seconds, seconds)

    def remove(self, station: str) -> None:
        """A station has stopped or is offline: expect nothing of it."""
        self._due.pop(station, None)

    def restart(self) -> None:
        """Restart all limits after a new connection: the time without one does not count."""
        for station, (_, seconds) in self._due.items():
            self.alive(station, seconds)

    def overdue(self) -> list[tuple[str, float]]:
        """The stations that are late, once each, with their limit in seconds."""
        moment = self._clock()
        late = [(station, seconds) for station, (due, seconds) in self._due.items() if moment > due]
        for station, _ in late:
            self.remove(station)
        return late

"""Stations that say nothing although nobody has called them gone, e.g. after a broker lost their will."""

from __future__ import annotations

import time
from collections.abc import Callable


class Silence:
    """When each station's next sign of life is due. clock: seconds, monotonic."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._due: dict[str, tuple[float, float]] = {}  # station -> (moment, seconds it was given)

    def heard(self, station: str, seconds: float) -> None:
        """A sign of life; the next is due within `seconds`."""
        self._due[station] = (self._clock() + seconds, seconds)

    def gone(self, station: str) -> None:
        """It has said goodbye, or the broker has for it: nothing is due."""
        self._due.pop(station, None)

    def begin(self) -> None:
        """A new connection: the time without one does not count."""
        for station, (_, seconds) in self._due.items():
            self.heard(station, seconds)

    def overdue(self) -> list[tuple[str, float]]:
        """Stations that have become late, once each, with the seconds they had."""
        moment = self._clock()
        late = [(station, seconds) for station, (due, seconds) in self._due.items() if moment > due]
        for station, _ in late:
            self.gone(station)
        return late

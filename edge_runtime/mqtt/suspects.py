"""Finds out upon which event a broker closes the connection.

The events in flight at such an end are sent again one at a time. One that was alone then is a suspect: the others go
first, and it is tried alone on a connection that has proved to work. A bad network cuts connections, too, but not each
time at that moment.
"""

from __future__ import annotations

import time
from collections.abc import Sequence

TRIALS = 3  # on which the connection ended: the event is guilty
_QUIET_SECONDS = 1.0  # a connection works when an event was confirmed on it, or it has lasted for this time


class Suspects:
    """Used by one thread."""

    def __init__(self) -> None:
        self._failed: dict[int, int] = {}  # seq -> trials on which the connection ended
        self._trial: int | None = None  # seq of the suspect in flight
        self._careful_until = 0
        self._begun = 0.0  # time.monotonic() when the connection began
        self._works = False  # an event was confirmed on this connection

    def __contains__(self, seq: int) -> bool:
        return seq in self._failed

    def begin(self) -> None:
        """A new connection stands."""
        self._begun, self._works, self._trial = time.monotonic(), False, None

    def confirmed(self) -> None:
        """The broker took an event."""
        self._works = True

    def ended(self, in_flight: Sequence[int]) -> int | None:
        """The broker closed the connection with these events in flight. Returns the one that is guilty, if any."""
        trial, self._trial = self._trial, None
        if trial is not None:
            self._failed[trial] += 1
            return trial if self._failed[trial] >= TRIALS else None
        if len(in_flight) == 1:
            self._failed[in_flight[0]] = 0
        else:
            self._careful_until = max(self._careful_until, *in_flight)
        return None

    def alone(self, seq: int) -> bool:
        """Whether this event shall be sent with no other in flight."""
        return seq <= self._careful_until

    @property
    def next(self) -> int | None:
        """The suspect that is to be tried now, before anything else is sent."""
        works = self._works or time.monotonic() - self._begun >= _QUIET_SECONDS
        return min(self._failed) if self._failed and works else None

    def trial(self, seq: int) -> None:
        """The suspect was sent, alone, or is cleared already."""
        self._trial = seq if seq in self._failed else None

    def clear(self, seq: int) -> None:
        """The broker has answered for the event, or it is not in the spool any more."""
        self._failed.pop(seq, None)
        self._trial = None

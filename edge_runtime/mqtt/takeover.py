"""Another client with our client id: the broker throws out whoever came first, so both would do so for ever.

MQTT 5 has a reason for it, 0x8E, that not every broker gives (mosquitto 2.0.11 does not): then the connection just ends
while the broker answers at its port. Once, that can be a cut line; three times in a row it is taken for a takeover.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from edge_runtime.pacing import Backoff

_IN_A_ROW = 3
_SHORT_SECONDS = 60.0  # a connection that stood longer is not one of a row


class TakeoverDetector:
    """Whether there is one, how long to leave it the id, and when it has gone. Used by one thread.

    ordinary  the pauses between connections; its longest is the one before the id is used again. A takeover that
              does as
              we do is back within that pause, so whoever keeps the id for three of them is alone
    """

    def __init__(self, ordinary: Backoff, clock: Callable[[], float] = time.monotonic) -> None:
        self._ordinary, self._clock = ordinary, clock
        self._row = 0
        self._pause: float | None = None  # None: there is no takeover
        self._since: float | None = None  # connected

    def ended(self, thrown_out: bool, *, said: bool) -> bool:
        """A connection ended, or none came to be; whether a takeover's doing.

        thrown_out: it stood, and a broker that lives has ended it; said: because of another client, by its own word.
        """
        if not thrown_out:
            self._row, self._since = 0, None
            return False
        short = self._since is not None and self._clock() - self._since < _SHORT_SECONDS
        self._row = self._row + 1 if short else 1
        self._since = None
        if said or self._pause is not None or self._row >= _IN_A_ROW:
            self._pause = self._ordinary.longest()
        return self._pause is not None

    def connected(self) -> None:
        """We have the place."""
        self._since = self._clock()

    def gone(self) -> bool:
        """True once, when we have kept the place for longer than a takeover would have let us."""
        if self._pause is None or self._since is None or self._clock() - self._since < 3 * self._pause:
            return False
        self._pause, self._row = None, 0
        self._ordinary.reset()
        return True

    def sentence(self, client_id: str, broker: str) -> str:
        """The fault."""
        return (
            f"another client seems to use the client id '{client_id}' at broker {broker}, which ends this station's "
            "connection in its favour; give every station a station.id (or mqtt.client_id) of its own; "
            f"tried again after {self._pause or 0:g} s"
        )

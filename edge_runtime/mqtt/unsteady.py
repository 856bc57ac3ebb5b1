"""Connections that the broker accepts and closes soon after without a reason, again and again.

A broker that restarts does that, a proxy or firewall that cuts connections, and a broker that gives our client id to
another client without saying so. Nobody can tell them apart from here, so the sentence says what was seen.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_IN_A_ROW = 3
_SHORT_SECONDS = 60.0  # only connections shorter than this count as a row


class UnsteadyConnections:
    """Counts such connections in a row. Used by one thread.

    unsteady  at least three of them in a row, and none that held since
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._in_a_row = 0
        self._connected_at: float | None = None
        self.unsteady = False

    def connected(self) -> None:
        """The broker accepted a connection."""
        self._connected_at = self._clock()

    def ended(self, closed_by_broker: bool) -> None:
        """A connection ended or could not be made. closed_by_broker: without a reason, and the broker still listens."""
        counts = closed_by_broker and self._connected_at is not None and not self._held()
        self._in_a_row = self._in_a_row + 1 if counts else 0
        self._connected_at = None
        self.unsteady = self.unsteady or self._in_a_row >= _IN_A_ROW

    def over(self) -> bool:
        """True once: when a connection has held."""
        if not self.unsteady or self._connected_at is None or not self._held():
            return False
        self.unsteady, self._in_a_row = False, 0
        return True

    def sentence(self, client_id: str, broker: str) -> str:
        """The fault, for the user. broker: host:port."""
        return (
            f"broker {broker} has accepted this station and closed the connection within a minute, several times in a "
            f"row and without a reason; its log may say why: it restarts, something between cuts connections, or "
            f"another client has the client id '{client_id}'"
        )

    def _held(self) -> bool:
        return self._connected_at is not None and self._clock() - self._connected_at >= _SHORT_SECONDS

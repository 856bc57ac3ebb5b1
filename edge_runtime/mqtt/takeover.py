"""Detects another client with our client id.

The broker disconnects the older of two clients with one id, so two stations that reconnect at once would disconnect
each other for ever. MQTT 5 has a reason code for it, 0x8E, but not every broker sends it (mosquitto 2.0.11 does not):
then the connection just ends although the broker still listens. One such end may be a network fault; three in a row
count as a takeover.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from edge_runtime.pacing import Backoff

_IN_A_ROW = 3
_SHORT_SECONDS = 60.0  # only connections shorter than this count as a row


class TakeoverDetector:
    """Whether another client uses our id, how long to leave it the id, and when it is gone. Used by one thread.

    backoff  gives the pauses between connections. During a takeover we wait for its longest pause before we connect
             again. A station in the same situation does so, too; so if we keep the connection for three of these
             pauses, nobody else wants the id
    """

    def __init__(self, backoff: Backoff, clock: Callable[[], float] = time.monotonic) -> None:
        self._backoff, self._clock = backoff, clock
        self._closed_in_a_row = 0
        self._pause: float | None = None  # None: no takeover
        self._connected_at: float | None = None

    def ended(self, closed_by_broker: bool, *, taken_over: bool) -> bool:
        """A connection ended or could not be made. Returns whether another client took our id.

        closed_by_broker  the broker had accepted the connection, and still listens
        taken_over        the broker gave the reason 0x8E
        """
        if not closed_by_broker:
            self._closed_in_a_row, self._connected_at = 0, None
            return False
        short = self._connected_at is not None and self._clock() - self._connected_at < _SHORT_SECONDS
        self._closed_in_a_row = self._closed_in_a_row + 1 if short else 1
        self._connected_at = None
        if taken_over or self._pause is not None or self._closed_in_a_row >= _IN_A_ROW:
            self._pause = self._backoff.longest()
        return self._pause is not None

    def connected(self) -> None:
        """The broker accepted a connection."""
        self._connected_at = self._clock()

    def over(self) -> bool:
        """True once: when we have been connected for longer than another client would have allowed."""
        if self._pause is None or self._connected_at is None or self._clock() - self._connected_at < 3 * self._pause:
            return False
        self._pause, self._closed_in_a_row = None, 0
        self._backoff.reset()
        return True

    def sentence(self, client_id: str, broker: str) -> str:
        """The fault, for the user. broker: host:port."""
        return (
            f"another client seems to use the client id '{client_id}' at broker {broker}, so the broker disconnects "
            "this station; give every station its own station.id (or mqtt.client_id); "
            f"next try in {self._pause or 0:g} s"
        )

"""Another client with our client id, as far as the broker says so.

A broker disconnects the older of two clients with one id, so two stations that connect again at once would disconnect
each other for ever. Only MQTT 5's reason code 0x8E proves that this has happened. Some brokers just close the
connection (mosquitto 2.0.11 does), as they do when they restart: see unsteady.py.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from edge_runtime.pacing import Backoff


class TakeoverDetector:
    """Whether another client uses our id, how long to leave it the id, and when it is gone. Used by one thread.

    backoff  gives the pauses between connections. During a takeover we wait for its longest pause before we connect
             again. A station in the same situation does so, too; so if we keep the connection for three of these
             pauses, nobody else wants the id
    """

    def __init__(self, backoff: Backoff, clock: Callable[[], float] = time.monotonic) -> None:
        self._backoff, self._clock = backoff, clock
        self._pause: float | None = None  # None: no takeover
        self._connected_at: float | None = None

    def connected(self) -> None:
        """The broker accepted a connection."""
        self._connected_at = self._clock()

    def ended(self, *, taken_over: bool) -> None:
        """A connection ended or could not be made. taken_over: the broker gave the reason 0x8E."""
        self._connected_at = None
        if taken_over:
            self._pause = self._backoff.longest()

    def over(self) -> bool:
        """True once: when we have been connected for longer than another client would have allowed."""
        if self._pause is None or self._connected_at is None or self._clock() - self._connected_at < 3 * self._pause:
            return False
        self._pause = None
        self._backoff.reset()
        return True

    def sentence(self, client_id: str, broker: str) -> str:
        """The fault, for the user. broker: host:port."""
        return (
            f"another client uses the client id '{client_id}' at broker {broker}, so the broker has disconnected this "
            "station; give every station its own station.id (or mqtt.client_id); "
            f"next try in {self._pause or 0:g} s"
        )

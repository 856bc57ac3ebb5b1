"""The retained messages of a station: the newest of each topic, on every connection.

One with a lifetime is forgotten by the broker unless it is repeated. A will does not survive its broker: without a
lifetime, the `online` of a station that died beside its broker would stand for ever.
"""

from __future__ import annotations

import logging
import threading
import time

from edge_runtime.mqtt.connection import Connection
from edge_runtime.mqtt.events import Message, encode
from edge_runtime.mqtt.packets import Extras

_log = logging.getLogger(__name__)


class Retained:
    """`put` may be called by any thread; the rest belongs to the sender."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: dict[str, bytes] = {}
        self._lifetimes: dict[str, int | None] = {}
        self._sent: dict[str, bytes] = {}  # on this connection
        self._sent_at: dict[str, float] = {}  # of time.monotonic
        self._in_flight: dict[int, str] = {}  # message id -> topic

    def put(self, topic: str, message: Message, lifetime: int | None = None) -> None:
        """`message` is what `topic` shall hold from now on; `lifetime` in seconds, None: for ever."""
        with self._lock:
            self._wanted[topic] = encode(message)
            self._lifetimes[topic] = lifetime

    def begin(self) -> None:
        """A new connection: nothing was sent on it."""
        self._sent.clear()
        self._in_flight.clear()

    def send(self, connection: Connection) -> None:
        """Publish what differs from what this connection was given, or has lived a third of its time."""
        now = time.monotonic()
        with self._lock:
            wanted = [(topic, payload, self._lifetimes[topic]) for topic, payload in self._wanted.items()]
        for topic, payload, lifetime in wanted:
            young = lifetime is None or now - self._sent_at.get(topic, now) < lifetime / 3
            if self._sent.get(topic) == payload and young:
                continue
            mid = connection.publish(topic, payload, qos=1, retain=True, extras=Extras(expiry=lifetime))
            if mid is not None:
                self._sent[topic], self._sent_at[topic] = payload, now
                self._in_flight[mid] = topic

    def acked(self, mid: int, reason: int) -> None:
        """The broker's word on message `mid`. Ids that are not a retained message's are ignored."""
        topic = self._in_flight.pop(mid, None)
        if topic is not None and reason >= 0x80:
            _log.error("the broker does not take the retained message on %s (MQTT reason 0x%02X)", topic, reason)

    @property
    def settled(self) -> bool:
        """Whether the broker has answered for everything there is."""
        with self._lock:
            return not self._in_flight and self._wanted == self._sent

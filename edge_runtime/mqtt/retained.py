"""The retained messages of a station: the newest of each topic, on every connection."""

from __future__ import annotations

import logging
import threading

from edge_runtime.mqtt.connection import Connection
from edge_runtime.mqtt.events import Message, encode

_log = logging.getLogger(__name__)


class Retained:
    """`put` may be called by any thread; the rest belongs to the sender."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._wanted: dict[str, bytes] = {}
        self._sent: dict[str, bytes] = {}  # on this connection
        self._in_flight: dict[int, str] = {}  # message id -> topic

    def put(self, topic: str, message: Message) -> None:
        """`message` is what `topic` shall hold from now on."""
        with self._lock:
            self._wanted[topic] = encode(message)

    def begin(self) -> None:
        """A new connection: nothing was sent on it."""
        self._sent.clear()
        self._in_flight.clear()

    def send(self, connection: Connection) -> None:
        """Publish what differs from what this connection was given."""
        with self._lock:
            wanted = dict(self._wanted)
        for topic, payload in wanted.items():
            if self._sent.get(topic) == payload:
                continue
            mid = connection.publish(topic, payload, qos=1, retain=True)
            if mid is not None:
                self._sent[topic] = payload
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

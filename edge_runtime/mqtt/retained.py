"""The retained messages of a station: the newest of each topic, on every connection.

The broker discards a message with a lifetime unless it is repeated. This matters because a will is lost when the
broker crashes: without a lifetime, the `online` of a station that died together with its broker would stay for ever.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from edge_runtime.mqtt.connection import Connection
from edge_runtime.mqtt.events import Message, encode
from edge_runtime.mqtt.packets import PublishProperties
from edge_runtime.mqtt.reason_codes import FIRST_ERROR, describe

_LATE_SECONDS = 2.5  # without a call of `send`: the sender thread hangs, perhaps on the disk


class RetainedMessages:
    """Any thread may call `put`, a network thread `send_if_late`; the rest belongs to the sender thread.

    on_fault  called with the code `broker_retained`, and a sentence when the broker refuses some, else None
    """

    def __init__(self, on_fault: Callable[[str, str | None], None] = lambda _code, _sentence: None) -> None:
        self._on_fault = on_fault
        self._lock = threading.Lock()  # of what `put` changes; held for a moment only
        self._sending = threading.Lock()
        self._connection: Connection | None = None
        self._send_called = 0.0  # time.monotonic()
        self._current: dict[str, bytes] = {}
        self._lifetimes: dict[str, int | None] = {}
        self._sent: dict[str, bytes] = {}  # on this connection
        self._sent_at: dict[str, float] = {}  # time.monotonic()
        self._in_flight: dict[int, str] = {}  # message id -> topic
        self._refused: dict[str, int] = {}  # topic -> MQTT reason

    def put(self, topic: str, message: Message, lifetime: int | None = None) -> None:
        """Set the message of `topic`. lifetime: seconds until the broker discards it; None: never."""
        with self._lock:
            self._current[topic] = encode(message)
            self._lifetimes[topic] = lifetime

    def begin(self, connection: Connection) -> None:
        """Start on a new connection: everything is sent again."""
        with self._sending:
            self._sent.clear()
            self._in_flight.clear()
            self._connection, self._send_called = connection, time.monotonic()

    def send(self, connection: Connection) -> None:
        """Publish what is new on this connection, and repeat what has reached a third of its lifetime."""
        self._send_called = time.monotonic()
        with self._sending:
            self._send(connection)

    def send_if_late(self, connection: Connection) -> None:
        """As `send`, when the sender thread has not called it for seconds: then the status must say what hangs."""
        with self._sending:
            if connection is self._connection and time.monotonic() - self._send_called > _LATE_SECONDS:
                self._send(connection)

    def _send(self, connection: Connection) -> None:
        now = time.monotonic()
        with self._lock:
            current = [(topic, payload, self._lifetimes[topic]) for topic, payload in self._current.items()]
        for topic, payload, lifetime in current:
            young = lifetime is None or now - self._sent_at.get(topic, now) < lifetime / 3
            if self._sent.get(topic) == payload and young:
                continue
            mid = connection.publish(topic, payload, qos=1, retain=True, properties=PublishProperties(expiry=lifetime))
            if mid is not None:
                self._sent[topic], self._sent_at[topic] = payload, now
                self._in_flight[mid] = topic

    def acked(self, mid: int, reason: int) -> None:
        """Handle the PUBACK of message `mid`. Ids that do not belong to a retained message are ignored."""
        topic = self._in_flight.pop(mid, None)
        if topic is None:
            return
        before = dict(self._refused)
        if reason >= FIRST_ERROR:
            self._refused[topic] = reason
        else:
            self._refused.pop(topic, None)
        if self._refused == before:
            return
        what = ", ".join(f"{name} ({describe(code)})" for name, code in sorted(self._refused.items()))
        sentence = f"the broker refuses the retained messages on {what}; let this station's user publish them"
        self._on_fault("broker_retained", sentence if what else None)

    @property
    def settled(self) -> bool:
        """Whether every message was sent on this connection and answered by the broker."""
        with self._lock:
            return not self._in_flight and self._current == self._sent

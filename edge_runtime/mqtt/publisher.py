"""Carries events from the spool to the broker: an actor, whose one thread owns everything and is fed by one queue.

At least once: an event leaves the spool only when its PUBACK says success. What has none when a connection ends is
sent again on the next one, in order. Events that were spooled before the present connection carry `replayed: true`.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_runtime.backoff import Backoff
from edge_runtime.mqtt.connection import (
    SESSION_TAKEN_OVER,
    Acked,
    Broker,
    Connected,
    Connection,
    Disconnected,
    Will,
)
from edge_runtime.mqtt.delivery import Delivery
from edge_runtime.mqtt.events import Message, encode
from edge_runtime.mqtt.retained import Retained
from edge_runtime.mqtt.spool import Spool
from latentline.errors import BrokerError

_log = logging.getLogger(__name__)
_WAITING_RESULTS = 64  # QoS 0 messages that wait for the sender at most
_GOODBYE_SECONDS = 2.0  # for the last status, and again for the DISCONNECT
_ACK_SECONDS = 60.0  # a PUBACK that takes longer means that the connection is not what it seems


@dataclass(frozen=True)
class _Wake:
    """The spool or a retained message has something new."""


@dataclass(frozen=True)
class _Result:
    topic: str
    payload: bytes


@dataclass(frozen=True)
class _Stop:
    deadline: float


_Item = Connected | Acked | Disconnected | _Wake | _Result | _Stop


class Publisher:
    """Sends what the spool holds, and retained messages, for as long as it is open. Any thread may call.

    make_will  builds the will of a connection that is about to begin
    on_fault   (code, sentence or None): codes `broker` (no connection), `broker_events` (it refuses them) and
               `publisher` (a fault of ours or of the disk); called from the sender thread, must not block
    """

    def __init__(
        self,
        broker: Broker,
        spool: Spool,
        make_will: Callable[[], Will],
        backoff: Backoff,
        on_fault: Callable[[str, str | None], None],
    ) -> None:
        self._broker, self._make_will, self._backoff, self._on_fault = broker, make_will, backoff, on_fault
        # Unbounded, because a callback that waits for room while paho holds its locks would be a deadlock. Short all
        # the same: one _Wake, the acks of one window and _WAITING_RESULTS results at most.
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._woken = threading.Event()
        self._result_room = threading.BoundedSemaphore(_WAITING_RESULTS)
        self._first_try = threading.Event()
        self._first_refusal: BrokerError | None = None
        self._thread = threading.Thread(target=self._run, name="mqtt sender", daemon=True)
        self._retained = Retained()
        # From here on the sender thread's own; `connections` and `results_dropped` are read by anyone.
        self._delivery = Delivery(spool, on_fault)
        self._connection: Connection | None = None
        self._accepted = False
        self._connect_at = 0.0
        self._stop: _Stop | None = None
        self._last_status: tuple[str, Message] | None = None  # set before _Stop is put
        self._done = False
        self.connections = 0
        self.results_dropped = 0

    @property
    def published(self) -> int:
        """Events that the broker confirmed."""
        return self._delivery.published

    @property
    def unheard(self) -> int:
        """Confirmed events of which the broker said that nobody was subscribed."""
        return self._delivery.unheard

    def start(self) -> None:
        """Begin to connect. Raises BrokerError when the TLS files cannot be used."""
        self._connection = Connection(self._broker, self._make_will(), self._queue.put)
        self._connection.start()
        self._thread.start()

    def wait_first_try(self, timeout: float) -> None:
        """Wait until the first connection stands or failed. Raises BrokerError when the broker refuses this client.

        An absent or busy broker is no error: the publisher keeps trying.
        """
        self._first_try.wait(timeout)
        if self._first_refusal is not None:
            raise self._first_refusal

    def appended(self) -> None:
        """Say that the spool has a new event."""
        if not self._woken.is_set():
            self._woken.set()
            self._queue.put(_Wake())

    def retain(self, topic: str, message: Message) -> None:
        """Publish `message` retained, now and after every reconnect, until another takes its place."""
        self._retained.put(topic, message)
        self.appended()

    def result(self, topic: str, message: Message) -> None:
        """Publish at most once; dropped and counted while there is no connection or too many wait."""
        if self._accepted and self._result_room.acquire(blocking=False):
            self._queue.put(_Result(topic, encode(message)))
        else:
            self.results_dropped += 1

    def close(self, status_topic: str, stopped: Message, timeout: float) -> None:
        """If connected: wait up to `timeout` seconds for the spool to drain, publish `stopped` retained, disconnect."""
        self._last_status = (status_topic, stopped)
        self._queue.put(_Stop(time.monotonic() + timeout))
        if self._thread.is_alive():
            self._thread.join(timeout + 3 * _GOODBYE_SECONDS)

    # ---- the sender thread

    def _run(self) -> None:
        while not self._done:
            try:
                self._step()
            except Exception as error:
                _log.exception("the MQTT sender failed; it begins again with a new connection")
                self._on_fault("publisher", f"the MQTT sender failed ({type(error).__name__}: {error})")
                self._lose_connection(self._backoff.pause())
                self._done = self._stop is not None
        if self._connection is not None:
            self._connection.disconnect()
            self._connection.join(_GOODBYE_SECONDS)

    def _step(self) -> None:
        for item in self._next_items():
            self._handle(item)
        self._delivery.remove_confirmed()
        if self._stop is not None:
            self._finish(self._stop)
        elif self._connection is None and not self._done and time.monotonic() >= self._connect_at:
            self._connect()
        if self._connection is not None and self._accepted and not self._done:
            self._retained.send(self._connection)
            self._delivery.hand_over(self._connection)
            if self._delivery.oldest_seconds() > _ACK_SECONDS:
                self._on_fault("broker", f"broker {self._connection.address} confirms nothing; connecting again")
                self._lose_connection(self._backoff.pause())

    def _next_items(self) -> list[_Item]:
        """What is in the queue; waits for the first item until there is something to do without one."""
        now = time.monotonic()
        due = [now + (1.0 if self._stop is None else 0.1)]
        if self._connection is None:
            due.append(self._connect_at)
        if self._delivery.resume_at is not None:
            due.append(max(self._delivery.resume_at, now + 0.1))
        items: list[_Item] = []
        try:
            items.append(self._queue.get(timeout=max(0.0, min(due) - now)))
            while True:
                items.append(self._queue.get_nowait())
        except queue.Empty:
            return items

    def _handle(self, item: _Item) -> None:
        if isinstance(item, _Wake):
            self._woken.clear()
        elif isinstance(item, _Result):
            self._result_room.release()
            if self._connection is not None and self._accepted:
                self._connection.publish(item.topic, item.payload, qos=0)
        elif isinstance(item, _Stop):
            self._stop = item
        elif item.connection is not self._connection:
            return  # the last words of a connection that was given up
        elif isinstance(item, Connected):
            self._connected(item.connection)
        elif isinstance(item, Acked):
            self._delivery.acked(item.mid, item.reason)
            self._retained.acked(item.mid, item.reason)
        else:
            self._disconnected(item)

    def _connect(self) -> None:
        try:
            connection = Connection(self._broker, self._make_will(), self._queue.put)
        except BrokerError as error:  # the TLS files were there at the start
            self._on_fault("broker", str(error))
            self._connect_at = time.monotonic() + self._backoff.pause()
            return
        self._connection = connection
        connection.start()

    def _connected(self, connection: Connection) -> None:
        _log.info("connected to broker %s", connection.address)
        self._accepted = True
        self.connections += 1
        self._backoff.reset()
        self._delivery.begin()
        self._retained.begin()
        self._first_try.set()
        # Before the retained status goes out, so that it does not say `degraded` for a fault that is over.
        self._on_fault("broker", None)
        self._on_fault("publisher", None)

    def _disconnected(self, item: Disconnected) -> None:
        if item.refused and not self._first_try.is_set():
            self._first_refusal = BrokerError(item.sentence)
            self._done = True
        taken_over = item.reason == SESSION_TAKEN_OVER  # two stations of one client id would throw each other out
        self._lose_connection(self._backoff.longest() if taken_over else self._backoff.pause())
        if self._stop is None:
            self._on_fault("broker", item.sentence)
        self._first_try.set()

    def _lose_connection(self, pause: float) -> None:
        if self._connection is not None:
            self._connection.abandon()
        self._connection = None
        self._accepted = False
        self._connect_at = time.monotonic() + pause
        self._delivery.end()

    def _finish(self, stop: _Stop) -> None:
        """The next step of saying goodbye: the spool drains, the last status is confirmed, the connection ends."""
        now = time.monotonic()
        if self._connection is None or not self._accepted or now > stop.deadline + _GOODBYE_SECONDS:
            self._done = True
        elif self._delivery.idle or now > stop.deadline:
            assert self._last_status is not None
            self._retained.put(*self._last_status)
            self._retained.send(self._connection)
            self._done = self._retained.settled

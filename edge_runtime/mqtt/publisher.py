"""Carries events from the spool to the broker: an actor, whose one thread owns everything and is fed by one queue.

At least once: an event leaves the spool only when its PUBACK says success. What has none when a connection ends is
sent again on the next one, in order. Events that were spooled before the present connection carry `replayed: true`.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from edge_runtime.mqtt.connection import (
    SESSION_TAKEN_OVER,
    Acked,
    Broker,
    Connected,
    Connection,
    Disconnected,
    Subscribed,
    Subscription,
    Will,
)
from edge_runtime.mqtt.delivery import Delivery
from edge_runtime.mqtt.events import Message, encode
from edge_runtime.mqtt.packets import Extras, Received
from edge_runtime.mqtt.retained import Retained
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.mqtt.takeover import TakeoverDetector
from edge_runtime.mqtt.transient import TransientMessage, TransientMessages
from edge_runtime.pacing import Backoff
from edge_runtime.supervision.watchdog import Stage
from latentline.errors import BrokerError

_log = logging.getLogger(__name__)
_GOODBYE_SECONDS = 0.5  # for the last status, and again for the DISCONNECT
_ACK_SECONDS = 60.0  # a PUBACK that takes longer means that the connection is not what it seems


@dataclass(frozen=True)
class _Wake:
    """The spool or a retained message has something new."""


@dataclass(frozen=True)
class _Stop:
    deadline: float


_Item = Connected | Subscribed | Acked | Disconnected | _Wake | TransientMessage | _Stop


class Publisher:
    """Sends what the spool holds, and retained messages, for as long as it is open. Any thread may call.

    make_will  builds the will of a connection that is about to begin
    on_fault   (code, sentence or None): codes `broker` (no connection), `broker_events` (it refuses them),
               `client_id` (another client has ours), `commands` (the broker does not let us hear them) and
               `publisher` (a fault of ours or of the disk); called from the sender thread, must not block
    stage      of the supervisor: one step of the sender
    """

    def __init__(
        self,
        broker: Broker,
        spool: Spool,
        make_will: Callable[[], Will],
        backoff: Backoff,
        on_fault: Callable[[str, str | None], None],
        stage: Stage | None = None,
    ) -> None:
        self._stage = stage
        self._broker, self._make_will, self._backoff, self._on_fault = broker, make_will, backoff, on_fault
        # Unbounded, because a callback that waits for room while paho holds its locks would be a deadlock. Short all
        # the same: one _Wake, and the acks of one window and of what TransientMessages admits.
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._woken = threading.Event()
        self._transient = TransientMessages()
        self._first_try = threading.Event()
        self._first_refusal: BrokerError | None = None
        self._thread = threading.Thread(target=self._run, name="mqtt sender", daemon=True)
        self._retained = Retained()
        self._subscription: Subscription | None = None
        # From here on the sender thread's own; the public ones are read by anyone.
        self._delivery = Delivery(spool, on_fault)
        self._connection: Connection | None = None
        self._accepted = False
        self._connect_at = 0.0
        self._stop: _Stop | None = None
        self._last_status: tuple[str, Message] | None = None  # set before _Stop is put
        self._done = False
        self._takeover = TakeoverDetector(backoff)
        self.connections = 0
        self.dropped = 0  # messages of `send_once` and `reply` that did not go out
        self.maximum_packet_size: int | None = None  # bytes that the broker takes; None: any, or not known yet

    @property
    def published(self) -> int:
        """Events that the broker confirmed."""
        return self._delivery.published

    @property
    def unheard(self) -> int:
        """Confirmed events of which the broker said that nobody was subscribed."""
        return self._delivery.unheard

    @property
    def connected(self) -> bool:
        """Whether a connection stands that the broker has accepted."""
        return self._accepted

    def subscribe(self, topic_filter: str, receive: Callable[[Received], None]) -> None:
        """Before `start`: hear what comes on `topic_filter`, on every connection.

        `receive` is called in the network thread and must not block; its exceptions are logged. What was said while
        there was no connection is not heard later.
        """
        self._subscription = Subscription(topic_filter, receive)

    def start(self) -> None:
        """Begin to connect. Raises BrokerError when the TLS files cannot be used."""
        self._connection = Connection(self._broker, self._make_will(), self._queue.put, self._subscription)
        self._connection.start()
        self._thread.start()

    def wait_first_try(self, timeout: float) -> bool:
        """Wait until the first connection stands or failed, and say so. Raises BrokerError when the broker refuses us.

        An absent or busy broker is no error: the publisher keeps trying.
        """
        tried = self._first_try.wait(timeout)
        if self._first_refusal is not None:
            raise self._first_refusal
        return tried

    def appended(self) -> None:
        """Say that the spool has a new event."""
        if not self._woken.is_set():
            self._woken.set()
            self._queue.put(_Wake())

    def retain(self, topic: str, message: Message, lifetime: int | None = None) -> None:
        """Publish `message` retained, now and after every reconnect, until another takes its place.

        lifetime  seconds after which the broker forgets it, unless we are there to repeat it; None: never
        """
        self._retained.put(topic, message, lifetime)
        self.appended()

    def send_once(
        self,
        topic: str,
        payload: bytes,
        *,
        content_type: str | None = None,
        expiry: int | None = None,
        user_properties: Sequence[tuple[str, str]] = (),
    ) -> bool:
        """Publish at most once, QoS 0; False, and counted as dropped, when it cannot go out.

        That is while there is no connection, while too many are on their way, and when it is larger than the broker
        takes. expiry: seconds after which the broker shall forget it.
        """
        return self._pass(
            TransientMessage(topic, payload, 0, Extras(content_type, expiry, None, tuple(user_properties)))
        )

    def reply(self, topic: str, payload: bytes, correlation: bytes | None) -> bool:
        """Answer a `Received` on its response topic, QoS 1, on this connection or not at all, as `send_once` does."""
        return self._pass(TransientMessage(topic, payload, 1, Extras("application/json", None, correlation)))

    def result(self, topic: str, message: Message) -> None:
        """`send_once` of a JSON message."""
        self.send_once(topic, encode(message))

    def close(self, status_topic: str, stopped: Message, timeout: float) -> None:
        """If connected: wait up to `timeout` seconds for the spool to drain, publish `stopped` retained, disconnect."""
        self._last_status = (status_topic, stopped)
        self._queue.put(_Stop(time.monotonic() + timeout))
        if self._thread.is_alive():
            self._thread.join(timeout + 3 * _GOODBYE_SECONDS)

    def _pass(self, message: TransientMessage) -> bool:
        if self._accepted and self._transient.admit(message, self.maximum_packet_size):
            self._queue.put(message)
            return True
        self.dropped += 1
        return False

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
        if self._stage is not None:
            self._stage.idle()
        items = self._next_items()
        if self._stage is not None:
            self._stage.busy()
        for item in items:
            self._handle(item)
        self._delivery.remove_confirmed()
        if self._stop is not None:
            self._finish(self._stop)
        elif self._connection is None and not self._done and time.monotonic() >= self._connect_at:
            self._connect()
        if self._accepted and self._takeover.gone():
            self._on_fault("client_id", None)
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
        elif isinstance(item, TransientMessage):
            connection = self._connection if self._accepted else None
            self.dropped += not self._transient.send(connection, item)
        elif isinstance(item, _Stop):
            self._stop = item
        elif item.connection is not self._connection:
            return  # the last words of a connection that was given up
        elif isinstance(item, Connected):
            self._connected(item)
        elif isinstance(item, Subscribed):
            self._subscribed(item.reason)
        elif isinstance(item, Acked):
            self._transient.acked(item.mid)
            self._delivery.acked(item.mid, item.reason)
            self._retained.acked(item.mid, item.reason)
        else:
            self._disconnected(item)

    def _connect(self) -> None:
        try:
            connection = Connection(self._broker, self._make_will(), self._queue.put, self._subscription)
        except BrokerError as error:  # the TLS files were there at the start
            self._on_fault("broker", str(error))
            self._connect_at = time.monotonic() + self._backoff.pause()
            return
        self._connection = connection
        connection.start()

    def _subscribed(self, reason: int) -> None:
        assert self._subscription is not None
        if reason < 0x80:
            self._on_fault("commands", None)
            return
        filter_ = self._subscription.topic_filter
        self._on_fault(
            "commands",
            f"the broker does not let this station subscribe to {filter_} (MQTT reason 0x{reason:02X}), so no command "
            "arrives; give its user the right to read there",
        )

    def _connected(self, item: Connected) -> None:
        _log.info("connected to broker %s", item.connection.address)
        self._accepted = True
        self.maximum_packet_size = item.maximum_packet_size
        self._takeover.connected()
        self.connections += 1
        self._backoff.reset()
        self._delivery.begin(item.maximum_packet_size)
        self._retained.begin()
        self._first_try.set()
        # Before the retained status goes out, so that it does not say `degraded` for a fault that is over.
        self._on_fault("broker", None)
        self._on_fault("publisher", None)

    def _disconnected(self, item: Disconnected) -> None:
        if item.refused and not self._first_try.is_set():
            self._first_refusal = BrokerError(item.sentence)
            self._done = True
        taken_over = item.reason == SESSION_TAKEN_OVER
        takeover = self._takeover.ended(item.thrown_out or taken_over, said=taken_over)
        self._lose_connection(self._backoff.longest() if takeover else self._backoff.pause())
        if self._stop is None:
            self._on_fault("broker", item.sentence)
            if takeover:
                self._on_fault("client_id", self._takeover.sentence(self._broker.client_id, item.connection.address))
        self._first_try.set()

    def _lose_connection(self, pause: float) -> None:
        if self._connection is not None:
            self._connection.abandon()
        self._connection = None
        self._accepted = False
        self._connect_at = time.monotonic() + pause
        self._transient.end()
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

"""Publishes the events of the spool, retained messages and transient messages, until it is closed.

Events are delivered at least once: an event leaves the spool only when its PUBACK reports success. Those without one
when a connection ends are sent again on the next, in order. Events spooled before the present connection carry
`replayed: true`.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence

from edge_runtime.kept_thread import KeptThread
from edge_runtime.mqtt.broker import Broker, Subscription, Will
from edge_runtime.mqtt.broker_link import BrokerLink
from edge_runtime.mqtt.delivery import Delivery
from edge_runtime.mqtt.events import Message, encode
from edge_runtime.mqtt.namesake import Namesake
from edge_runtime.mqtt.packets import PublishProperties, Received
from edge_runtime.mqtt.retained import RetainedMessages
from edge_runtime.mqtt.sender import LAST_STATUS_SECONDS, QueueItem, Sender, Stop, WakeUp
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.mqtt.transient import TransientMessage, TransientMessages
from edge_runtime.pacing import Backoff
from edge_runtime.supervision.watchdog import Stage


class Publisher:
    """Publishes from `start` to `close`. Any thread may call its methods.

    make_will  builds the will of the next connection
    on_fault   called by the sender thread with (code, sentence or None), must not block; the codes are `publisher`
               (the sender or the disk failed) and those of BrokerLink, Delivery and RetainedMessages
    stage      of the watchdog: one step of the sender
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
        # Unbounded: paho holds locks while it runs callbacks, so a callback must never wait for room. It stays short
        # all the same: one WakeUp, the PUBACKs of one window, and what TransientMessages admits.
        self._items: queue.SimpleQueue[QueueItem] = queue.SimpleQueue()
        self._wake_up_queued = threading.Event()
        self._retained = RetainedMessages(on_fault)
        self._transient = TransientMessages()
        self._delivery = Delivery(spool, on_fault)
        self._link = BrokerLink(broker, make_will, backoff, on_fault, self._items.put, self._retained.send_if_late)
        self._sender = Sender(
            self._items,
            self._wake_up_queued,
            self._link,
            self._delivery,
            self._retained,
            self._transient,
            on_fault,
            stage,
        )

    @property
    def thread(self) -> KeptThread:
        """The sender's; each connection has one of its own beside it."""
        return self._sender.thread

    @property
    def published(self) -> int:
        """Events that the broker confirmed."""
        return self._delivery.published

    @property
    def unheard(self) -> int:
        """Confirmed events for which the broker reported that nobody was subscribed."""
        return self._delivery.unheard

    @property
    def connected(self) -> bool:
        """Whether there is a connection that the broker has accepted."""
        return self._link.established is not None

    @property
    def connections(self) -> int:
        """How often the broker accepted a connection."""
        return self._link.connections

    @property
    def maximum_packet_size(self) -> int | None:
        """Bytes that the broker accepts in a packet; None: no limit, or not known yet."""
        return self._link.maximum_packet_size

    @property
    def dropped(self) -> int:
        """Messages of `send_once`, `send_json` and `reply` that did not go out."""
        return self._transient.dropped

    def subscribe(self, topic_filter: str, receive: Callable[[Received], None]) -> None:
        """Receive what is published on `topic_filter`, on every connection. Call it before `start`.

        The network thread calls `receive`, which must not block; its exceptions are logged. Messages published while
        there is no connection are lost.
        """
        self._link.subscription = Subscription(topic_filter, receive)

    def watch_for(self, namesake: Namesake, status_topic: str) -> None:
        """Look out for another station with our id, which publishes on our `status_topic`. Call it before `start`."""
        self._sender.namesake = namesake
        self._link.watch = Subscription(status_topic, namesake.received, no_local=False, kept=True)

    def start(self) -> None:
        """Connect in the background. Raises BrokerError if a TLS file cannot be used."""
        self._link.connect()
        self._sender.thread.start()

    def wait_first_try(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds for the end of the first attempt to connect; False if it takes longer.

        Raises BrokerError if the broker refuses us. A broker that is absent or busy is no error: the publisher keeps
        trying.
        """
        over = self._link.first_attempt_over.wait(timeout)
        if self._link.first_refusal is not None:
            raise self._link.first_refusal
        return over

    def wake_up(self) -> None:
        """Tell the sender that the spool has a new event."""
        if not self._wake_up_queued.is_set():
            self._wake_up_queued.set()
            self._items.put(WakeUp())

    def retain(self, topic: str, message: Message, lifetime: int | None = None) -> None:
        """Publish `message` retained, now and on every reconnect, until another replaces it.

        lifetime  seconds after which the broker discards it, unless we are there to repeat it; None: never
        """
        self._retained.put(topic, message, lifetime)
        self.wake_up()

    def send_once(
        self,
        topic: str,
        payload: bytes,
        *,
        content_type: str | None = None,
        expiry: int | None = None,
        user_properties: Sequence[tuple[str, str]] = (),
    ) -> bool:
        """Publish with QoS 0. Returns False, and counts the message in `dropped`, if it cannot be sent.

        That is: without a connection, with too many messages in flight, and above the broker's maximum packet size.
        expiry: seconds after which the broker discards it.
        """
        properties = PublishProperties(content_type, expiry, None, tuple(user_properties))
        return self._send_transient(TransientMessage(topic, payload, 0, properties))

    def send_json(self, topic: str, message: Message) -> bool:
        """`send_once` of `message` as JSON."""
        return self.send_once(topic, encode(message))

    def reply(self, topic: str, payload: bytes, correlation: bytes | None) -> bool:
        """Answer a `Received` on its response topic with QoS 1. Returns False as `send_once` does."""
        properties = PublishProperties("application/json", None, correlation)
        return self._send_transient(TransientMessage(topic, payload, 1, properties))

    def close(self, status_topic: str, stopped: Message, timeout: float) -> None:
        """If connected: wait up to `timeout` seconds for the spool to drain, publish `stopped` retained, disconnect."""
        self._items.put(Stop(time.monotonic() + timeout, status_topic, stopped))
        self._sender.thread.join(timeout + 3 * LAST_STATUS_SECONDS)

    def _send_transient(self, message: TransientMessage) -> bool:
        admitted = self._transient.admit(message, self.connected, self.maximum_packet_size)
        if admitted:
            self._items.put(message)
        return admitted

"""The thread that owns the connection to the broker and publishes everything, driven by one queue."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from edge_runtime.kept_thread import KeptThread
from edge_runtime.mqtt.broker_link import BrokerLink
from edge_runtime.mqtt.connection import Acked, Connected, ConnectionEvent, Disconnected, Subscribed
from edge_runtime.mqtt.delivery import Delivery
from edge_runtime.mqtt.events import Message
from edge_runtime.mqtt.namesake import Namesake
from edge_runtime.mqtt.retained import RetainedMessages
from edge_runtime.mqtt.transient import TransientMessage, TransientMessages
from edge_runtime.supervision.watchdog import Stage

_log = logging.getLogger(__name__)
LAST_STATUS_SECONDS = 0.5  # for the PUBACK of the last status, and again for the DISCONNECT
_CHECK_SECONDS = 0.4  # between two looks at the files of the spool
_PUBACK_SECONDS = 60.0  # a connection on which a PUBACK takes longer is dropped


@dataclass(frozen=True)
class WakeUp:
    """The spool or a retained message has something new."""


@dataclass(frozen=True)
class Stop:
    """Drain the spool until `deadline` (time.monotonic()), publish the last status, disconnect."""

    deadline: float
    status_topic: str
    status: Message


QueueItem = ConnectionEvent | WakeUp | TransientMessage | Stop


class Sender:
    """Works from `start` until it has handled a `Stop`, or until the broker refuses the first connection.

    items           whatever has to be done; any thread may put
    wake_up_queued  set while a WakeUp is in `items`
    on_fault        called with ("publisher", sentence) if a step failed, with None once a connection stands
    stage           of the watchdog: one step
    """

    def __init__(
        self,
        items: queue.SimpleQueue[QueueItem],
        wake_up_queued: threading.Event,
        link: BrokerLink,
        delivery: Delivery,
        retained: RetainedMessages,
        transient: TransientMessages,
        on_fault: Callable[[str, str | None], None],
        stage: Stage | None,
    ) -> None:
        self._items, self._wake_up_queued = items, wake_up_queued
        self._link, self._delivery, self._retained, self._transient = link, delivery, retained, transient
        self._on_fault, self._stage = on_fault, stage
        self._stop: Stop | None = None
        self._done = False
        self._check_at = 0.0  # time.monotonic()
        self.namesake: Namesake | None = None
        self.thread = KeptThread("mqtt sender", self._run)

    def _run(self) -> None:
        while not self._done:
            try:
                self._step()
            except Exception as error:
                _log.exception("the MQTT sender failed; it connects again")
                self._on_fault("publisher", f"the MQTT sender failed ({type(error).__name__}: {error})")
                self._drop_connection()
                self._done = self._stop is not None
        if self._link.connection is not None:
            self._link.connection.disconnect()
            self._link.connection.join(LAST_STATUS_SECONDS)

    def _step(self) -> None:
        if self._stage is not None:
            self._stage.idle()
        dead = self._link.connection if self._link.connection and not self._link.connection.alive else None
        items = self._next_items()
        if self._stage is not None:
            self._stage.busy()
        for item in items:
            self._handle(item)
        if time.monotonic() >= self._check_at:
            self._check_at = time.monotonic() + _CHECK_SECONDS
            self._delivery.check_spool()
            if self.namesake is not None:
                self.namesake.check()
        if dead is not None and dead is self._link.connection:  # not even a Disconnected was in the queue
            sentence = f"the network thread for broker {dead.address} has died; the station connects again"
            self._on_fault("broker", sentence)
            self._drop_connection()
        self._delivery.remove_confirmed()
        if self._stop is not None:
            self._finish(self._stop)
        elif self._link.connection is None and not self._done and time.monotonic() >= self._link.connect_at:
            self._link.reconnect()
        self._link.check_connection()
        connection = self._link.established
        if connection is not None and not self._done:
            self._retained.send(connection)
            self._delivery.send(connection)
            if self._delivery.oldest_seconds() > _PUBACK_SECONDS:
                sentence = f"broker {connection.address} confirms no messages; the station connects again"
                self._on_fault("broker", sentence)
                self._drop_connection()

    def _next_items(self) -> list[QueueItem]:
        """Everything in the queue. Waits for the first item, but not longer than until a timed action is due."""
        now = time.monotonic()
        due = [self._check_at if self._stop is None else now + 0.1]
        if self._link.connection is None:
            due.append(self._link.connect_at)
        if self._delivery.resume_at is not None:
            due.append(max(self._delivery.resume_at, now + 0.1))
        items: list[QueueItem] = []
        try:
            items.append(self._items.get(timeout=max(0.0, min(due) - now)))
            while True:
                items.append(self._items.get_nowait())
        except queue.Empty:
            return items

    def _handle(self, item: QueueItem) -> None:
        if isinstance(item, WakeUp):
            self._wake_up_queued.clear()
        elif isinstance(item, TransientMessage):
            self._transient.send(self._link.established, item)
        elif isinstance(item, Stop):
            self._stop = item
        elif item.connection is not self._link.connection:
            return  # a late event of a connection that was dropped
        elif isinstance(item, Connected):
            self._connected(item)
        elif isinstance(item, Subscribed):
            self._link.subscribed(item)
        elif isinstance(item, Acked):
            self._transient.acked(item.mid)
            self._delivery.acked(item.mid, item.reason)
            self._retained.acked(item.mid, item.reason)
        else:
            self._disconnected(item)

    def _connected(self, event: Connected) -> None:
        # The faults go before the retained status is sent, so that it does not say `degraded` for one that is over.
        self._retained.begin(event.connection)  # first: the next line may wait for a disk that hangs
        self._delivery.begin(event.maximum_packet_size)
        self._link.connected(event)
        self._on_fault("publisher", None)

    def _disconnected(self, event: Disconnected) -> None:
        by_event = self._delivery.ended(closed_by_broker=event.closed_by_broker, reason=event.reason)
        self._forget_in_flight()
        self._link.disconnected(event, stopping=self._stop is not None, by_event=by_event)
        if self._link.first_refusal is not None:
            self._done = True

    def _drop_connection(self) -> None:
        self._link.drop()
        self._forget_in_flight()

    def _forget_in_flight(self) -> None:
        self._transient.end()
        self._delivery.end()

    def _finish(self, stop: Stop) -> None:
        """The next step towards the end: the spool drains, the broker confirms the last status."""
        now = time.monotonic()
        connection = self._link.established
        if connection is None or now > stop.deadline + LAST_STATUS_SECONDS:
            self._done = True
        elif self._delivery.idle or now > stop.deadline:
            self._retained.put(stop.status_topic, stop.status)
            self._retained.send(connection)
            self._done = self._retained.settled

"""The station's link to its broker: the present connection, when to connect again, and the faults of both."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from edge_runtime.mqtt.broker import Broker, Subscription, Will
from edge_runtime.mqtt.connection import Connected, Connection, ConnectionEvent, Disconnected, Subscribed
from edge_runtime.mqtt.reason_codes import FIRST_ERROR, SESSION_TAKEN_OVER
from edge_runtime.mqtt.takeover import TakeoverDetector
from edge_runtime.mqtt.unsteady import UnsteadyConnections
from edge_runtime.pacing import Backoff
from latentline.errors import BrokerError

_log = logging.getLogger(__name__)


class BrokerLink:
    """Makes one connection after another. Owned by the sender thread; others may read its public attributes.

    make_will  builds the will of the next connection
    on_fault   called with (code, sentence or None); the codes are `broker` (no connection), `broker.unsteady` (the
               connections do not last), `client_id` (another client uses ours) and `commands` (the broker refuses the
               subscription)
    post       receives the events of every connection; those of an old connection may come late
    meanwhile  called by the network thread of a connection, at least twice a second; must not wait

    subscription         for commands
    watch                for the messages of another station with our id; given up where the broker does not allow it
    connection           that is open or being opened; None between two attempts
    connect_at           time.monotonic() of the next attempt, while there is no connection
    connections          how often the broker accepted us
    maximum_packet_size  bytes that the broker accepts; None: no limit, or not known yet
    first_refusal        set when the broker refused the very first connection
    """

    def __init__(
        self,
        broker: Broker,
        make_will: Callable[[], Will],
        backoff: Backoff,
        on_fault: Callable[[str, str | None], None],
        post: Callable[[ConnectionEvent], None],
        meanwhile: Callable[[Connection], None],
    ) -> None:
        self._broker, self._make_will, self._backoff = broker, make_will, backoff
        self._on_fault, self._post, self._meanwhile = on_fault, post, meanwhile
        self._takeover = TakeoverDetector(backoff)
        self._unsteady = UnsteadyConnections()
        self._accepted = False
        self.subscription: Subscription | None = None
        self.watch: Subscription | None = None
        self._watch_asked = False
        self.connection: Connection | None = None
        self.connect_at = 0.0
        self.connections = 0
        self.maximum_packet_size: int | None = None
        self.first_attempt_over = threading.Event()
        self.first_refusal: BrokerError | None = None

    @property
    def established(self) -> Connection | None:
        """The connection, once the broker has accepted it."""
        return self.connection if self._accepted else None

    def connect(self) -> None:
        """Open the next connection in the background. Raises BrokerError if password or a TLS file cannot be used."""
        broker = self._broker.renewed()
        # Set before it starts: events of any other connection are ignored.
        subscriptions = [one for one in (self.subscription, self.watch) if one is not None]
        self.connection = Connection(broker, self._make_will(), self._post, subscriptions, self._meanwhile)
        try:
            self.connection.start()
        except RuntimeError as error:
            sentence = f"broker {self._broker.address}: no thread can be started for a connection ({error})"
            self._on_fault("broker", f"{sentence}; the station tries again")
            self.drop()

    def reconnect(self) -> None:
        """As `connect`, but a file that cannot be used any more is a fault."""
        try:
            self.connect()
        except BrokerError as error:
            self._on_fault("broker", str(error))
            self.connect_at = time.monotonic() + self._backoff.pause()

    def connected(self, event: Connected) -> None:
        """The broker accepted the connection."""
        _log.info("connected to broker %s", self._broker.address)
        self._accepted = True
        self.maximum_packet_size = event.maximum_packet_size
        self._watch_asked = self.watch is not None
        self._takeover.connected()
        self._unsteady.connected()
        self.connections += 1
        if not self._unsteady.unsteady:
            self._backoff.reset()
        self.first_attempt_over.set()
        self._on_fault("broker", None)

    def subscribed(self, event: Subscribed) -> None:
        """The broker answered a subscription."""
        if event.subscription is self.watch:
            self._watch_asked = False
            if event.reason >= FIRST_ERROR:
                self._forgo_watch()
            return
        if event.reason < FIRST_ERROR:
            self._on_fault("commands", None)
            return
        self._on_fault(
            "commands",
            f"the broker does not let this station subscribe to {event.subscription.topic_filter} (MQTT reason "
            f"0x{event.reason:02X}), so no command arrives; allow its user to read this topic",
        )

    def disconnected(self, event: Disconnected, stopping: bool, by_event: bool = False) -> None:
        """The connection ended or could not be made.

        stopping  the station ends, so this is no fault
        by_event  the event that was in flight may be why, so the connection is not called unsteady
        """
        if event.refused and not self.first_attempt_over.is_set():
            self.first_refusal = BrokerError(event.sentence)
        taken_over = event.reason == SESSION_TAKEN_OVER
        if self._watch_asked and (event.closed_by_broker or event.reason) and not taken_over:
            self._forgo_watch()  # some brokers end the connection of a client that asks for what it may not read
        self._takeover.ended(taken_over=taken_over)
        self._unsteady.ended(event.closed_by_broker and not by_event)
        self._close(self._backoff.longest() if taken_over else self._backoff.pause())
        if not stopping:
            names = self._broker.client_id, self._broker.address
            self._on_fault("broker", event.sentence)
            if taken_over:
                self._on_fault("client_id", self._takeover.sentence(*names))
            if self._unsteady.unsteady:
                self._on_fault("broker.unsteady", self._unsteady.sentence(*names))
        self.first_attempt_over.set()

    def check_connection(self) -> None:
        """Clear the faults `client_id` and `broker.unsteady` once the connection has held for long enough."""
        if self._accepted and self._takeover.over():
            self._on_fault("client_id", None)
        if self._accepted and self._unsteady.over():
            self._on_fault("broker.unsteady", None)

    def drop(self) -> None:
        """Give the connection up, to connect again after a pause."""
        self._close(self._backoff.pause())
        self.first_attempt_over.set()

    def _forgo_watch(self) -> None:
        if self.watch is not None:
            name = self.watch.topic_filter
            _log.info("the broker does not let this station read %s, so another one with its id stays unnoticed", name)
        self.watch, self._watch_asked = None, False

    def _close(self, pause: float) -> None:
        if self.connection is not None:
            self.connection.abandon()
        self.connection = None
        self._accepted = False
        self.connect_at = time.monotonic() + pause

"""A subscriber that connects again after each loss, and subscribes again on each connection.

It has no thread of its own: `run` is the loop. It hands a message over before the broker gets the PUBACK, so a message
that arrives while the process dies comes again in the same session.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Callable, Mapping
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes

from edge_runtime.mqtt.broker import Broker
from edge_runtime.mqtt.certificates import not_accepted
from edge_runtime.mqtt.client import MqttClient, use_tls
from edge_runtime.mqtt.packets import PublishProperties, Received, new_properties, received
from edge_runtime.pacing import Backoff
from latentline.errors import BrokerError

_CONNECT_SECONDS = 5.0  # to open the socket, and again for the broker's answer
_SESSION_SECONDS = 7 * 24 * 3600  # how long the broker keeps messages for an absent session
_TICK_SECONDS = 0.2  # longest time until the loop notices `stop`
_TEMPORARY = {0x88, 0x89, 0x97, 0x9F}  # CONNACK: unavailable, busy, quota, rate; all other refusals are final


class Subscriber:
    """Receives messages of `filters` (topic filter -> QoS) while `run` runs.

    on_message     called for each message
    on_connection  called with (True, sentence) when all subscriptions are accepted, and with (False, sentence) when the
                   connection is lost or cannot be made; not twice in a row with the same sentence
    on_tick        called a few times a second while connected and subscribed
    All run in the thread of `run`, and `run` raises what they raise.
    connections    how often the broker has accepted a connection
    """

    def __init__(
        self,
        broker: Broker,
        filters: Mapping[str, int],
        on_message: Callable[[Received], None],
        on_connection: Callable[[bool, str], None],
        on_tick: Callable[[], None] = lambda: None,
    ) -> None:
        self._broker, self._filters = broker, filters
        self._on_message, self._on_connection, self._on_tick = on_message, on_connection, on_tick
        self._address = f"{broker.host}:{broker.port}"
        self._pauses = Backoff(0.5, 5.0)
        self._loss = ""  # why the connection ended
        self._last_sentence = ""
        self._ready = False  # connected and subscribed
        self._error: Exception | None = None  # ends `run`
        self._client: paho.Client | None = None
        self.connections = 0

    def run(self, stop: Callable[[], bool]) -> None:
        """Receive until `stop` returns True. Raises BrokerError when the broker refuses user, client or topic."""
        while not stop():
            self._run_one_connection(stop)
            if not stop() and self._error is None:
                self._report(False, f"{self._loss}; trying again")
            if self._error is not None:
                raise self._error
            resume = time.monotonic() + self._pauses.pause()
            while not stop() and (left := resume - time.monotonic()) > 0:
                time.sleep(min(left, _TICK_SECONDS))

    def publish(self, topic: str, payload: bytes, properties: PublishProperties) -> None:
        """Publish with QoS 1. Call it in a callback. It is lost when the connection breaks before it has gone out."""
        if self._client is not None:
            self._client.publish(topic, payload, 1, properties=properties.to_paho())

    def _run_one_connection(self, stop: Callable[[], bool]) -> None:
        self._loss, self._ready = f"connection to broker {self._address} was lost", False
        client = self._client = self._make_client()
        try:
            self._loop(client, stop)
        except ssl.SSLCertVerificationError as error:
            self._refuse(f"its {not_accepted(error)}")
        except OSError as error:
            self._loss = f"broker {self._address} cannot be reached ({error.strerror or error})"
        except Exception as error:  # paho raises others when the server does not speak MQTT
            self._loss = f"connection to broker {self._address} failed ({type(error).__name__}: {error})"
        finally:
            self._client = None
            sock = client.socket()
            if sock is not None:
                sock.close()

    def _loop(self, client: paho.Client, stop: Callable[[], bool]) -> None:
        session = new_properties(PacketTypes.CONNECT)
        session.SessionExpiryInterval = 0 if self._broker.clean_start else _SESSION_SECONDS
        broker = self._broker
        client.connect(broker.host, broker.port, broker.keep_alive, clean_start=broker.clean_start, properties=session)
        deadline = time.monotonic() + _CONNECT_SECONDS
        while client.loop(timeout=_TICK_SECONDS) == MQTTErrorCode.MQTT_ERR_SUCCESS:
            if stop() or self._error is not None:
                client.disconnect()
                return
            if self._ready:
                self._call(self._on_tick)
            elif time.monotonic() > deadline:
                self._loss = f"broker {self._address} does not answer"
                return

    def _make_client(self) -> paho.Client:
        broker = self._broker
        client = MqttClient(
            CallbackAPIVersion.VERSION2,
            client_id=broker.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = _CONNECT_SECONDS
        client.username_pw_set(broker.username, broker.password)
        if broker.tls is not None:
            use_tls(client, broker.tls)
        client.on_connect = self._connected
        client.on_subscribe = self._subscribed
        client.on_message = lambda _client, _data, message: self._call(self._on_message, received(message))
        client.on_disconnect = self._disconnected
        return client

    def _connected(self, client: paho.Client, _data: Any, _flags: Any, reason: Any, _properties: Any) -> None:
        if not reason.is_failure:
            self.connections += 1  # here: what a session kept arrives before the subscriptions are confirmed
            # On every connection: a broker that has lost our session has lost our subscriptions.
            client.subscribe(list(self._filters.items()))
            return
        self._loss = f"broker {self._address} refuses the connection ({reason})"
        if int(reason.value) not in _TEMPORARY:
            user = f" of user '{self._broker.username}'" if self._broker.username else ""
            self._refuse(f"it refuses the connection{user} ({reason})")

    def _subscribed(self, _client: Any, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        for topic, reason in zip(self._filters, reasons, strict=True):
            if reason.is_failure:
                self._refuse(f"it does not let this user subscribe to {topic} ({reason})")
                return
        self._ready = True
        self._pauses.reset()
        self._report(True, f"connected to broker {self._address}")

    def _disconnected(self, _client: Any, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if flags.is_disconnect_packet_from_server:
            self._loss = f"broker {self._address} ended the connection ({reason})"

    def _refuse(self, why: str) -> None:
        self._error = BrokerError(f"broker {self._address}: {why}")

    def _report(self, connected: bool, sentence: str) -> None:
        if sentence != self._last_sentence:
            self._last_sentence = sentence
            self._call(self._on_connection, connected, sentence)

    def _call(self, callback: Callable[..., None], *arguments: Any) -> None:
        """Run a callback, and keep its exception for `run`: paho must not catch it."""
        try:
            callback(*arguments)
        except Exception as error:
            self._error = error

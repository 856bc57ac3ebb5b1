"""One connection to the broker, from CONNECT to its end.

A reconnect makes a new object with a new paho client, so that message ids and queued packets of an old connection
cannot be mistaken for those of the new one.

Three properties of paho, all measured, shape this file. Its session state is not reliable. An exception in a callback
ends its network loop. It holds its own locks while it calls on_publish. So the loop runs in a thread of ours that
always reports the end of the connection, and callbacks do nothing but `post` an event.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_runtime.mqtt.broker import Broker, Subscription, Will
from edge_runtime.mqtt.certificates import not_accepted
from edge_runtime.mqtt.client import MqttClient, log_exceptions, make_client
from edge_runtime.mqtt.diagnosis import diagnose
from edge_runtime.mqtt.packets import PublishProperties, new_properties, received
from edge_runtime.mqtt.reason_codes import FIRST_ERROR, concerns_credentials, permanent_refusal

_log = logging.getLogger(__name__)
_CONNECT_SECONDS = 5.0  # to open the socket, and again for the CONNACK
_DISCONNECT_SECONDS = 1.0  # for the DISCONNECT to go out
_SESSION_SECONDS = 3600  # must exceed the will delay: the end of the session sends the will at once
WINDOW = 20  # QoS 1 messages without PUBACK at a time
_MAX_PACKET_BYTES = 256 * 1024  # the broker must not send us larger packets


@dataclass(frozen=True)
class Connected:
    """The broker accepted the connection.

    maximum_packet_size  bytes; the broker rejects larger packets. None: no limit
    maximum_qos          that the broker takes
    retains              whether it keeps retained messages
    receive_maximum      messages of QoS 1 and 2 that may be without an answer
    """

    connection: Connection
    maximum_packet_size: int | None
    maximum_qos: int = 2
    retains: bool = True
    receive_maximum: int = 65535


@dataclass(frozen=True)
class Subscribed:
    """The SUBACK; a `reason` below 0x80 is success."""

    connection: Connection
    subscription: Subscription
    reason: int


@dataclass(frozen=True)
class Acked:
    """The PUBACK of a QoS 1 message, or the PUBREC of a probe; a `reason` below 0x80 is success."""

    connection: Connection
    mid: int
    reason: int


@dataclass(frozen=True)
class Disconnected:
    """The connection ended or could not be made. Posted exactly once.

    sentence          what happened
    refused           the broker refused us, or we do not accept its certificate: another try will not help
    reason            MQTT 5 reason code of the broker's last packet, 0 if it gave none
    closed_by_broker  the broker accepted the connection, closed it without a DISCONNECT, and still listens at its port
    """

    connection: Connection
    sentence: str
    refused: bool
    reason: int
    closed_by_broker: bool = False


ConnectionEvent = Connected | Subscribed | Acked | Disconnected


class Connection:
    """Call `start`, then `publish` from other threads, then `disconnect`. Events go to `post`.

    meanwhile  called by the network thread, at least twice a second; must not wait
    """

    def __init__(
        self,
        broker: Broker,
        will: Will | None,
        post: Callable[[ConnectionEvent], None],
        subscriptions: Sequence[Subscription] = (),
        meanwhile: Callable[[Connection], None] = lambda _: None,
    ) -> None:
        self._broker = broker
        self._post = post
        self._subscriptions, self._meanwhile = subscriptions, meanwhile
        self._asked: dict[int, Subscription] = {}  # message id -> what it asked for
        self._sentence = ""
        self._refused = False
        self._reason = 0
        self._accepted = False
        self._closing = False
        self._client: paho.Client | None = self._make_client(will)
        self._thread = threading.Thread(target=self._run, name="mqtt network", daemon=True)

    @property
    def address(self) -> str:
        """host:port, for messages."""
        return self._broker.address

    @property
    def alive(self) -> bool:
        """Whether the network thread runs. It posts `Disconnected` before it ends, unless it dies."""
        return self._thread.is_alive()

    def start(self) -> None:
        """Connect in the background. Raises RuntimeError if no thread can be started."""
        self._thread.start()

    def publish(
        self, topic: str, payload: bytes, *, qos: int, retain: bool = False, properties: PublishProperties | None = None
    ) -> int | None:
        """Hand a message to paho. Returns its message id, or None if paho did not accept it.

        `Acked` follows when the broker confirmed it (QoS 1) or when it was written to the socket (QoS 0).
        """
        client = self._client
        if client is None:
            return None
        info = client.publish(topic, payload, qos, retain, properties.to_paho() if properties else None)
        return info.mid if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def disconnect(self) -> None:
        """Send DISCONNECT, so that the broker discards the will. `Disconnected` follows."""
        self._closing = True
        client = self._client
        if client is not None:
            client.disconnect()

    def abandon(self) -> None:
        """Drop the connection without a DISCONNECT. `Disconnected` follows."""
        self._closing = True

    def join(self, timeout: float) -> None:
        """Wait for the network thread to end, `timeout` seconds at most."""
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _make_client(self, will: Will | None) -> MqttClient:
        client = make_client(self._broker, will, _CONNECT_SECONDS, WINDOW)
        client.on_connect = log_exceptions(self._on_connect)
        client.on_publish = log_exceptions(self._on_publish)
        client.on_pubrec = log_exceptions(lambda mid, reason: self._post(Acked(self, mid, reason)))
        client.on_disconnect = log_exceptions(self._on_disconnect)
        client.on_subscribe = log_exceptions(self._on_subscribe)
        client.on_message = log_exceptions(self._on_message)
        return client

    def _run(self) -> None:
        client = self._client
        assert client is not None
        try:
            self._loop(client)
        except ssl.SSLCertVerificationError as error:
            self._refused = True
            self._sentence = f"broker {self.address}: its {not_accepted(error)}"
        except ssl.SSLError as error:
            self._sentence = f"broker {self.address}: TLS failed ({error.reason or error})"
        except (OSError, UnicodeError) as error:
            self._sentence = f"broker {self.address} cannot be reached ({getattr(error, 'strerror', None) or error})"
        except Exception as error:
            _log.exception("the MQTT network loop failed")
            self._sentence = f"the connection to broker {self.address} failed ({type(error).__name__}: {error})"
        finally:
            sock = client.socket()
            if sock is not None:
                sock.close()
            closed_by_broker = self._accepted and not (self._sentence or self._closing) and self._broker_listens()
            if not (self._accepted or self._closing or self._refused or self._reason) and (
                cause := diagnose(self._broker)
            ):
                self._sentence = f"broker {self.address}: its port {cause}"
            # Nobody else holds the client: with the last reference gone, paho closes its internal socket pair now and
            # not at some later garbage collection.
            self._client = None
            sentence = self._sentence or f"the connection to broker {self.address} was lost"
            self._post(Disconnected(self, sentence, self._refused, self._reason, closed_by_broker))

    def _loop(self, client: paho.Client) -> None:
        session = new_properties(PacketTypes.CONNECT)
        session.MaximumPacketSize = _MAX_PACKET_BYTES
        session.SessionExpiryInterval = 0 if self._broker.clean_start else _SESSION_SECONDS
        client.connect(
            self._broker.host,
            self._broker.port,
            self._broker.keep_alive,
            clean_start=self._broker.clean_start,
            properties=session,
        )
        connect_deadline = time.monotonic() + _CONNECT_SECONDS
        disconnect_deadline: float | None = None
        while client.loop(timeout=0.5) == MQTTErrorCode.MQTT_ERR_SUCCESS:
            moment = time.monotonic()
            self._meanwhile(self)
            if not self._accepted and moment > connect_deadline:
                self._sentence = f"broker {self.address} does not answer the MQTT CONNECT"
                return
            if self._closing:
                disconnect_deadline = disconnect_deadline or moment + _DISCONNECT_SECONDS
                if moment > disconnect_deadline:
                    return

    def _broker_listens(self) -> bool:
        try:
            with socket.create_connection((self._broker.host, self._broker.port), timeout=1.0):
                return True
        except OSError:
            return False

    def _on_connect(self, client: MqttClient, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
        code = int(reason.value)
        if code < FIRST_ERROR:
            self._accepted = True
            accepted = Connected(
                self,
                getattr(properties, "MaximumPacketSize", None),
                getattr(properties, "MaximumQoS", 2),
                bool(getattr(properties, "RetainAvailable", 1)),
                getattr(properties, "ReceiveMaximum", 65535),
            )
            client.respect_receive_maximum(accepted.receive_maximum)
            self._post(accepted)
            self._subscribe(client)
            return
        self._reason = code
        refusal = permanent_refusal(code)
        self._refused = refusal is not None
        user = f" (user '{self._broker.username}')" if self._broker.username and concerns_credentials(code) else ""
        self._sentence = f"broker {self.address} {refusal or f'refuses the connection ({reason})'}{user}"

    def _subscribe(self, client: paho.Client) -> None:
        # QoS 0: the broker queues nothing while we are away, so no command of an hour ago is carried out. The retain
        # flag is as the sender set it.
        for one in self._subscriptions:
            kept = SubscribeOptions.RETAIN_SEND_ON_SUBSCRIBE if one.kept else SubscribeOptions.RETAIN_DO_NOT_SEND
            options = SubscribeOptions(qos=0, noLocal=one.no_local, retainAsPublished=True, retainHandling=kept)
            _, mid = client.subscribe(one.topic_filter, options=options)
            if mid is not None:
                self._asked[mid] = one

    def _on_subscribe(self, _client: Any, _data: Any, mid: int, reasons: Any, _properties: Any) -> None:
        if (subscription := self._asked.pop(mid, None)) is not None:
            self._post(Subscribed(self, subscription, max(int(reason.value) for reason in reasons)))

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        for one in self._subscriptions:
            if paho.topic_matches_sub(one.topic_filter, message.topic):
                one.receive(received(message))

    def _on_publish(self, _client: Any, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        self._post(Acked(self, mid, int(reason.value)))

    def _on_disconnect(self, _client: Any, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if flags.is_disconnect_packet_from_server:
            self._reason = int(reason.value)
            self._sentence = f"broker {self.address} closed the connection ({reason})"

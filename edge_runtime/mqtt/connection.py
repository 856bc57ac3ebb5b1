"""One connection to the broker, from CONNECT to its end. A new connection is a new object with a new paho client,
so nothing of an old one (message ids, its queue) can be mistaken for this one's.

paho is kept on a short lead (each of these was measured): its session is never trusted, an exception in a callback
would kill its loop, and it holds its own locks while it calls on_publish. So the loop runs in a thread of ours that
always reports its end, and callbacks do nothing but `post` an item.
"""

from __future__ import annotations

import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge_runtime.mqtt.client import MqttClient, log_exceptions, use_tls
from edge_runtime.mqtt.packets import Extras, Received, new_properties, received
from edge_runtime.mqtt.settings import TlsSection

_log = logging.getLogger(__name__)
_CONNECT_SECONDS = 5.0  # to open the socket, and again for the broker's answer
_SESSION_SECONDS = 3600  # must exceed the will delay: the end of the session sends the will at once
WINDOW = 20  # QoS 1 messages without PUBACK at a time
_LARGEST_PACKET = 256 * 1024  # bytes: the broker keeps larger packets from us

NOT_AUTHORISED = 0x87
QUOTA_EXCEEDED = 0x97
SESSION_TAKEN_OVER = 0x8E
NO_SUBSCRIBER = 0x10
# CONNACK reasons that waiting does not cure: somebody has to change the YAML or the broker.
_REFUSALS = {
    0x84: "does not speak MQTT 5",
    0x85: "does not accept this client id",
    0x86: "refuses the user name or password",
    0x87: "refuses the user name or password, or does not let this user in",
    0x8A: "has banned this client",
    0x8C: "wants another way to authenticate",
}


@dataclass(frozen=True)
class Broker:
    """How to reach the broker. The password never shows in a repr."""

    host: str
    port: int
    client_id: str
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    tls: TlsSection | None = None
    keep_alive: int = 30
    clean_start: bool = False


@dataclass(frozen=True)
class Will:
    """What the broker says for us, retained, `delay` seconds after we vanish."""

    topic: str
    payload: bytes = field(repr=False)
    delay: int


@dataclass(frozen=True)
class Subscription:
    """What to hear. `receive` is called in the network thread: it must not block, its exceptions are logged."""

    topic_filter: str
    receive: Callable[[Received], None]


@dataclass(frozen=True)
class Connected:
    """The broker accepted. maximum_packet_size: bytes of the largest packet that it takes, None for any."""

    connection: Connection
    maximum_packet_size: int | None


@dataclass(frozen=True)
class Subscribed:
    """The broker's answer to the subscription; `reason` below 0x80 is success."""

    connection: Connection
    reason: int


@dataclass(frozen=True)
class Acked:
    """A QoS 1 message got its PUBACK; `reason` below 0x80 is success."""

    connection: Connection
    mid: int
    reason: int


@dataclass(frozen=True)
class Disconnected:
    """The connection is over, or never came to be. Posted exactly once.

    refused     the broker or its certificate said no, and trying again will not help
    reason      MQTT 5 reason code of the broker's last word, 0 when it had none
    thrown_out  a connection that stood was ended without a word, by a broker that still answers at its port
    """

    connection: Connection
    sentence: str
    refused: bool
    reason: int
    thrown_out: bool = False


Item = Connected | Subscribed | Acked | Disconnected


class Connection:
    """`start`, then `publish` from one other thread, then `disconnect`; what happens comes through `post`."""

    def __init__(
        self,
        broker: Broker,
        will: Will | None,
        post: Callable[[Item], None],
        subscription: Subscription | None = None,
    ) -> None:
        self._broker = broker
        self._post = post
        self._subscription = subscription
        self._said = ""
        self._refused = False
        self._reason = 0
        self._accepted = False
        self._leaving = False
        self._client: paho.Client | None = self._make_client(will)
        self._thread = threading.Thread(target=self._run, name="mqtt network", daemon=True)

    @property
    def address(self) -> str:
        """host:port, for messages."""
        return f"{self._broker.host}:{self._broker.port}"

    def start(self) -> None:
        """Begin to connect, without waiting."""
        self._thread.start()

    def publish(
        self, topic: str, payload: bytes, *, qos: int, retain: bool = False, extras: Extras | None = None
    ) -> int | None:
        """Hand a message to paho; its id, or None when it was not taken.

        `Acked` says that it arrived (QoS 1) or was written to the socket (QoS 0).
        """
        client = self._client
        if client is None:
            return None
        info = client.publish(topic, payload, qos, retain, extras.properties() if extras else None)
        return info.mid if info.rc == MQTTErrorCode.MQTT_ERR_SUCCESS else None

    def disconnect(self) -> None:
        """Say goodbye, so that the broker keeps the will to itself; `Disconnected` follows."""
        self._leaving = True
        client = self._client
        if client is not None:
            client.disconnect()

    def abandon(self) -> None:
        """Drop the connection without a goodbye; `Disconnected` follows."""
        self._leaving = True

    def join(self, timeout: float) -> None:
        """Wait for the network thread."""
        if self._thread.is_alive():
            self._thread.join(timeout)

    def _make_client(self, will: Will | None) -> paho.Client:
        broker = self._broker
        client = MqttClient(
            CallbackAPIVersion.VERSION2,
            client_id=broker.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            reconnect_on_failure=False,
        )
        client.connect_timeout = _CONNECT_SECONDS
        client.max_inflight_messages_set(2 * WINDOW)  # the window, retained messages beside it
        client.max_queued_messages_set(4 * WINDOW)  # unbounded by default
        client.username_pw_set(broker.username, broker.password)
        if broker.tls is not None:
            use_tls(client, broker.tls)
        if will is not None:
            properties = new_properties(PacketTypes.WILLMESSAGE)
            properties.WillDelayInterval = will.delay
            client.will_set(will.topic, will.payload, qos=1, retain=True, properties=properties)
        client.on_connect = log_exceptions(self._on_connect)
        client.on_publish = log_exceptions(self._on_publish)
        client.on_disconnect = log_exceptions(self._on_disconnect)
        client.on_subscribe = log_exceptions(self._on_subscribe)
        client.on_message = log_exceptions(self._on_message)
        # With this callback set, publish() leaves the socket to the thread that runs the loop. Without it paho writes
        # from both threads when loop_start() is not used, and packets can be torn.
        client.on_socket_register_write = lambda *_: None
        return client

    def _run(self) -> None:
        client = self._client
        assert client is not None
        try:
            self._loop(client)
        except ssl.SSLCertVerificationError as error:
            self._refused = True
            self._said = f"broker {self.address}: its certificate is not accepted ({error.verify_message})"
        except ssl.SSLError as error:
            self._said = f"broker {self.address}: TLS failed ({error.reason or error})"
        except OSError as error:
            self._said = f"broker {self.address} cannot be reached ({error.strerror or error})"
        except Exception as error:
            _log.exception("the network loop failed")
            self._said = f"connection to broker {self.address} failed ({type(error).__name__}: {error})"
        finally:
            sock = client.socket()
            if sock is not None:
                sock.close()
            thrown_out = self._accepted and not (self._said or self._leaving) and self._answers()
            # Nobody else holds the client: with the last reference paho closes its own pair of sockets, now and not
            # when a garbage collection comes by.
            self._client = None
            sentence = self._said or f"connection to broker {self.address} was lost"
            self._post(Disconnected(self, sentence, self._refused, self._reason, thrown_out))

    def _loop(self, client: paho.Client) -> None:
        session = new_properties(PacketTypes.CONNECT)
        session.MaximumPacketSize = _LARGEST_PACKET
        session.SessionExpiryInterval = 0 if self._broker.clean_start else _SESSION_SECONDS
        client.connect(
            self._broker.host,
            self._broker.port,
            self._broker.keep_alive,
            clean_start=self._broker.clean_start,
            properties=session,
        )
        deadline = time.monotonic() + _CONNECT_SECONDS
        goodbye: float | None = None
        while client.loop(timeout=0.5) == MQTTErrorCode.MQTT_ERR_SUCCESS:
            moment = time.monotonic()
            if not self._accepted and moment > deadline:
                self._said = f"broker {self.address} does not answer the MQTT greeting"
                return
            if self._leaving:
                goodbye = goodbye or moment + 1.0
                if moment > goodbye:
                    return

    def _answers(self) -> bool:
        """Whether somebody listens at the broker's port."""
        try:
            with socket.create_connection((self._broker.host, self._broker.port), timeout=1.0):
                return True
        except OSError:
            return False

    def _on_connect(self, client: paho.Client, _data: Any, _flags: Any, reason: Any, properties: Any) -> None:
        code = int(reason.value)
        if code < 0x80:
            self._accepted = True
            self._post(Connected(self, getattr(properties, "MaximumPacketSize", None)))
            self._subscribe(client)
            return
        self._reason = code
        self._refused = code in _REFUSALS
        what = _REFUSALS.get(code, f"refuses the connection ({reason})")
        user = f" '{self._broker.username}'" if self._broker.username and code in (0x86, 0x87) else ""
        self._said = f"broker {self.address} {what}{user}"

    def _subscribe(self, client: paho.Client) -> None:
        if self._subscription is None:
            return
        # QoS 0: a broker keeps nothing for us while we are away, so nobody's wish of an hour ago comes true. Nothing
        # retained, nothing of our own, and the retain flag as its sender set it.
        options = SubscribeOptions(
            qos=0, noLocal=True, retainAsPublished=True, retainHandling=SubscribeOptions.RETAIN_DO_NOT_SEND
        )
        client.subscribe(self._subscription.topic_filter, options=options)

    def _on_subscribe(self, _client: Any, _data: Any, _mid: int, reasons: Any, _properties: Any) -> None:
        self._post(Subscribed(self, max(int(reason.value) for reason in reasons)))

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        if self._subscription is not None:
            self._subscription.receive(received(message))

    def _on_publish(self, _client: Any, _data: Any, mid: int, reason: Any, _properties: Any) -> None:
        self._post(Acked(self, mid, int(reason.value)))

    def _on_disconnect(self, _client: Any, _data: Any, flags: Any, reason: Any, _properties: Any) -> None:
        if flags.is_disconnect_packet_from_server:
            self._reason = int(reason.value)
            self._said = f"broker {self.address} ended the connection ({reason})"

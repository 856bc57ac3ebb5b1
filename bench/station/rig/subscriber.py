"""A subscriber outside of the station, whose session survives its connections."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from latentline.errors import BrokerError

_WAIT_SECONDS = 20.0
_RECONNECT_SECONDS = 0.02


class SessionSubscriber:
    """Subscribes to `topic` on every connection, with a session that the broker keeps.

    on_message  gets the body and whether the broker had retained the message, in the client's thread
    on_lost     called when a connection ends, in the client's thread
    """

    def __init__(
        self,
        port: int,
        name: str,
        topic: str,
        on_message: Callable[[dict[str, Any], bool], None],
        on_lost: Callable[[], None] = lambda: None,
    ) -> None:
        self._name = name
        self._changed = threading.Condition()
        self._subscribed, self._ended = 0, 0
        self._client = client = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=MQTTProtocolVersion.MQTTv5)
        client.reconnect_delay_set(_RECONNECT_SECONDS, _RECONNECT_SECONDS)  # type: ignore[arg-type]  # takes fractions
        client.max_inflight_messages_set(65535)

        def subscribe(*_: object) -> None:
            client.subscribe(topic, qos=1)

        def lost(*_: object) -> None:
            on_lost()
            self._count(ended=1)

        client.on_connect = subscribe
        client.on_subscribe = lambda *_: self._count(subscribed=1)
        client.on_message = lambda _client, _data, message: on_message(json.loads(message.payload), message.retain)
        client.on_disconnect = lost
        session = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # paho annotates nothing there
        session.SessionExpiryInterval, session.ReceiveMaximum = 24 * 3600, 65535
        client.connect("127.0.0.1", port, keepalive=5, clean_start=False, properties=session)
        client.loop_start()
        self.wait_subscribed(1)

    @property
    def ended(self) -> int:
        """How many connections have ended."""
        return self._ended

    @property
    def subscribed(self) -> int:
        """How many times it has subscribed."""
        return self._subscribed

    def wait_lost(self, ended: int) -> None:
        """Wait until `ended` connections have ended. Raises BrokerError."""
        self._wait(lambda: self._ended >= ended, "is still connected")

    def wait_subscribed(self, subscribed: int) -> None:
        """Wait until it has subscribed `subscribed` times. Raises BrokerError."""
        self._wait(lambda: self._subscribed >= subscribed, "cannot connect and subscribe")

    def close(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _wait(self, condition: Callable[[], bool], trouble: str) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, _WAIT_SECONDS):
                raise BrokerError(f"the subscriber '{self._name}' {trouble} after {_WAIT_SECONDS:g} s")

    def _count(self, subscribed: int = 0, ended: int = 0) -> None:
        with self._changed:
            self._subscribed += subscribed
            self._ended += ended
            self._changed.notify_all()

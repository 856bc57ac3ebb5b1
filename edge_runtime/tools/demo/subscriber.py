"""An independent subscriber: like a factory system, it knows only the topics of the station."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from latentline.errors import BrokerError

CONNECT_SECONDS = 10.0
EventPayload = dict[str, Any]


class DemoSubscriber:
    """Receives a station's events. Calls `on_event` once per event, in paho's thread."""

    def __init__(self, host: str, port: int, prefix: str, on_event: Callable[[EventPayload], None]) -> None:
        self.events: dict[str, EventPayload] = {}
        self._address, self._prefix, self._on_event = (host, port), prefix, on_event
        self._ready, self._changed = threading.Event(), threading.Condition()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, protocol=mqtt.MQTTv5)
        self._client.on_connect = self._connected
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = self._received

    def start(self) -> None:
        """Connect and subscribe. Raises BrokerError when the broker does not answer."""
        host, port = self._address
        try:
            self._client.connect(host, port)
        except OSError as error:
            raise BrokerError(f"no MQTT broker answers at {host}:{port} ({error.strerror or error})") from None
        self._client.loop_start()
        if not self._ready.wait(CONNECT_SECONDS):
            raise BrokerError(f"the MQTT broker at {host}:{port} does not accept the demo's subscriber")

    def wait_for(self, count: int, seconds: float) -> bool:
        """Wait until `count` different events have arrived; returns False after `seconds` without them."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self.events) >= count, seconds)

    def stop(self) -> None:
        """Disconnect."""
        self._client.disconnect()
        self._client.loop_stop()

    def _connected(
        self,
        client: mqtt.Client,
        _data: Any,
        _flags: mqtt.ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if not reason.is_failure:  # on every connection: a restarted broker has lost the subscription
            client.subscribe(f"{self._prefix}/#", qos=1)

    def _received(self, _client: mqtt.Client, _data: Any, message: mqtt.MQTTMessage) -> None:
        payload = json.loads(message.payload)
        if not message.topic.endswith("/defect") or payload["event_id"] in self.events:
            return
        self._on_event(payload)
        with self._changed:
            self.events[payload["event_id"]] = payload
            self._changed.notify_all()

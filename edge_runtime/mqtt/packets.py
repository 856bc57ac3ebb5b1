"""MQTT 5 packets beyond topic and payload: properties, and messages that came to us."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

_HEAD_BYTES = 64  # more than the fixed header, the topic's length, the message id and the small properties take


@dataclass(frozen=True)
class Received:
    """A message from the broker. Nothing in it is to be trusted; `payload` may be any bytes.

    retained        its sender asked the broker to keep it
    response_topic  where an answer is wanted
    correlation     what the answer has to carry, so that the asker knows its question
    expiry          seconds after which it means nothing any more
    """

    topic: str
    payload: bytes = field(repr=False)
    retained: bool = False
    qos: int = 0
    response_topic: str | None = None
    correlation: bytes | None = None
    user_properties: tuple[tuple[str, str], ...] = ()
    expiry: int | None = None


@dataclass(frozen=True)
class Extras:
    """What a PUBLISH may carry beside topic and payload; expiry in seconds."""

    content_type: str | None = None
    expiry: int | None = None
    correlation: bytes | None = None
    user_properties: Sequence[tuple[str, str]] = ()

    def size(self) -> int:
        """Bytes it takes in the packet, or a few more."""
        pairs = sum(5 + len(name.encode()) + len(value.encode()) for name, value in self.user_properties)
        return pairs + len((self.content_type or "").encode()) + len(self.correlation or b"") + 16

    def properties(self) -> Properties:
        """As paho wants it."""
        properties = new_properties(PacketTypes.PUBLISH)
        if self.content_type is not None:
            properties.ContentType = self.content_type
        if self.expiry is not None:
            properties.MessageExpiryInterval = self.expiry
        if self.correlation is not None:
            properties.CorrelationData = self.correlation
        for pair in self.user_properties:
            properties.UserProperty = pair  # paho collects them in a list
        return properties


def packet_size(topic: str, payload: bytes, extras: Extras | None = None) -> int:
    """Bytes that a PUBLISH takes, or a few more: what a broker's maximum packet size is compared with."""
    return len(payload) + len(topic.encode()) + _HEAD_BYTES + (extras.size() if extras else 0)


def new_properties(packet: int) -> Properties:
    """Empty properties for a packet of this type."""
    return Properties(packet)  # type: ignore[no-untyped-call]  # paho annotates nothing there


def received(message: paho.MQTTMessage) -> Received:
    """The message as plain data. Raises UnicodeDecodeError when its topic is not UTF-8."""
    properties = message.properties
    return Received(
        topic=message.topic,
        payload=bytes(message.payload),
        retained=bool(message.retain),
        qos=message.qos,
        response_topic=getattr(properties, "ResponseTopic", None),
        correlation=getattr(properties, "CorrelationData", None),
        user_properties=tuple(getattr(properties, "UserProperty", ())),
        expiry=getattr(properties, "MessageExpiryInterval", None),
    )

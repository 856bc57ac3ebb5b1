"""What an MQTT 5 PUBLISH carries: the properties we send, and the messages we receive."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

# More than the fixed header, the length of the topic, the message id and the small properties take.
_HEADER_BYTES = 64


@dataclass(frozen=True)
class Received:
    """A message from the broker. Do not trust it: anybody may have sent it, and `payload` may be any bytes.

    retained        the broker kept it for us: its sender set the retain flag
    response_topic  where the sender expects the answer
    correlation     to be copied into the answer, so that the sender can match it with the request
    expiry          seconds for which the message is still valid
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
class PublishProperties:
    """The MQTT 5 properties of a PUBLISH.

    expiry          seconds after which the broker discards the message
    response_topic  where the answer is expected
    """

    content_type: str | None = None
    expiry: int | None = None
    correlation: bytes | None = None
    user_properties: Sequence[tuple[str, str]] = ()
    response_topic: str | None = None

    def size(self) -> int:
        """An upper bound of the bytes they take in the packet, a few bytes above the exact number."""
        pairs = sum(5 + len(name.encode()) + len(value.encode()) for name, value in self.user_properties)
        texts = sum(len((text or "").encode()) for text in (self.content_type, self.response_topic))
        return pairs + texts + len(self.correlation or b"") + 19

    def to_paho(self) -> Properties:
        """The same properties as an object of paho."""
        properties = new_properties(PacketTypes.PUBLISH)
        if self.content_type is not None:
            properties.ContentType = self.content_type
        if self.expiry is not None:
            properties.MessageExpiryInterval = self.expiry
        if self.correlation is not None:
            properties.CorrelationData = self.correlation
        if self.response_topic is not None:
            properties.ResponseTopic = self.response_topic
        for pair in self.user_properties:
            properties.UserProperty = pair  # paho appends to a list
        return properties


def packet_size(topic: str, payload: bytes, properties: PublishProperties | None = None) -> int:
    """An upper bound of the bytes of a PUBLISH, to compare with the broker's maximum packet size."""
    return len(payload) + len(topic.encode()) + _HEADER_BYTES + (properties.size() if properties else 0)


def topic_fault(topic: str) -> str | None:
    """Why nothing can be published on `topic`; None: MQTT allows it."""
    try:
        size = len(topic.encode())
    except UnicodeEncodeError:
        return "its topic is not UTF-8"
    if not 0 < size < 65536:
        return f"its topic has {size} bytes"
    found = next((character for character in "+#\0" if character in topic), None)
    return None if found is None else f"its topic contains {found!r}"


def new_properties(packet: int) -> Properties:
    """Empty properties for packets of this type (see paho's PacketTypes)."""
    return Properties(packet)  # type: ignore[no-untyped-call]  # paho has no annotations there


def received(message: paho.MQTTMessage) -> Received:
    """Convert a message of paho. Raises UnicodeDecodeError if its topic is not UTF-8."""
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

"""MQTT 5 reason codes that the station acts upon."""

from __future__ import annotations

NO_SUBSCRIBER = 0x10
FIRST_ERROR = 0x80  # smaller codes mean success
MALFORMED_PACKET = 0x81
PROTOCOL_ERROR = 0x82
NOT_AUTHORISED = 0x87
SESSION_TAKEN_OVER = 0x8E
TOPIC_NAME_INVALID = 0x90
PACKET_TOO_LARGE = 0x95
QUOTA_EXCEEDED = 0x97
PAYLOAD_FORMAT_INVALID = 0x99
RETAIN_NOT_SUPPORTED = 0x9A
QOS_NOT_SUPPORTED = 0x9B

_PERMANENT_REFUSALS = {
    0x84: "does not speak MQTT 5; use one that does, such as mosquitto 1.6 or later",
    0x85: "rejects this client id",
    0x86: "refuses the user name or password",
    NOT_AUTHORISED: "refuses the user name or password, or does not let this user in",
    0x8A: "has banned this client",
    0x8C: "requires another authentication method",
    TOPIC_NAME_INVALID: "does not accept the topic of the station's status; choose another mqtt.root or station.id",
    RETAIN_NOT_SUPPORTED: "keeps no retained messages, which a station needs for its status; allow them at the broker",
    QOS_NOT_SUPPORTED: "takes only messages of QoS 0, but events need QoS 1; allow it at the broker",
}
# Of a CONNACK: the broker is down or busy, a quota is used up, too many connections in a second.
TEMPORARY = {0x88, 0x89, QUOTA_EXCEEDED, 0x9F}
# Of a CONNACK: topic, retain flag and QoS, which only the will has.
ABOUT_THE_WILL = {TOPIC_NAME_INVALID, RETAIN_NOT_SUPPORTED, QOS_NOT_SUPPORTED}
_NAMES = {
    0x80: "no reason given",
    0x83: "it is made that way",
    NOT_AUTHORISED: "not authorised",
    TOPIC_NAME_INVALID: "it does not accept the topic",
    0x8F: "it does not accept the topic filter",
    PACKET_TOO_LARGE: "too large",
    QUOTA_EXCEEDED: "a quota is used up",
    PAYLOAD_FORMAT_INVALID: "it does not accept the format",
    0x9E: "it has no shared subscriptions",
    0xA2: "it has no subscriptions with wildcards",
}


def describe(reason: int) -> str:
    """What a reason code means, with its number."""
    name = _NAMES.get(reason)
    return f"{name}, MQTT reason 0x{reason:02X}" if name else f"MQTT reason 0x{reason:02X}"


def permanent_refusal(connack: int) -> str | None:
    """What the broker says with this CONNACK, if only a change of the YAML or of the broker helps; else None."""
    return _PERMANENT_REFUSALS.get(connack)


def concerns_credentials(connack: int) -> bool:
    """Whether this CONNACK is about the user name or password."""
    return connack in (0x86, NOT_AUTHORISED)

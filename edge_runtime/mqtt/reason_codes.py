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

_PERMANENT_REFUSALS = {
    0x84: "does not speak MQTT 5",
    0x85: "rejects this client id",
    0x86: "refuses the user name or password",
    NOT_AUTHORISED: "refuses the user name or password, or does not let this user in",
    0x8A: "has banned this client",
    0x8C: "requires another authentication method",
}


def permanent_refusal(connack: int) -> str | None:
    """What the broker says with this CONNACK, if only a change of the YAML or of the broker helps; else None."""
    return _PERMANENT_REFUSALS.get(connack)


def concerns_credentials(connack: int) -> bool:
    """Whether this CONNACK is about the user name or password."""
    return connack in (0x86, NOT_AUTHORISED)

"""Messages that are not spooled: each goes out on the present connection or is dropped."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

from edge_runtime.mqtt.connection import Connection
from edge_runtime.mqtt.packets import PublishProperties, packet_size

_log = logging.getLogger(__name__)
_MAX_IN_FLIGHT = {0: 64, 1: 32}  # by QoS: pictures, results and health; answers to commands


@dataclass(frozen=True)
class TransientMessage:
    """A message of QoS 0 or 1."""

    topic: str
    payload: bytes = field(repr=False)
    qos: int
    properties: PublishProperties = field(repr=False)


class TransientMessages:
    """Limits how many are in flight: paho's queue is unbounded for QoS 0, so a stalled connection would fill memory.

    Any thread may call `admit`; the rest belongs to the sender thread. A message is in flight until it is written to
    the socket (QoS 0) or confirmed (QoS 1).

    dropped  messages that did not go out
    """

    def __init__(self) -> None:
        self._slots = {qos: threading.BoundedSemaphore(count) for qos, count in _MAX_IN_FLIGHT.items()}
        self._in_flight: dict[int, int] = {}  # message id -> QoS
        self.dropped = 0

    def admit(self, message: TransientMessage, connected: bool, max_packet_bytes: int | None) -> bool:
        """Whether `message` may be sent: then it has a slot, and `send` must follow. Otherwise it is dropped."""
        size = packet_size(message.topic, message.payload, message.properties)
        fits = max_packet_bytes is None or size <= max_packet_bytes
        admitted = connected and fits and self._slots[message.qos].acquire(blocking=False)
        self.dropped += not admitted
        return admitted

    def send(self, connection: Connection | None, message: TransientMessage) -> None:
        """Publish an admitted message, or drop it if that is not possible."""
        mid = None
        if connection is not None:
            try:
                mid = connection.publish(message.topic, message.payload, qos=message.qos, properties=message.properties)
            except ValueError as error:  # paho rejects the topic or a property
                _log.warning("a message for %r cannot be sent (%s)", message.topic, error)
        if mid is None:
            self._slots[message.qos].release()
            self.dropped += 1
            return
        self._in_flight[mid] = message.qos

    def acked(self, mid: int) -> None:
        """Message `mid` was written or confirmed. Ids of other messages are ignored."""
        qos = self._in_flight.pop(mid, None)
        if qos is not None:
            self._slots[qos].release()

    def end(self) -> None:
        """The connection ended: messages in flight are lost and their slots are free."""
        for mid in list(self._in_flight):
            self.acked(mid)

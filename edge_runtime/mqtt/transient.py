"""Messages that nobody keeps: each goes out on the present connection or not at all."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field

from edge_runtime.mqtt.connection import Connection
from edge_runtime.mqtt.packets import Extras, packet_size

_log = logging.getLogger(__name__)
_ROOM = {0: 64, 1: 32}  # QoS -> messages on their way at most; pictures and the like, and answers


@dataclass(frozen=True)
class TransientMessage:
    """One of them, QoS 0 or 1."""

    topic: str
    payload: bytes = field(repr=False)
    qos: int
    extras: Extras = field(repr=False)


class TransientMessages:
    """Counts those on their way, for paho's own queue has no bound for QoS 0: a line that hangs would fill the memory.

    `admit` may be called by any thread; the rest belongs to the sender. A message has its room until it is written to
    the socket (QoS 0) or confirmed (QoS 1).
    """

    def __init__(self) -> None:
        self._rooms = {qos: threading.BoundedSemaphore(count) for qos, count in _ROOM.items()}
        self._in_flight: dict[int, int] = {}  # message id -> QoS

    def admit(self, message: TransientMessage, limit: int | None) -> bool:
        """Whether there is room for it and it takes no more than `limit` bytes; then `send` must follow."""
        fits = limit is None or packet_size(message.topic, message.payload, message.extras) <= limit
        return fits and self._rooms[message.qos].acquire(blocking=False)

    def send(self, connection: Connection | None, message: TransientMessage) -> bool:
        """Publish an admitted message; False when it was not taken."""
        mid = None
        if connection is not None:
            try:
                mid = connection.publish(message.topic, message.payload, qos=message.qos, extras=message.extras)
            except ValueError as error:  # paho's word on a topic or a property
                _log.warning("a message for %r cannot be sent (%s)", message.topic, error)
        if mid is None:
            self._rooms[message.qos].release()
            return False
        self._in_flight[mid] = message.qos
        return True

    def acked(self, mid: int) -> None:
        """Message `mid` is written or confirmed. Ids of other messages are ignored."""
        qos = self._in_flight.pop(mid, None)
        if qos is not None:
            self._rooms[qos].release()

    def end(self) -> None:
        """The connection is over, and what was on its way with it."""
        for mid in list(self._in_flight):
            self.acked(mid)

"""Which events are in flight, which are confirmed, and what happens to events that the broker refuses."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress

from edge_runtime.mqtt.connection import WINDOW, Connection
from edge_runtime.mqtt.events import stamp
from edge_runtime.mqtt.packets import packet_size
from edge_runtime.mqtt.reason_codes import (
    FIRST_ERROR,
    NO_SUBSCRIBER,
    NOT_AUTHORISED,
    PACKET_TOO_LARGE,
    PAYLOAD_FORMAT_INVALID,
    QUOTA_EXCEEDED,
    TOPIC_NAME_INVALID,
)
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.pacing import Backoff

_log = logging.getLogger(__name__)
# PUBACK reasons that concern one event: the broker will refuse it again, but may accept others.
_UNDELIVERABLE = {
    TOPIC_NAME_INVALID: "it does not accept their topic",
    PACKET_TOO_LARGE: "they are too large",
    PAYLOAD_FORMAT_INVALID: "it does not accept their format",
}
_REFUSED = {NOT_AUTHORISED: "this user may not publish them", QUOTA_EXCEEDED: "a quota is used up"}


class Delivery:
    """Sends spooled events in order, at most WINDOW of them without PUBACK, and removes confirmed ones from the spool.

    Used by one thread. After a refusal it sends nothing until a pause is over and no event is in flight. Then it
    starts again at the oldest event left, one at a time until the broker accepts one. So at most WINDOW - 1 events
    arrive before an older one that was refused; their `seq` shows it.

    An event that this broker can never accept stays in the spool and is skipped until the next connection.

    on_fault  called with (code, sentence or None); the codes are `broker_events` (refused for now),
              `broker_events.never` (skipped) and `spool.remove` (the disk does not let confirmed events be deleted)
    """

    def __init__(self, spool: Spool, on_fault: Callable[[str, str | None], None]) -> None:
        self._spool = spool
        self._on_fault = on_fault
        self._in_flight: dict[int, tuple[int, float]] = {}  # message id -> (seq, time.monotonic() when sent)
        self._confirmed: set[int] = set()  # and still in the spool
        self._skipped: set[int] = set()
        self._cursor = 0  # seq of the event sent last on this connection
        self._first_live_seq = 0  # smaller ones were spooled before this connection
        self._window = WINDOW
        self._max_packet_bytes: int | None = None  # that the broker accepts
        self._refusals = Backoff(1.0, 60.0)
        self.resume_at: float | None = None  # after a refusal: send nothing before this time
        self.published = 0
        self.unheard = 0

    def begin(self, max_packet_bytes: int | None = None) -> None:
        """Start on a new connection. All events in the spool are sent again, as replayed."""
        self.end()
        self._max_packet_bytes = max_packet_bytes
        self._skipped.clear()
        self._on_fault("broker_events.never", None)
        with suppress(sqlite3.Error):  # on a full disk, expire another time
            self._spool.expire()
        self._first_live_seq = self._spool.last_seq + 1

    def end(self) -> None:
        """The connection ended: events in flight count as not sent."""
        self._in_flight.clear()
        self._cursor = 0
        self.resume_at = None

    @property
    def idle(self) -> bool:
        """Whether no event is in flight and none is left that this connection can send."""
        return not self._in_flight and not self._confirmed and len(self._spool) <= len(self._skipped)

    def oldest_seconds(self) -> float:
        """How long the oldest event in flight has waited for its PUBACK, seconds; 0 if none is in flight."""
        return max((time.monotonic() - sent_at for _, sent_at in self._in_flight.values()), default=0.0)

    def send(self, connection: Connection) -> None:
        """Fill the window."""
        if self.resume_at is not None:
            if self._in_flight or time.monotonic() < self.resume_at:
                return
            self.resume_at, self._cursor = None, 0
        while (room := self._window - len(self._in_flight)) > 0:
            waiting = self._spool.waiting(self._cursor, room)
            if not waiting:
                return
            for spooled in waiting:
                if spooled.seq not in self._confirmed and spooled.seq not in self._skipped:
                    event = stamp(spooled.body, spooled.seq, replayed=spooled.seq < self._first_live_seq)
                    limit = self._max_packet_bytes
                    if limit is not None and packet_size(spooled.topic, event) > limit:
                        self._skip(spooled.seq, PACKET_TOO_LARGE)
                    else:
                        mid = connection.publish(spooled.topic, event, qos=1)
                        if mid is None:
                            return  # the connection is ending; its Disconnected follows
                        self._in_flight[mid] = (spooled.seq, time.monotonic())
                self._cursor = spooled.seq

    def acked(self, mid: int, reason: int) -> None:
        """Handle the PUBACK of message `mid`. Message ids that do not belong to an event are ignored."""
        seq, _ = self._in_flight.pop(mid, (None, 0.0))
        if seq is None:
            return
        if reason in _UNDELIVERABLE:
            self._skip(seq, reason)
        elif reason >= FIRST_ERROR:
            self._refused(reason)
            return
        else:
            self._confirmed.add(seq)
            self.published += 1
            self.unheard += reason == NO_SUBSCRIBER
        if self.resume_at is None:
            self._window = WINDOW
            self._refusals.reset()
            self._on_fault("broker_events", None)

    def remove_confirmed(self) -> None:
        """Remove confirmed events from the spool. If the disk fails, the next call tries again."""
        if not self._confirmed:
            return
        try:
            self._spool.remove(sorted(self._confirmed))
        except sqlite3.Error as error:
            sentence = f"confirmed events cannot be removed from the spool ({error}); they may be sent twice"
            self._on_fault("spool.remove", sentence)
            return
        self._confirmed.clear()
        self._on_fault("spool.remove", None)

    def _skip(self, seq: int, reason: int) -> None:
        _log.error("the broker does not accept event %d (MQTT reason 0x%02X)", seq, reason)
        self._skipped.add(seq)
        too_large = reason == PACKET_TOO_LARGE and self._max_packet_bytes
        limit = f" (its limit is {self._max_packet_bytes} bytes)" if too_large else ""
        self._on_fault(
            "broker_events.never",
            f"the broker does not accept {len(self._skipped)} of the events: {_UNDELIVERABLE[reason]}{limit}; they "
            "stay in the spool",
        )

    def _refused(self, reason: int) -> None:
        why = _REFUSED.get(reason, f"MQTT reason 0x{reason:02X}")
        self._on_fault("broker_events", f"the broker refuses events: {why}; they stay in the spool and are sent again")
        if self.resume_at is None:  # one pause for all refusals of a window
            pause = self._refusals.longest() if reason == NOT_AUTHORISED else self._refusals.pause()
            self.resume_at = time.monotonic() + pause
        self._window = 1

"""Which events are in flight, which are confirmed, and what happens to events that the broker refuses."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from edge_runtime.mqtt.connection import WINDOW, Connection
from edge_runtime.mqtt.events import stamp
from edge_runtime.mqtt.packets import packet_size, topic_fault
from edge_runtime.mqtt.reason_codes import (
    FIRST_ERROR,
    MALFORMED_PACKET,
    NO_SUBSCRIBER,
    NOT_AUTHORISED,
    PACKET_TOO_LARGE,
    PAYLOAD_FORMAT_INVALID,
    PROTOCOL_ERROR,
    QUOTA_EXCEEDED,
    TOPIC_NAME_INVALID,
)
from edge_runtime.mqtt.spool.spool import Spool, SpooledEvent
from edge_runtime.mqtt.suspects import TRIALS, Suspects
from edge_runtime.pacing import Backoff
from latentline.errors import ConfigError

_log = logging.getLogger(__name__)
# PUBACK reasons that concern one event: the broker will refuse it again, but may accept others.
_UNDELIVERABLE = {
    TOPIC_NAME_INVALID: "it does not accept the topic",
    PACKET_TOO_LARGE: "it is too large",
    PAYLOAD_FORMAT_INVALID: "it does not accept the format",
}
# Reasons of a DISCONNECT by which a broker may answer an event that it can never take.
_ENDS = {MALFORMED_PACKET, PROTOCOL_ERROR, TOPIC_NAME_INVALID, PACKET_TOO_LARGE, PAYLOAD_FORMAT_INVALID}
_REFUSALS = 5  # of an event, for a reason that says nothing
_NOT_AUTHORISED_SECONDS = 60.0  # until events that the user may not publish are sent again


@dataclass(frozen=True)
class _Sent:
    """An event in flight. at: time.monotonic()."""

    seq: int
    topic: str
    at: float


class Delivery:
    """Sends spooled events in order, at most WINDOW of them without PUBACK, and removes confirmed ones from the spool.

    Used by one thread. After a refusal it sends nothing until a pause is over and no event is in flight. Then it
    starts again at the oldest event left, one at a time until the broker accepts one. So at most WINDOW - 1 events
    arrive before an older one that was refused; their `seq` shows it. Where the user may not publish on one topic, only
    the events of that topic wait, and are tried again every minute.

    An event that can never be delivered becomes a dead letter of the spool: at once if MQTT does not allow its topic or
    the broker says that it will never take it; after some tries if the broker closes the connection upon it, or refuses
    it without a telling reason (see suspects.py).

    on_fault  called with (code, sentence or None); the codes are `broker_events` (refused for now),
              `broker_events.never` (dead letters), `spool.remove` (the disk does not let confirmed events be deleted),
              `spool_file` (damage was found) and `spool.open` (the disk is so full that there is no spool)
    """

    def __init__(self, spool: Spool, on_fault: Callable[[str, str | None], None]) -> None:
        self._spool = spool
        self._on_fault = on_fault
        self._in_flight: dict[int, _Sent] = {}  # by message id
        self._confirmed: set[int] = set()  # and still in the spool
        self._skipped: set[int] = set()  # dead letters that the disk does not let us move
        self._buried = 0
        self._generation = spool.generation
        self._suspects = Suspects()
        self._refused_times: Counter[int] = Counter()  # by seq
        self._cursor = 0  # seq of the event sent last on this connection
        self._first_live_seq = 0  # smaller ones were spooled before this connection
        self._window = WINDOW
        self._forbidden: set[str] = set()  # topics on which the user may not publish, as far as we know
        self._held: set[str] = set()  # those of them that are not tried now
        self._try_held_at = 0.0  # time.monotonic()
        self._max_packet_bytes: int | None = None  # that the broker accepts
        self._refusals = Backoff(1.0, 60.0)
        self.resume_at: float | None = None  # after a refusal: send nothing before this time
        self.published = 0
        self.unheard = 0

    def begin(self, max_packet_bytes: int | None = None) -> None:
        """Start on a new connection. All events in the spool are sent again, as replayed."""
        self.end()
        self._suspects.begin()
        self._max_packet_bytes = max_packet_bytes
        self._skipped.clear()
        self._forbidden.clear()
        self._held.clear()
        with suppress(sqlite3.Error):  # on a full disk, expire another time
            self._spool.expire()
        self._first_live_seq = self._spool.last_seq + 1

    def ended(self, *, closed_by_broker: bool, reason: int) -> bool:
        """The connection ended by itself. Returns whether the event that was in flight may be why.

        reason: of the DISCONNECT, 0 if there was none
        """
        seqs = [sent.seq for sent in self._in_flight.values()]
        self.end()
        if not seqs or not (closed_by_broker or reason in _ENDS):
            return False
        if (guilty := self._suspects.ended(seqs)) is not None:
            self._bury(guilty, f"the broker closes the connection upon it, {TRIALS} times in a row")
        return len(seqs) == 1 or reason in _ENDS

    def end(self) -> None:
        """The connection is given up: events in flight count as not sent."""
        self._in_flight.clear()
        self._cursor = 0
        self.resume_at = None

    @property
    def idle(self) -> bool:
        """Whether no event is in flight and none is left that this connection can send."""
        return not self._in_flight and not self._confirmed and len(self._spool) <= len(self._skipped)

    def oldest_seconds(self) -> float:
        """How long the oldest event in flight has waited for its PUBACK, seconds; 0 if none is in flight."""
        return max((time.monotonic() - sent.at for sent in self._in_flight.values()), default=0.0)

    def send(self, connection: Connection) -> None:
        """Fill the window."""
        if self.resume_at is not None:
            if self._in_flight or time.monotonic() < self.resume_at:
                return
            self.resume_at, self._cursor = None, 0
        if self._held and time.monotonic() >= self._try_held_at:
            self._held.clear()
            self._cursor, self._window = 0, 1
        if (suspect := self._suspects.next) is not None:
            if not self._in_flight:
                self._try(connection, suspect)
            return
        if self._generation != self._spool.generation:  # events may be back below the cursor
            self._generation, self._cursor = self._spool.generation, 0
        while (room := self._room) > 0:
            waiting = self._spool.waiting(self._cursor, room)
            if not waiting:
                return
            in_flight = {sent.seq for sent in self._in_flight.values()}
            for spooled in waiting:
                if self._may_go(spooled, in_flight) and not self._publish(connection, spooled):
                    return  # the connection is ending; its Disconnected follows
                self._cursor = spooled.seq

    def _may_go(self, spooled: SpooledEvent, in_flight: set[int]) -> bool:
        seq = spooled.seq
        done = seq in self._confirmed or seq in self._skipped or seq in in_flight
        return not (done or seq in self._suspects or spooled.topic in self._held)

    def _try(self, connection: Connection, seq: int) -> None:
        """Send a suspect alone."""
        spooled = next(iter(self._spool.waiting(seq - 1, 1)), None)
        if spooled is None or spooled.seq != seq:  # it was dropped
            self._suspects.clear(seq)
        elif self._publish(connection, spooled):
            self._suspects.trial(seq)

    @property
    def _room(self) -> int:
        """How many events may be sent now."""
        oldest = min((sent.seq for sent in self._in_flight.values()), default=self._cursor + 1)
        return (1 if self._suspects.alone(oldest) else self._window) - len(self._in_flight)

    def _publish(self, connection: Connection, spooled: SpooledEvent) -> bool:
        """Send one event, or make a dead letter of it. Returns False if the connection does not take it."""
        event = stamp(spooled.body, spooled.seq, replayed=spooled.seq < self._first_live_seq)
        limit = self._max_packet_bytes
        if (fault := topic_fault(spooled.topic)) is not None:
            self._bury(spooled.seq, fault)
        elif limit is not None and packet_size(spooled.topic, event) > limit:
            self._bury(spooled.seq, f"it is larger than the broker takes ({limit} bytes)")
        else:
            try:
                mid = connection.publish(spooled.topic, event, qos=1)
            except ValueError as error:
                self._bury(spooled.seq, f"MQTT does not allow it ({error})")
                return True
            if mid is None:
                return False
            self._in_flight[mid] = _Sent(spooled.seq, spooled.topic, time.monotonic())
        return True

    def acked(self, mid: int, reason: int) -> None:
        """Handle the PUBACK of message `mid`. Message ids that do not belong to an event are ignored."""
        sent = self._in_flight.pop(mid, None)
        if sent is None:
            return
        self._suspects.clear(sent.seq)
        if reason in _UNDELIVERABLE:
            self._bury(sent.seq, f"the broker does not take it: {_UNDELIVERABLE[reason]} (MQTT reason 0x{reason:02X})")
        elif reason == NOT_AUTHORISED:
            self._hold(sent.topic)
            return
        elif reason >= FIRST_ERROR:
            self._refused(reason)
            if reason != QUOTA_EXCEEDED:
                self._refused_times[sent.seq] += 1
                if self._refused_times[sent.seq] >= _REFUSALS:
                    self._bury(
                        sent.seq, f"the broker refuses it (MQTT reason 0x{reason:02X}), {_REFUSALS} times in a row"
                    )
            return
        else:
            self._confirmed.add(sent.seq)
            self._suspects.confirmed()
            self._refused_times.pop(sent.seq, None)
            self._forbidden.discard(sent.topic)
            self.published += 1
            self.unheard += reason == NO_SUBSCRIBER
        if self.resume_at is None:
            self._window = WINDOW
            self._refusals.reset()
            if not self._forbidden:
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

    def check_spool(self) -> None:
        """Find out whether something has happened to the files of the spool. Call it twice a second."""
        damage: str | None = None
        try:
            self._spool.check()
        except (sqlite3.Error, OSError) as error:
            damage = f"the spool was damaged, and cannot be repaired now ({error})"
        except ConfigError as error:
            damage = str(error)
        self._on_fault("spool_file", damage or self._spool.set_aside)
        closed = self._spool.unusable
        self._on_fault("spool.open", closed and f"{closed}; an event is lost unless its frame can be inspected again")

    def _bury(self, seq: int, why: str) -> None:
        _log.error("event %d cannot be delivered: %s", seq, why)
        self._suspects.clear(seq)
        self._refused_times.pop(seq, None)
        self._buried += 1
        try:
            self._spool.bury(seq, why)
        except sqlite3.Error as error:
            _log.warning("event %d cannot be moved to the dead letters (%s)", seq, error)
            self._skipped.add(seq)
        sentence = f"event {seq} can never be delivered and is a dead letter now: {why}"
        if self._buried > 1:
            sentence = f"{self._buried} events can never be delivered and are dead letters now; event {seq}: {why}"
        self._on_fault("broker_events.never", sentence)

    def _hold(self, topic: str) -> None:
        """Leave the events of a topic in the spool, and go on with the others."""
        if topic not in self._held:
            self._try_held_at = time.monotonic() + _NOT_AUTHORISED_SECONDS
        self._forbidden.add(topic)
        self._held.add(topic)
        self._report_refusal(f"this user may not publish on {', '.join(sorted(self._forbidden))}")

    def _refused(self, reason: int) -> None:
        self._report_refusal("a quota is used up" if reason == QUOTA_EXCEEDED else f"MQTT reason 0x{reason:02X}")
        if self.resume_at is None:  # one pause for all refusals of a window
            self.resume_at = time.monotonic() + self._refusals.pause()
        self._window = 1

    def _report_refusal(self, why: str) -> None:
        self._on_fault("broker_events", f"the broker refuses events: {why}; they stay in the spool and are sent again")

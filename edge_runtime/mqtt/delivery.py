"""Which events are on the way, which have arrived, and what to do with those the broker refuses."""

from __future__ import annotations

import logging
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress

from edge_runtime.mqtt.connection import NO_SUBSCRIBER, NOT_AUTHORISED, QUOTA_EXCEEDED, WINDOW, Connection
from edge_runtime.mqtt.events import stamp
from edge_runtime.mqtt.packets import packet_size
from edge_runtime.mqtt.spool.spool import Spool
from edge_runtime.pacing import Backoff

_log = logging.getLogger(__name__)
_SUCCESS_BELOW = 0x80  # MQTT 5 reason codes
_TOO_LARGE = 0x95
# PUBACK reasons that speak of this one event: sending it again, or nothing else meanwhile, would not help.
_NEVER = {0x90: "their topic is not accepted", _TOO_LARGE: "they are too large", 0x99: "their format is not accepted"}


class Delivery:
    """Hands spooled events to the connection, WINDOW without PUBACK at a time, and removes what was confirmed.

    Used by one thread. Order is the spool's. After a refusal nothing new is handed over until the pause is over and
    everything on the way is settled; then it goes on from the oldest event that is left, one at a time until one is
    taken. So what was on the way behind the first refused event arrives before it, at most WINDOW - 1: `seq` tells
    An event that this broker can never take is left on the disk, said, and passed over until the next connection.

    on_fault  (code, sentence or None); the codes are `broker_events` (refused for now), `broker_events.never` (passed
              over) and `spool.remove` (the disk does not let confirmed events go)
    """

    def __init__(self, spool: Spool, on_fault: Callable[[str, str | None], None]) -> None:
        self._spool = spool
        self._on_fault = on_fault
        self._in_flight: dict[int, tuple[int, float]] = {}  # message id -> (seq, handed over at)
        self._confirmed: set[int] = set()  # arrived, and still on the disk
        self._passed_over: set[int] = set()
        self._cursor = 0  # the seq handed over last on this connection
        self._live_from = 0  # smaller seqs were spooled before this connection
        self._window = WINDOW
        self._largest: int | None = None  # packet that the broker takes, bytes
        self._refusals = Backoff(1.0, 60.0)
        self.resume_at: float | None = None  # events were refused: nothing new until then
        self.published = 0
        self.unheard = 0

    def begin(self, largest_packet: int | None = None) -> None:
        """A connection stands: what is spooled by now is replayed on it, all that had no PUBACK before included."""
        self.end()
        self._largest = largest_packet
        self._passed_over.clear()
        self._on_fault("broker_events.never", None)
        with suppress(sqlite3.Error):  # a full disk drops nothing today
            self._spool.expire()
        self._live_from = self._spool.last_seq + 1

    def end(self) -> None:
        """The connection is over; events on the way count as not sent."""
        self._in_flight.clear()
        self._cursor = 0
        self.resume_at = None

    @property
    def idle(self) -> bool:
        """Whether nothing waits that this connection can take, and nothing is on the way."""
        return not self._in_flight and not self._confirmed and len(self._spool) <= len(self._passed_over)

    def oldest_seconds(self) -> float:
        """How long the oldest event on the way has waited for its PUBACK; 0 when there is none."""
        return max((time.monotonic() - handed for _, handed in self._in_flight.values()), default=0.0)

    def hand_over(self, connection: Connection) -> None:
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
                if spooled.seq not in self._confirmed and spooled.seq not in self._passed_over:
                    event = stamp(spooled.body, spooled.seq, replayed=spooled.seq < self._live_from)
                    if self._largest is not None and packet_size(spooled.topic, event) > self._largest:
                        self._pass_over(spooled.seq, _TOO_LARGE)
                    else:
                        mid = connection.publish(spooled.topic, event, qos=1)
                        if mid is None:
                            return  # the connection is ending, and its Disconnected is on the way
                        self._in_flight[mid] = (spooled.seq, time.monotonic())
                self._cursor = spooled.seq

    def acked(self, mid: int, reason: int) -> None:
        """The broker's word on message `mid`. Ids that are not an event's are ignored."""
        seq, _ = self._in_flight.pop(mid, (None, 0.0))
        if seq is None:
            return
        if reason in _NEVER:
            self._pass_over(seq, reason)
        elif reason >= _SUCCESS_BELOW:
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
        """Take confirmed events off the disk. Where it does not let them go, the next call tries again."""
        if not self._confirmed:
            return
        try:
            self._spool.remove(sorted(self._confirmed))
        except sqlite3.Error as error:
            self._on_fault("spool.remove", f"confirmed events cannot leave the disk ({error}); they may come twice")
            return
        self._confirmed.clear()
        self._on_fault("spool.remove", None)

    def _pass_over(self, seq: int, reason: int) -> None:
        _log.error("event %d is not taken by the broker (MQTT reason 0x%02X)", seq, reason)
        self._passed_over.add(seq)
        count = len(self._passed_over)
        limit = f" (it takes {self._largest} bytes)" if reason == _TOO_LARGE and self._largest else ""
        self._on_fault(
            "broker_events.never",
            f"the broker does not take {count} of the events: {_NEVER[reason]}{limit}; they are kept on the disk",
        )

    def _refused(self, reason: int) -> None:
        known = {NOT_AUTHORISED: "this user may not publish them", QUOTA_EXCEEDED: "a quota is used up"}
        why = known.get(reason, f"MQTT reason 0x{reason:02X}")
        self._on_fault("broker_events", f"the broker refuses events: {why}; they are kept and sent again")
        if self.resume_at is None:  # the others of this window tell nothing new
            pause = self._refusals.longest() if reason == NOT_AUTHORISED else self._refusals.pause()
            self.resume_at = time.monotonic() + pause
        self._window = 1

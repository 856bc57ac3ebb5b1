"""Which events are on the way, which have arrived, and what to do with those the broker refuses."""

from __future__ import annotations

import time
from collections.abc import Callable

from edge_runtime.backoff import Backoff
from edge_runtime.mqtt.connection import NO_SUBSCRIBER, NOT_AUTHORISED, QUOTA_EXCEEDED, WINDOW, Connection
from edge_runtime.mqtt.events import stamp
from edge_runtime.mqtt.spool import Spool

_SUCCESS_BELOW = 0x80  # MQTT 5 reason codes


class Delivery:
    """Hands spooled events to the connection, WINDOW without PUBACK at a time, and removes what was confirmed.

    Used by one thread. Order is the spool's. After a refusal nothing new is handed over until the pause is over and
    everything on the way is settled; then it goes on from the oldest event that is left. So events that were on the
    way behind a refused one arrive before it: at most WINDOW - 1 of them, and `seq` tells.
    on_fault  (code, sentence or None); the code is `broker_events`
    """

    def __init__(self, spool: Spool, on_fault: Callable[[str, str | None], None]) -> None:
        self._spool = spool
        self._on_fault = on_fault
        self._in_flight: dict[int, tuple[int, float]] = {}  # message id -> (seq, handed over at)
        self._confirmed: list[int] = []
        self._cursor = 0  # the seq handed over last on this connection
        self._live_from = 0  # smaller seqs were spooled before this connection
        self._refusals = Backoff(1.0, 60.0)
        self.resume_at: float | None = None  # events were refused: nothing new until then
        self.published = 0
        self.unheard = 0

    def begin(self) -> None:
        """A connection stands: what is spooled by now is replayed on it, all that had no PUBACK before included."""
        self.end()
        self._live_from = self._spool.last_seq + 1

    def end(self) -> None:
        """The connection is over; events on the way count as not sent."""
        self._in_flight.clear()
        self._cursor = 0
        self.resume_at = None

    @property
    def idle(self) -> bool:
        """Whether nothing waits and nothing is on the way."""
        return not self._in_flight and not self._confirmed and not len(self._spool)

    def oldest_seconds(self) -> float:
        """How long the oldest event on the way has waited for its PUBACK; 0 when there is none."""
        return max((time.monotonic() - handed for _, handed in self._in_flight.values()), default=0.0)

    def hand_over(self, connection: Connection) -> None:
        """Fill the window."""
        if self.resume_at is not None:
            if self._in_flight or time.monotonic() < self.resume_at:
                return
            self.resume_at, self._cursor = None, 0
        while (room := WINDOW - len(self._in_flight)) > 0:
            waiting = self._spool.waiting(self._cursor, room)
            if not waiting:
                return
            for spooled in waiting:
                event = stamp(spooled.body, spooled.seq, replayed=spooled.seq < self._live_from)
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
        if reason >= _SUCCESS_BELOW:
            self._refused(reason)
            return
        self._confirmed.append(seq)
        self.published += 1
        self.unheard += reason == NO_SUBSCRIBER
        if self.resume_at is None:
            self._refusals.reset()
            self._on_fault("broker_events", None)

    def remove_confirmed(self) -> None:
        """Take confirmed events off the disk. After a sqlite3.Error the next call tries again."""
        if self._confirmed:
            self._spool.remove(self._confirmed)
            self._confirmed = []

    def _refused(self, reason: int) -> None:
        known = {NOT_AUTHORISED: "this user may not publish them", QUOTA_EXCEEDED: "a quota is used up"}
        why = known.get(reason, f"MQTT reason 0x{reason:02X}")
        self._on_fault("broker_events", f"the broker refuses events: {why}; they are kept and sent again")
        pause = self._refusals.longest() if reason == NOT_AUTHORISED else self._refusals.pause()
        self.resume_at = self.resume_at or time.monotonic() + pause

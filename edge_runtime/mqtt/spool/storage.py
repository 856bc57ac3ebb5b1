"""What can be done with an open spool: each time one transaction of the database, and then its copies."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from edge_runtime.mqtt.events import now
from edge_runtime.mqtt.spool import file as spool_file
from edge_runtime.mqtt.spool.copies import SpoolCopies
from edge_runtime.mqtt.spool.file_watch import FileWatch
from edge_runtime.mqtt.spool.limits import SpoolLimits
from edge_runtime.mqtt.spool.rebuilding import OpenedSpool
from edge_runtime.mqtt.spool.stored import StoredEvent, intact
from edge_runtime.mqtt.spool.survey import read_dead


class SpoolStorage:
    """An open spool. Not thread-safe. The methods raise sqlite3.Error: when the disk is full, or the file is damaged.

    watch  is told when a file was replaced

    totals   its counters
    waiting  numbers of the events in it; dead: of its dead letters
    """

    def __init__(self, opened: OpenedSpool, copies: SpoolCopies, limits: SpoolLimits, watch: FileWatch) -> None:
        self.database = opened.database
        self.totals, self.waiting, self.dead = opened.totals, opened.waiting, opened.dead
        self._copies, self._limits, self._watch = copies, limits, watch
        self._opened = time.monotonic()
        self._oldest = min(self.waiting, default=self.totals.last_seq + 1)
        with suppress(sqlite3.OperationalError):
            self._reserve(self.totals.last_seq)
        copies.mark.note(self._oldest, self.totals.last_seq)

    def insert(self, rows: Sequence[tuple[bytes, bytes]]) -> list[int]:
        """Write events (topic, body), drop those beyond the limits, and return the numbers of the new ones."""
        first = self.totals.last_seq + 1
        now_ = self._clock()
        events = [StoredEvent(seq, topic, body, now_) for seq, (topic, body) in enumerate(rows, first)]
        self.database.execute("PRAGMA synchronous = FULL")
        self._reserve(first + len(rows) - 1)
        with self.database as transaction:
            spool_file.insert(transaction, events)
            totals = self.totals.plus(len(rows), sum(event.size for event in events))
            totals, dropped = self._limits.trim(transaction, totals, now_)
            if totals != self.totals:
                spool_file.save_totals(transaction, totals, now_)
        self.totals = totals
        self.waiting.update(event.seq for event in events)
        self.waiting.difference_update(dropped)
        self._copies.added([event for event in events if event.seq in self.waiting], totals, self._advance())
        if dropped:
            self._copies.note(totals)
        return [event.seq for event in events]

    def select(self, after: int, limit: int) -> list[StoredEvent]:
        """The oldest events with seq > `after`, in order, `limit` at most."""
        query = f"SELECT {spool_file.COLUMNS} FROM event WHERE seq > ? ORDER BY seq LIMIT ?"
        rows = self.database.execute(query, (after, limit)).fetchall()
        events = [intact(row) for row in rows]
        if any(event is None for event in events):
            raise sqlite3.DatabaseError(f"event {rows[events.index(None)][0]} is not what was written")
        if not rows and spool_file.count(self.database) != self.totals.events:  # few are left, so counting is quick
            raise sqlite3.DatabaseError("events are missing from it")
        return [event for event in events if event is not None]

    def delete(self, confirmed: Sequence[int]) -> None:
        """Delete events that the broker has confirmed. This is not flushed to the disk."""
        seqs = [seq for seq in dict.fromkeys(confirmed) if seq in self.waiting]  # the others have been dropped
        self._copies.removed(seqs, self.totals)  # first: a crash between the two must not look like a lost event
        totals, query = self.totals, f"DELETE FROM event WHERE seq = ? RETURNING {spool_file.SIZE}"
        self.database.execute("PRAGMA synchronous = NORMAL")  # `insert` asks for FULL again
        with self.database as transaction:
            for seq in seqs:
                for (size,) in transaction.execute(query, (seq,)).fetchall():
                    totals = totals.minus(size)
        self.totals = totals
        self.waiting.difference_update(seqs)
        self._copies.mark.note(self._advance(), totals.last_seq)
        with suppress(OSError):
            self._copies.second.forget(self._oldest)

    def bury(self, seq: int, reason: str) -> None:
        """Make a dead letter of an event."""
        event = next((event for event in self.select(seq - 1, 1) if event.seq == seq), None)
        if event is None:  # it was dropped
            return
        moved_at = now()
        self.database.execute("PRAGMA synchronous = FULL")
        with self.database as transaction:
            spool_file.bury(transaction, event, reason, moved_at)
            totals = self.totals.buried(event.size)
            spool_file.save_totals(transaction, totals, self._clock())
        self.totals = totals
        self.waiting.discard(seq)
        self.dead.add(seq)
        self._copies.buried((*event.row, reason, moved_at), totals)
        self._copies.note(totals)
        self._copies.mark.note(self._advance(), totals.last_seq)
        if len(self.dead) > 2 * spool_file.MAX_DEAD:  # the database keeps fewer
            letters = read_dead(self.database, [])
            self._copies.dead.write(letters)
            self.dead = {row[0] for row in letters}
            self._watch.replaced(self._copies.dead.path)

    def snapshot(self) -> OpenedSpool:
        """What is known of the spool now."""
        return OpenedSpool(self.database, replace(self.totals, clock=self._clock()), self.waiting, self.dead)

    @property
    def open(self) -> bool:
        """Whether the database is open."""
        try:
            return self.database.total_changes >= 0
        except sqlite3.ProgrammingError:
            return False

    def close(self) -> None:
        """Close the database. The waiting events stay in it."""
        with suppress(sqlite3.Error), self.database as transaction:
            spool_file.save_totals(transaction, self.totals, self._clock())
        self.database.close()

    def _reserve(self, seq: int) -> None:
        try:
            if self._copies.mark.reserve(seq):
                self._watch.replaced(self._copies.mark.path)
        except OSError as error:  # one kind of error for a full disk
            raise sqlite3.OperationalError(f"{error.filename}: {error.strerror}") from None

    def _advance(self) -> int:
        """The number of the oldest event that waits, or of the next one."""
        while self._oldest <= self.totals.last_seq and self._oldest not in self.waiting:
            self._oldest += 1
        return self._oldest

    def _clock(self) -> float:
        """Seconds for which this file has been open in its whole life."""
        return self.totals.clock + time.monotonic() - self._opened

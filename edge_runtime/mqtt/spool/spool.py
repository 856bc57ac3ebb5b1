"""The spool: events on disk until the broker has confirmed them.

It uses SQLite in WAL mode with synchronous FULL: when `append` returns, the event survives a crash and a power cut (if
the disk keeps what it has confirmed). Only one process can open the file; a second one gets an error.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import TypeVar

from edge_runtime.mqtt.events import Message, encode
from edge_runtime.mqtt.spool.file import CAUSES, SIZE, Cause, Totals, connect, read_totals, save_counters
from edge_runtime.mqtt.spool.foreign import foreign_file
from edge_runtime.mqtt.spool.high_water_mark import HighWaterMark
from latentline.errors import ConfigError

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True)
class SpooledEvent:
    """An event in the spool. `seq` counts 1, 2, 3, … without gaps in the order of `append`; `body` is its JSON."""

    seq: int
    topic: str
    body: bytes


class Spool:
    """A queue of events in a file. Any thread may call; a lock admits one at a time, and waits for a disk that hangs.

    Only the counters `last_seq`, `dropped`, `size_bytes` and `len` never wait.

    max_events, max_bytes, max_age_seconds: above any of them the oldest events are dropped, and counted by cause in
    `dropped`. max_bytes counts topics and payloads; the file is about a quarter larger, and never shrinks. The age of
    an event is the time for which the spool has been open since it was written, so neither a clock that jumps nor a
    night without power makes events old.

    A file that SQLite reports as corrupt, when it is opened or later, is renamed to *.broken-TIME. A new file takes its
    place and `seq` continues (see high_water_mark.py). `set_aside` then is the sentence that says so, otherwise None.
    """

    def __init__(
        self, path: Path, max_events: int, max_bytes: int | None = None, max_age_seconds: float | None = None
    ) -> None:
        self._path = path
        self._max_events, self._max_bytes, self._max_age = max_events, max_bytes, max_age_seconds
        self._lock = threading.Lock()
        self._opened = time.monotonic()
        self.set_aside: str | None = None
        self._high_water_mark = HighWaterMark(path.with_name(path.name + ".seq"))
        self._totals = Totals()
        self._database = self._open()

    def append(self, topic: str, event: Message) -> int:
        """Write `event` to the disk and return its seq.

        Raises sqlite3.Error if the disk is full or fails, ValueError if `event` is not JSON; then nothing has changed.
        """
        return self.append_many([(topic, event)])[0]

    def append_many(self, events: Sequence[tuple[str, Message]]) -> list[int]:
        """Write (topic, event) pairs in one transaction: all or none. Returns their seqs; raises as `append` does."""
        rows = [(topic, encode(event)) for topic, event in events]
        with self._lock:
            return self._recovering(lambda: self._insert(rows))

    def waiting(self, after: int, limit: int) -> list[SpooledEvent]:
        """The oldest events with seq > `after`, in order, `limit` at most."""
        query = "SELECT seq, topic, body FROM event WHERE seq > ? ORDER BY seq LIMIT ?"
        with self._lock:
            rows = self._recovering(lambda: self._database.execute(query, (after, limit)).fetchall())
        return [SpooledEvent(*row) for row in rows]

    def remove(self, seqs: Sequence[int]) -> None:
        """Delete events that the broker has confirmed, in one transaction.

        The deletion is not flushed to the disk, because the next `append` would have to wait for it. After a power cut
        some of the events may be back and are sent again; after a crash of this process they are not.
        """
        with self._lock:
            self._recovering(lambda: self._delete(seqs))

    def expire(self) -> None:
        """Drop events that are too old. `append` does so, too."""
        with self._lock:
            self._recovering(lambda: self._insert([]))

    @property
    def last_seq(self) -> int:
        """The sequence number used last, 0 if none was."""
        return self._totals.last_seq

    @property
    def dropped(self) -> dict[str, int]:
        """Events dropped in the life of this file, by cause: count, bytes, age."""
        totals = self._totals
        return {cause: totals.dropped[cause] for cause in CAUSES}

    @property
    def size_bytes(self) -> int:
        """Size of the waiting events: topics and payloads."""
        return self._totals.bytes

    def __len__(self) -> int:
        return self._totals.events

    def close(self) -> None:
        """Close the file. The waiting events stay in it."""
        with self._lock:
            with suppress(sqlite3.Error), self._database as transaction:
                save_counters(transaction, self._totals, self._clock())
            self._database.close()
            self._high_water_mark.release(self._totals.last_seq)

    # ---- the lock is held

    def _insert(self, rows: Sequence[tuple[str, bytes]]) -> list[int]:
        first = self._totals.last_seq + 1
        seqs = list(range(first, first + len(rows)))
        self._reserve(first + len(rows) - 1)
        now = self._clock()
        self._database.execute("PRAGMA synchronous = FULL")
        with self._database as transaction:
            numbered = [(seq, topic, body, now) for seq, (topic, body) in zip(seqs, rows, strict=True)]
            transaction.executemany("INSERT INTO event VALUES (?, ?, ?, ?)", numbered)
            size = sum(len(topic) + len(body) for topic, body in rows)
            totals = self._trim(self._totals.plus(len(rows), size), now)
            if totals != self._totals:
                save_counters(transaction, totals, now)
        self._totals = totals
        return seqs

    def _trim(self, totals: Totals, now: float) -> Totals:
        """Drop the oldest events until every limit is met. The newest event always stays."""
        last = 0
        oldest = self._database.execute(
            f"SELECT seq, {SIZE}, at FROM event WHERE seq < ? ORDER BY seq", (totals.last_seq,)
        )
        for seq, size, at in oldest:
            if self._max_age is not None and now - at > self._max_age:
                cause: Cause = "age"
            elif totals.events > self._max_events:
                cause = "count"
            elif self._max_bytes is not None and totals.bytes > self._max_bytes:
                cause = "bytes"
            else:
                break
            totals, last = totals.minus(size, cause), seq
        oldest.close()
        if last:
            self._database.execute("DELETE FROM event WHERE seq <= ?", (last,))
        return totals

    def _delete(self, seqs: Sequence[int]) -> None:
        totals, query = self._totals, f"DELETE FROM event WHERE seq = ? RETURNING {SIZE}"
        self._database.execute("PRAGMA synchronous = NORMAL")  # `_insert` asks for FULL again
        with self._database as transaction:
            for seq in seqs:
                for (size,) in transaction.execute(query, (seq,)).fetchall():  # none if it has been dropped
                    totals = totals.minus(size)
        self._totals = totals

    def _reserve(self, seq: int) -> None:
        try:
            self._high_water_mark.reserve(seq)
        except OSError as error:  # `append` raises one kind of error for a full disk
            raise sqlite3.OperationalError(f"{error.filename}: {error.strerror}") from None

    def _clock(self) -> float:
        """Seconds for which this file has been open in its whole life."""
        return self._totals.clock + time.monotonic() - self._opened

    def _recovering(self, work: Callable[[], _T]) -> _T:
        """Do `work`; if the file turns out to be corrupt, on a new one."""
        try:
            return work()
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:  # SQLITE_CORRUPT, SQLITE_NOTADB; the rest raise subclasses
                raise
            with suppress(sqlite3.Error):
                self._database.close()
            self._database = self._replace_file(error)
            return work()

    # ---- opening

    def _open(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if (what := foreign_file(self._path)) is not None:
                raise ConfigError(f"spool.path: {self._path} {what}, and no spool; choose another path")
            return self._connect()
        except sqlite3.OperationalError as error:  # locked, not writable, no space: the file itself may be fine
            raise ConfigError(f"spool.path: {self._path} cannot be used ({error})") from None
        except OSError as error:
            raise ConfigError(f"spool.path: {self._path} cannot be used ({error.strerror})") from None
        except sqlite3.DatabaseError as error:
            return self._replace_file(error)

    def _connect(self) -> sqlite3.Connection:
        database = connect(self._path)
        self._totals = read_totals(database)
        if not self._totals.last_seq:  # a new file, but an earlier one may have used numbers
            self._totals = Totals(last_seq=self._high_water_mark.value)
        return database

    def _replace_file(self, error: sqlite3.DatabaseError) -> sqlite3.Connection:
        """Put a new file in the place of the corrupt one."""
        name = f"{self._path.name}.broken-{datetime.now(timezone.utc):%Y%m%dT%H%M%S%fZ}"
        for suffix in ("", "-wal", "-shm"):  # the write-ahead log, too: a new file must not replay it
            part = self._path.with_name(self._path.name + suffix)
            if part.exists():
                part.rename(self._path.with_name(name + suffix))
        self._opened = time.monotonic()
        self._totals = Totals()
        database = self._connect()
        self.set_aside = (
            f"the spool {self._path} is corrupt ({error}); it was renamed to {name}, and a new one starts with "
            f"seq {self._totals.last_seq + 1}"
        )
        _log.error("%s", self.set_aside)
        return database

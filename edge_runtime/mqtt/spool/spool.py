"""Events on disk until the broker has them.

SQLite in WAL mode with synchronous FULL: when `append` returns, the event survives a crash and a power cut (as far as
the disk keeps what it confirmed). The file has one owner at a time; a second one is refused.
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
from edge_runtime.mqtt.spool.numbering import Numbering
from latentline.errors import ConfigError

_log = logging.getLogger(__name__)
_T = TypeVar("_T")


@dataclass(frozen=True)
class Spooled:
    """One event that waits: `seq` 1, 2, 3, … without gaps in the order of `append`; `body` is its JSON."""

    seq: int
    topic: str
    body: bytes


class Spool:
    """A queue of events in a file; any thread may call, one at a time gets in.

    max_events, max_bytes, max_age_seconds: above any of them the oldest events go, counted by cause in `dropped`.
    max_bytes counts topics and payloads; the file is about a quarter larger, and never shrinks. Age is the time that
    the spool was open since the event was written: no jump of the clock, and no night without power, makes events old.

    A file that SQLite calls broken, at the start or later, is renamed to *.broken-TIME and a new one is begun, with
    `seq` going on (see numbering.py); `set_aside` then holds the sentence that says so.
    """

    def __init__(
        self, path: Path, max_events: int, max_bytes: int | None = None, max_age_seconds: float | None = None
    ) -> None:
        self._path = path
        self._max_events, self._max_bytes, self._max_age = max_events, max_bytes, max_age_seconds
        self._lock = threading.Lock()
        self._opened = time.monotonic()
        self.set_aside: str | None = None
        self._numbers = Numbering(path.with_name(path.name + ".seq"))
        self._totals = Totals()
        self._database = self._open()

    def append(self, topic: str, event: Message) -> int:
        """Write `event` to the disk and return its seq.

        Raises sqlite3.Error when the disk takes no more, ValueError when `event` is not JSON; then nothing is changed.
        """
        return self.append_many([(topic, event)])[0]

    def append_many(self, events: Sequence[tuple[str, Message]]) -> list[int]:
        """Write (topic, event) pairs in one transaction: all or none. Returns their seqs, raises as `append` does."""
        rows = [(topic, encode(event)) for topic, event in events]
        with self._lock:
            return self._healed(lambda: self._insert(rows))

    def waiting(self, after: int, limit: int) -> list[Spooled]:
        """Up to `limit` oldest events with seq > `after`, in order."""
        query = "SELECT seq, topic, body FROM event WHERE seq > ? ORDER BY seq LIMIT ?"
        with self._lock:
            rows = self._healed(lambda: self._database.execute(query, (after, limit)).fetchall())
        return [Spooled(*row) for row in rows]

    def remove(self, seqs: Sequence[int]) -> None:
        """Forget events that the broker has confirmed, all in one transaction.

        Not flushed to the disk, which would make the next `append` wait: a power cut may bring some back, to be sent
        again. A crash of this process does not.
        """
        with self._lock:
            self._healed(lambda: self._delete(seqs))

    def expire(self) -> None:
        """Drop what has become too old; `append` does so too."""
        with self._lock:
            self._healed(lambda: self._insert([]))

    @property
    def last_seq(self) -> int:
        """The number given last, 0 when none was."""
        with self._lock:
            return self._totals.last_seq

    @property
    def dropped(self) -> dict[str, int]:
        """How many events this file ever dropped, by cause: count, bytes, age."""
        with self._lock:
            return {cause: self._totals.dropped[cause] for cause in CAUSES}

    @property
    def size_bytes(self) -> int:
        """Size of what waits: topics and payloads."""
        with self._lock:
            return self._totals.bytes

    def __len__(self) -> int:
        with self._lock:
            return self._totals.events

    def close(self) -> None:
        """Close the file; what waits in it stays."""
        with self._lock:
            with suppress(sqlite3.Error), self._database as transaction:
                save_counters(transaction, self._totals, self._clock())
            self._database.close()
            self._numbers.settle(self._totals.last_seq)

    # ---- with the lock held

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
            totals = self._totals.plus(len(rows), size)
            totals = self._trimmed(totals, now)
            if totals != self._totals:
                save_counters(transaction, totals, now)
        self._totals = totals
        return seqs

    def _trimmed(self, totals: Totals, now: float) -> Totals:
        """Drop the oldest until every cap is kept; the newest event always stays."""
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
                for (size,) in transaction.execute(query, (seq,)).fetchall():  # none when it was dropped meanwhile
                    totals = totals.minus(size)
        self._totals = totals

    def _reserve(self, seq: int) -> None:
        try:
            self._numbers.reserve(seq)
        except OSError as error:  # one kind of error for a full disk
            raise sqlite3.OperationalError(f"{error.filename}: {error.strerror}") from None

    def _clock(self) -> float:
        """Seconds for which this file has been open, in all its life."""
        return self._totals.clock + time.monotonic() - self._opened

    def _healed(self, work: Callable[[], _T]) -> _T:
        """The result of `work`; where the file turns out to be broken, of `work` on a new one."""
        try:
            return work()
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:  # SQLITE_CORRUPT and SQLITE_NOTADB; the others are kinds of it
                raise
            with suppress(sqlite3.Error):
                self._database.close()
            self._database = self._replaced(error)
            return work()

    # ---- opening

    def _open(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return self._connected()
        except sqlite3.OperationalError as error:  # locked, not writable, no space: the file itself may be fine
            raise ConfigError(f"spool.path: {self._path} cannot be used ({error})") from None
        except OSError as error:
            raise ConfigError(f"spool.path: {self._path} cannot be used ({error.strerror})") from None
        except sqlite3.DatabaseError as error:
            return self._replaced(error)

    def _connected(self) -> sqlite3.Connection:
        database = connect(self._path)
        self._totals = read_totals(database)
        if not self._totals.last_seq:  # a new file; one of these numbers may have been given by an older one
            self._totals = Totals(last_seq=self._numbers.bound)
        return database

    def _replaced(self, error: sqlite3.DatabaseError) -> sqlite3.Connection:
        """A new file in the place of the broken one."""
        name = f"{self._path.name}.broken-{datetime.now(timezone.utc):%Y%m%dT%H%M%S%fZ}"
        for suffix in ("", "-wal", "-shm"):  # the log belongs to the broken file; a new one must not replay it
            part = self._path.with_name(self._path.name + suffix)
            if part.exists():
                part.rename(self._path.with_name(name + suffix))
        self._opened = time.monotonic()
        self._totals = Totals()
        database = self._connected()
        self.set_aside = (
            f"spool {self._path} was broken ({error}); it is kept as {name} and a new one is begun, "
            f"with seq {self._totals.last_seq + 1}"
        )
        _log.error("%s", self.set_aside)
        return database

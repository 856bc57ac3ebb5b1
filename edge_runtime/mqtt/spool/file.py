"""The SQLite file of a spool: its tables, how to open it, and its counters."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from latentline.errors import ConfigError

Cause = Literal["count", "bytes", "age"]  # why an event was dropped
CAUSES: tuple[Cause, ...] = get_args(Cause)
SIZE = "LENGTH(topic) + LENGTH(body)"  # of one event, bytes
_USER_VERSION = 2  # of the tables below; a file of another version is left alone
_TABLES = """
CREATE TABLE IF NOT EXISTS event (seq INTEGER PRIMARY KEY, topic TEXT NOT NULL, body BLOB NOT NULL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value NUMERIC NOT NULL);
"""


@dataclass(frozen=True)
class Totals:
    """Counters of a spool file.

    events, bytes  that wait in it
    last_seq       sequence number used last, 0 if none was
    dropped        events dropped in the life of the file, by cause
    clock          seconds for which the file had been open when it was last written
    """

    events: int = 0
    bytes: int = 0
    last_seq: int = 0
    dropped: Mapping[Cause, int] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0))
    clock: float = 0.0

    def plus(self, events: int, size: int) -> Totals:
        """After `events` were added, `size` bytes together, each with a number of its own."""
        return replace(self, events=self.events + events, bytes=self.bytes + size, last_seq=self.last_seq + events)

    def minus(self, size: int, cause: Cause | None = None) -> Totals:
        """After one event of `size` bytes was removed: dropped for `cause`, or (None) delivered."""
        dropped = self.dropped if cause is None else {**self.dropped, cause: self.dropped[cause] + 1}
        return replace(self, events=self.events - 1, bytes=self.bytes - size, dropped=dropped)


def connect(path: Path) -> sqlite3.Connection:
    """Open or create the file for exclusive use. Raises sqlite3.Error, or ConfigError for another version."""
    # Several threads use the connection, one at a time: Spool has a lock.
    database = sqlite3.connect(path, timeout=5.0, check_same_thread=False)
    try:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        version = _first(database, "PRAGMA user_version")
        if version not in (0, _USER_VERSION):
            raise ConfigError(f"spool.path: {path} has version {version}, but this software needs {_USER_VERSION}")
        check = _first(database, "PRAGMA quick_check(1)")
        if check != "ok":
            raise sqlite3.DatabaseError(str(check))
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = FULL")
        database.executescript(_TABLES)
        database.execute(f"PRAGMA user_version = {_USER_VERSION}")
        database.commit()
    except BaseException:
        database.close()
        raise
    return database


def read_totals(database: sqlite3.Connection) -> Totals:
    """Read the counters, and count the rows."""
    events, size = database.execute(f"SELECT COUNT(*), COALESCE(SUM({SIZE}), 0) FROM event").fetchone()
    counters = dict(database.execute("SELECT name, value FROM counter"))
    dropped = {cause: int(counters.get(f"dropped_{cause}", 0)) for cause in CAUSES}
    return Totals(events, size, int(counters.get("last_seq", 0)), dropped, float(counters.get("clock", 0.0)))


def save_counters(transaction: sqlite3.Connection, totals: Totals, clock: float) -> None:
    """Write the counters that do not follow from the rows, within a transaction of the caller."""
    values: dict[str, float] = {f"dropped_{cause}": count for cause, count in totals.dropped.items()}
    values |= {"last_seq": totals.last_seq, "clock": clock}
    transaction.executemany("INSERT OR REPLACE INTO counter VALUES (?, ?)", values.items())


def _first(database: sqlite3.Connection, query: str) -> Any:
    return database.execute(query).fetchone()[0]

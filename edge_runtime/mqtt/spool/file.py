"""The SQLite file of a spool: its tables, how it is opened, and the counters in it."""

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
_USER_VERSION = 2  # of the tables below; a file of another version is not ours to touch
_TABLES = """
CREATE TABLE IF NOT EXISTS event (seq INTEGER PRIMARY KEY, topic TEXT NOT NULL, body BLOB NOT NULL, at REAL NOT NULL);
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value NUMERIC NOT NULL);
"""


@dataclass(frozen=True)
class Totals:
    """What is in the file, the number given last, events ever dropped by cause, and how long the file was open before.

    clock  seconds
    """

    events: int = 0
    bytes: int = 0
    last_seq: int = 0
    dropped: Mapping[Cause, int] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0))
    clock: float = 0.0

    def plus(self, events: int, size: int) -> Totals:
        """With `events` more of `size` bytes together, and their numbers given."""
        return replace(self, events=self.events + events, bytes=self.bytes + size, last_seq=self.last_seq + events)

    def minus(self, size: int, cause: Cause | None = None) -> Totals:
        """With one event of `size` bytes less, dropped for `cause` or delivered."""
        dropped = self.dropped if cause is None else {**self.dropped, cause: self.dropped[cause] + 1}
        return replace(self, events=self.events - 1, bytes=self.bytes - size, dropped=dropped)


def connect(path: Path) -> sqlite3.Connection:
    """Open or make the file, as its only owner. Raises sqlite3.Error, and ConfigError for a file of another version."""
    # Several threads use the connection, one at a time: Spool holds a lock.
    database = sqlite3.connect(path, timeout=5.0, check_same_thread=False)
    try:
        database.execute("PRAGMA locking_mode = EXCLUSIVE")
        version = _first(database, "PRAGMA user_version")
        if version not in (0, _USER_VERSION):
            raise ConfigError(f"spool.path: {path} has version {version}, this software reads {_USER_VERSION}")
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
    """Count what is in the file."""
    events, size = database.execute(f"SELECT COUNT(*), COALESCE(SUM({SIZE}), 0) FROM event").fetchone()
    counters = dict(database.execute("SELECT name, value FROM counter"))
    dropped = {cause: int(counters.get(f"dropped_{cause}", 0)) for cause in CAUSES}
    return Totals(events, size, int(counters.get("last_seq", 0)), dropped, float(counters.get("clock", 0.0)))


def save_counters(transaction: sqlite3.Connection, totals: Totals, clock: float) -> None:
    """Write what counting rows does not give, within a transaction of the caller."""
    values: dict[str, float] = {f"dropped_{cause}": count for cause, count in totals.dropped.items()}
    values |= {"last_seq": totals.last_seq, "clock": clock}
    transaction.executemany("INSERT OR REPLACE INTO counter VALUES (?, ?)", values.items())


def _first(database: sqlite3.Connection, query: str) -> Any:
    return database.execute(query).fetchone()[0]

"""Events on disk until the broker has them.

SQLite in WAL mode with synchronous FULL: when `append` returns, the event survives a crash and a power cut (as far as
the disk keeps what it confirmed). The file has one owner at a time; two stations must not share it.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from edge_runtime.mqtt.events import Message, encode
from latentline.errors import ConfigError

_log = logging.getLogger(__name__)
_USER_VERSION = 1  # of the tables below; a file of another version is not ours to touch
# AUTOINCREMENT never gives a number twice, not even after every row is deleted; its counter is part of the
# transaction, so an append that fails leaves no gap.
_TABLES = """
CREATE TABLE IF NOT EXISTS event (seq INTEGER PRIMARY KEY AUTOINCREMENT, topic TEXT NOT NULL, body BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
INSERT OR IGNORE INTO counter VALUES ('dropped', 0);
"""


@dataclass(frozen=True)
class Spooled:
    """One event that waits: `seq` 1, 2, 3, … without gaps in the order of `append`."""

    seq: int
    topic: str
    event: Message


class Spool:
    """A queue of events in a file; any thread may call, one at a time gets in.

    A file that SQLite calls broken is renamed to *.broken-TIME and a new one is begun, with `seq` from 1 again;
    `set_aside` then holds the sentence that says so.
    """

    def __init__(self, path: Path, max_events: int) -> None:
        self._path = path
        self._max_events = max_events
        self._lock = threading.Lock()
        self.set_aside: str | None = None
        self._database = self._open()

    def append(self, topic: str, event: Message) -> int:
        """Write `event` to the disk and return its seq. Above `max_events` the oldest goes, and is counted.

        Raises sqlite3.Error when the disk takes no more, ValueError when `event` is not JSON; then nothing is changed.
        """
        body = encode(event)
        with self._lock, self._database as transaction:
            seq = transaction.execute("INSERT INTO event (topic, body) VALUES (?, ?)", (topic, body)).lastrowid
            assert seq is not None
            excess = self._count(transaction) - self._max_events
            if excess > 0:
                oldest = "SELECT seq FROM event ORDER BY seq LIMIT ?"
                transaction.execute(f"DELETE FROM event WHERE seq IN ({oldest})", (excess,))
                transaction.execute("UPDATE counter SET value = value + ? WHERE name = 'dropped'", (excess,))
        return seq

    def waiting(self, after: int, limit: int) -> list[Spooled]:
        """Up to `limit` oldest events with seq > `after`, in order."""
        query = "SELECT seq, topic, body FROM event WHERE seq > ? ORDER BY seq LIMIT ?"
        with self._lock:
            rows = self._database.execute(query, (after, limit)).fetchall()
        return [Spooled(seq, topic, json.loads(body)) for seq, topic, body in rows]

    def remove(self, seqs: list[int]) -> None:
        """Forget events that the broker has confirmed, all in one transaction."""
        with self._lock, self._database as transaction:
            transaction.executemany("DELETE FROM event WHERE seq = ?", [(seq,) for seq in seqs])

    @property
    def last_seq(self) -> int:
        """The number given last, 0 when none was."""
        with self._lock:
            row = self._database.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").fetchone()
        return int(row[0]) if row else 0

    @property
    def dropped(self) -> int:
        """How many events this file ever dropped because `max_events` was reached."""
        with self._lock:
            row = self._database.execute("SELECT value FROM counter WHERE name = 'dropped'").fetchone()
        return int(row[0])

    def __len__(self) -> int:
        with self._lock:
            return self._count(self._database)

    def close(self) -> None:
        """Close the file; what waits in it stays."""
        with self._lock:
            self._database.close()

    @staticmethod
    def _count(database: sqlite3.Connection) -> int:
        return int(database.execute("SELECT COUNT(*) FROM event").fetchone()[0])

    def _open(self) -> sqlite3.Connection:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            return _connect(self._path)
        except sqlite3.OperationalError as error:  # locked, not writable, no space: the file itself may be fine
            raise ConfigError(f"spool.path: {self._path} cannot be used ({error})") from None
        except OSError as error:
            raise ConfigError(f"spool.path: {self._path} cannot be used ({error.strerror})") from None
        except sqlite3.DatabaseError as error:
            self.set_aside = self._set_aside(error)
            _log.error("%s", self.set_aside)
            return _connect(self._path)

    def _set_aside(self, error: sqlite3.DatabaseError) -> str:
        name = f"{self._path.name}.broken-{datetime.now(timezone.utc):%Y%m%dT%H%M%S%fZ}"
        for suffix in ("", "-wal", "-shm"):  # the log belongs to the broken file; a new one must not replay it
            part = self._path.with_name(self._path.name + suffix)
            if part.exists():
                part.rename(self._path.with_name(name + suffix))
        return f"spool {self._path} was broken ({error}); it is kept as {name} and a new one is begun"


def _connect(path: Path) -> sqlite3.Connection:
    # Several threads use the connection, one at a time: Spool holds a lock.
    database = sqlite3.connect(path, timeout=5.0, check_same_thread=False)
    try:
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


def _first(database: sqlite3.Connection, query: str) -> Any:
    return database.execute(query).fetchone()[0]

"""The SQLite file of a spool: its tables, and how it is created, opened and read."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from edge_runtime.mqtt.spool.foreign import APPLICATION_ID
from edge_runtime.mqtt.spool.second_copy import VERSION
from edge_runtime.mqtt.spool.stored import StoredEvent
from edge_runtime.mqtt.spool.totals import Totals, totals_of_row, totals_row
from latentline.errors import ConfigError

SIZE = "COALESCE(LENGTH(topic), 0) + COALESCE(LENGTH(body), 0)"  # of one event, bytes
COLUMNS = "seq, topic, body, at, checksum"
# What reading a damaged file may raise: SQLite quotes the damaged place, and Python cannot always decode that.
READ_ERRORS = (sqlite3.Error, UnicodeDecodeError)
_WAL_FORMAT = b"\2\2"  # in the header: written and read with a write-ahead log
MAX_DEAD = 1000  # dead letters that are kept
_TABLES = """
CREATE TABLE event (seq INTEGER PRIMARY KEY, topic BLOB NOT NULL, body BLOB NOT NULL, at REAL NOT NULL,
                    checksum BLOB NOT NULL);
CREATE TABLE dead (seq INTEGER PRIMARY KEY, topic BLOB NOT NULL, body BLOB NOT NULL, at REAL NOT NULL,
                   checksum BLOB NOT NULL, reason TEXT NOT NULL, moved_at TEXT NOT NULL);
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), content BLOB NOT NULL, checksum BLOB NOT NULL);
"""


def create(path: Path) -> sqlite3.Connection:
    """Create a spool file, for its owner only, or use the empty one at `path`. Raises sqlite3.Error and OSError."""
    os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))  # SQLite gives its other files the same rights
    database = connect_unchecked(path)
    try:
        _fill(database)
    except BaseException:
        database.close()
        raise
    return database


def connect(path: Path, *, ours: bool) -> sqlite3.Connection:
    """Open the file for exclusive use, without writing to it.

    ours: files beside it say that it is a spool
    Raises sqlite3.OperationalError when it is locked or cannot be read, sqlite3.DatabaseError when it is damaged, and
    ConfigError when it is not a spool, or one of another version.
    """
    with path.open("rb") as file:  # before SQLite locks the file: closing it would end the lock
        file_format = file.read(20)[18:]
    database = connect_unchecked(path)
    try:
        version, application = (_first(database, f"PRAGMA {name}") for name in ("user_version", "application_id"))
        if (version, application) in ((VERSION, APPLICATION_ID), (2, 0)):
            if file_format != _WAL_FORMAT:
                raise sqlite3.DatabaseError("its header is damaged")
            _check(database, version)
        elif ours:
            raise sqlite3.DatabaseError("its header is damaged")
        elif (version, application) == (0, 0) and not _tables(database):  # a crash while it was created
            _fill(database)
        elif version == 0:
            raise ConfigError(f"spool.path: {path} is a database of another program; choose another path")
        else:
            raise ConfigError(f"spool.path: {path} has version {version}, but this software needs {VERSION}")
    except BaseException:
        database.close()
        raise
    with suppress(PermissionError):  # another user's file, which we may write
        path.chmod(0o600)
    return database


def version_of(database: sqlite3.Connection) -> int:
    """The version of its tables."""
    return int(_first(database, "PRAGMA user_version"))


def insert(transaction: sqlite3.Connection, events: Iterable[StoredEvent]) -> None:
    """Write events, within a transaction of the caller."""
    transaction.executemany("INSERT INTO event VALUES (?, ?, ?, ?, ?)", (event.row for event in events))


def bury(transaction: sqlite3.Connection, event: StoredEvent, reason: str, moved_at: str) -> None:
    """Move an event to the dead letters, within a transaction of the caller."""
    insert_dead(transaction, [(*event.row, reason, moved_at)])
    transaction.execute("DELETE FROM event WHERE seq = ?", (event.seq,))


def save_totals(transaction: sqlite3.Connection, totals: Totals, clock: float) -> None:
    """Write the counters that do not follow from the rows, within a transaction of the caller."""
    transaction.execute("INSERT OR REPLACE INTO state VALUES (1, ?, ?)", totals_row(totals, clock))


def read_totals(database: sqlite3.Connection) -> Totals | None:
    """The counters; None if they are damaged. Events and bytes are 0. Raises sqlite3.DatabaseError."""
    row = database.execute("SELECT content, checksum FROM state WHERE id = 1").fetchone()
    return None if row is None else totals_of_row(*row)


def count(database: sqlite3.Connection) -> int:
    """How many events wait."""
    return int(_first(database, "SELECT COUNT(*) FROM event"))


def insert_dead(transaction: sqlite3.Connection, rows: Iterable[tuple[Any, ...]]) -> None:
    """Write dead letters as `read_dead` returned them, within a transaction of the caller; the newest are kept."""
    transaction.executemany("INSERT OR REPLACE INTO dead VALUES (?, ?, ?, ?, ?, ?, ?)", rows)
    transaction.execute(
        f"DELETE FROM dead WHERE seq NOT IN (SELECT seq FROM dead ORDER BY moved_at DESC, seq DESC LIMIT {MAX_DEAD})"
    )


def create_tables(transaction: sqlite3.Connection) -> None:
    """Write the tables and the header of this version, within a transaction of the caller."""
    for statement in _TABLES.split(";"):
        transaction.execute(statement)
    transaction.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    transaction.execute(f"PRAGMA user_version = {VERSION}")


def connect_unchecked(path: Path) -> sqlite3.Connection:
    """Open the file for exclusive use, whatever it contains. Raises sqlite3.Error."""
    # Several threads use the connection, one at a time: Spool has a lock.
    database = sqlite3.connect(path, timeout=5.0, check_same_thread=False)
    database.text_factory = bytes  # a damaged file may hold text that is not UTF-8
    database.execute("PRAGMA locking_mode = EXCLUSIVE")
    return database


def _fill(database: sqlite3.Connection) -> None:
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("BEGIN IMMEDIATE")
    with database as transaction:
        create_tables(transaction)
        save_totals(transaction, Totals(), 0.0)


def _tables(database: sqlite3.Connection) -> set[str]:
    names = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
    return {name.decode(errors="replace") for (name,) in names}


def _check(database: sqlite3.Connection, version: int) -> None:
    result = _first(database, "PRAGMA quick_check(1)")
    if result != "ok":
        raise sqlite3.DatabaseError(str(result))
    expected = {"event", "counter"} if version == 2 else {"event", "dead", "state"}
    if not expected <= _tables(database):
        raise sqlite3.DatabaseError("its tables are missing")


def _first(database: sqlite3.Connection, query: str) -> Any:
    value = database.execute(query).fetchone()[0]
    return value.decode(errors="replace") if isinstance(value, bytes) else value

"""The SQLite index of an archive: its tables, how it is opened, and what is written about a picture."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edge_runtime.archive.label_log import apply_entries
from edge_runtime.archive.record import ArchivedVerdict
from latentline.errors import ArchiveError

INDEX_NAME = "archive.sqlite"
APPLICATION_ID = 0x4C4C4131  # "LLA1"
VERSION = 1
_WAIT_SECONDS = 5.0
# queue: 0 disputed, 1 without a label, 2 done. margin: distance of score and threshold. label: its verdict, or ''.
# What a list filters by is in the indexes, so that 100,000 rows are searched without reading them.
_TABLES = """
CREATE TABLE frame (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, event_id TEXT, pixels TEXT NOT NULL,
    captured_at TEXT NOT NULL, day TEXT NOT NULL, camera TEXT NOT NULL, score REAL NOT NULL, abnormal INTEGER NOT NULL,
    margin REAL NOT NULL, size INTEGER NOT NULL,
    picture_bytes INTEGER NOT NULL,
    label TEXT NOT NULL DEFAULT '', kind TEXT, queue INTEGER NOT NULL DEFAULT 1);
CREATE TABLE detail (number INTEGER PRIMARY KEY, content TEXT NOT NULL);
CREATE TABLE label (seq INTEGER PRIMARY KEY, frame TEXT NOT NULL, content TEXT NOT NULL);
CREATE TABLE state (name TEXT PRIMARY KEY, value INTEGER NOT NULL);
CREATE INDEX frame_queue ON frame (queue, margin, number, camera, day, abnormal, label, score);
CREATE INDEX frame_time ON frame (captured_at, number, camera, day, abnormal, label, score, queue);
CREATE INDEX frame_score ON frame (score, number, camera, day, abnormal, label, queue);
CREATE INDEX frame_day ON frame (day);
CREATE INDEX frame_camera ON frame (camera);
CREATE INDEX frame_kind ON frame (kind) WHERE kind IS NOT NULL;
CREATE INDEX frame_event ON frame (event_id) WHERE event_id IS NOT NULL;
CREATE INDEX frame_size ON frame (label, size);
CREATE INDEX label_frame ON label (frame, seq);
"""


def create_index(path: Path) -> None:
    """Create an index at `path`, for its owner only, or complete one that a crash left empty. Raises sqlite3.Error."""
    path.touch(mode=0o600)
    with open_index(path) as database:
        if not _is_empty(database):
            return
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("BEGIN IMMEDIATE")
        with database:
            if _is_empty(database):  # no other process was faster
                for statement in _TABLES.split(";"):
                    database.execute(statement)
                database.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                database.execute(f"PRAGMA user_version = {VERSION}")


@contextmanager
def open_index(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to the index at `path`, which exists. Transactions are the caller's. Raises sqlite3.Error."""
    database = sqlite3.connect(f"{path.absolute().as_uri()}?mode=rw", uri=True, timeout=_WAIT_SECONDS)
    try:
        database.isolation_level = None
        database.execute("PRAGMA synchronous = NORMAL")
        yield database
    finally:
        database.close()


@contextmanager
def reading(folder: Path) -> Iterator[sqlite3.Connection]:
    """A connection to the index of the archive in `folder`, for people's questions.

    Raises ArchiveError, one sentence, when there is no archive yet, it is another program's or version's, or its index
    is damaged or locked.
    """
    path = folder / INDEX_NAME
    if not path.is_file():
        raise ArchiveError(f"{folder}: there is no archive; give the folder of `archive.path`, or the station file")
    try:
        with open_index(path) as database:
            if _is_empty(database):
                raise ArchiveError(f"{path}: the index is still empty; a station that starts fills it: try again")
            check_header(database, path)
            yield database
    except sqlite3.OperationalError as error:
        raise ArchiveError(f"{path}: the index cannot be used now ({error}); try again") from None
    except sqlite3.DatabaseError as error:
        raise ArchiveError(
            f"{path}: the index is damaged ({error}); a running station makes it again from the files, and so does "
            f"`latentline-edge archive repair {folder}`"
        ) from None


def check_header(database: sqlite3.Connection, path: Path) -> None:
    """Raise ArchiveError unless this is an index of this version; sqlite3.DatabaseError if it is damaged."""
    application, version = _header(database)
    if application != APPLICATION_ID:
        raise ArchiveError(f"{path}: this is a database of another program; give another folder")
    if version != VERSION:
        raise ArchiveError(f"{path}: the archive has version {version}, but this software needs {VERSION}")


def add_frames(transaction: sqlite3.Connection, verdicts: Sequence[ArchivedVerdict]) -> None:
    """Write pictures into the index, within a transaction of the caller. One that is in it gets the new verdict."""
    for verdict in verdicts:
        row = {
            "id": verdict.id,
            "event_id": verdict.event_id,
            "pixels": verdict.pixels,
            "captured_at": verdict.captured_at,
            "day": verdict.day,
            "camera": verdict.camera,
            "score": verdict.score,
            "abnormal": verdict.abnormal,
            "margin": abs(verdict.score - verdict.threshold),
            "size": verdict.size,
            "picture_bytes": verdict.picture_bytes,
        }
        names = ", ".join(row)
        renewed = ", ".join(f"{name} = excluded.{name}" for name in row)
        (number,) = transaction.execute(
            f"INSERT INTO frame ({names}) VALUES ({', '.join(f':{name}' for name in row)})"
            f" ON CONFLICT (id) DO UPDATE SET {renewed} RETURNING number",
            row,
        ).fetchone()
        transaction.execute("INSERT OR REPLACE INTO detail VALUES (?, ?)", (number, verdict.to_json()))
        apply_entries(transaction, verdict.id)  # one that comes back has its labels again


def remove_frames(transaction: sqlite3.Connection, ids: Sequence[str]) -> None:
    """Take pictures out of the index, within a transaction of the caller. Their labels' history stays."""
    for frame_id in ids:
        row = transaction.execute("DELETE FROM frame WHERE id = ? RETURNING number", (frame_id,)).fetchone()
        if row is not None:
            transaction.execute("DELETE FROM detail WHERE number = ?", row)


def _is_empty(database: sqlite3.Connection) -> bool:
    return _header(database) == (0, 0) and database.execute("SELECT 1 FROM sqlite_master").fetchone() is None


def _header(database: sqlite3.Connection) -> tuple[int, int]:
    application, version = (
        int(database.execute(f"PRAGMA {name}").fetchone()[0]) for name in ("application_id", "user_version")
    )
    return application, version

"""Tells whether a file at the path of a spool belongs to something else, so that nobody renames or changes it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

APPLICATION_ID = 0x4C4C5350  # "LLSP", in the header of a spool since version 3
_HEADER = b"SQLite format 3\0"
_OUR_TABLES = {"event", "counter", "dead", "state"}


def foreign_file(path: Path) -> str | None:
    """What stands at `path` if it is not a spool, as the end of a sentence; else None.

    No file, an empty one, and a damaged one that a spool has left (its `.seq` is beside it) are None. Reads without
    locks and changes nothing. Raises OSError when the file cannot be read.
    """
    if path.is_dir():
        return "is a folder"
    if path.exists() and not path.is_file():
        return "is not a regular file"
    if not path.exists() or not path.stat().st_size:
        return None
    with path.open("rb") as file:
        header = file.read(100)
    if path.with_name(path.name + ".seq").exists():
        return None
    if not header.startswith(_HEADER):
        return "is a file of something else"
    application = int.from_bytes(header[68:72], "big")
    if application == APPLICATION_ID or (application == 0 and _tables(path) <= _OUR_TABLES):
        return None  # 0: of version 2, or its header is still in its write-ahead log
    return "is a database of another program"


def _tables(path: Path) -> set[str]:
    """The tables in the file itself, without its write-ahead log; none if it is damaged."""
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?immutable=1", timeout=0.0, uri=True)) as database:
            rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite%'")
            return {str(name) for (name,) in rows}
    except sqlite3.Error:
        return set()

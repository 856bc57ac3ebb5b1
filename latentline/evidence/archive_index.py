"""Reads the pictures and labels of a station's archive. What it relies on, `edge_runtime/archive/index.py` writes."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

from latentline.errors import ArchiveError
from latentline.evidence.labelled_picture import LabelledPicture
from latentline.rescoring.pictures import PictureFile

INDEX_NAME = "archive.sqlite"
_APPLICATION_ID, _VERSION = 0x4C4C4131, 1
_WAIT_SECONDS = 5.0
_PICTURES = """SELECT f.id, f.day, f.label, f.kind, d.content FROM frame f JOIN detail d ON d.number = f.number
ORDER BY f.captured_at, f.id"""


def archived_pictures(folder: Path) -> list[LabelledPicture]:
    """The pictures of the archive in `folder`, the oldest first, while a station writes to it or not.

    Raises ArchiveError when it is damaged, empty, or of another version.
    """
    path = folder / INDEX_NAME
    try:
        with closing(_opened(path)) as database:
            found = list(_pictures(database, folder, path))
    except sqlite3.OperationalError as error:
        raise ArchiveError(f"{path}: the index cannot be opened ({error}); check who may read it") from None
    except (sqlite3.DatabaseError, ValueError, KeyError, TypeError) as error:
        raise ArchiveError(
            f"{path}: the index cannot be read ({error}); a station that runs makes it again, and so does "
            f"`latentline-edge archive repair {folder}`"
        ) from None
    if not found:
        raise ArchiveError(f"{folder}: the archive has no pictures yet")
    return found


def _opened(path: Path) -> sqlite3.Connection:
    """The index, for reading only; also on a disk that cannot be written, where nobody writes to it."""
    try:
        return _connected(path, "mode=ro")
    except sqlite3.OperationalError:
        unfinished = path.with_name(f"{path.name}-wal")
        if unfinished.exists() and unfinished.stat().st_size:
            raise
        return _connected(path, "mode=ro&immutable=1")


def _connected(path: Path, options: str) -> sqlite3.Connection:
    database = sqlite3.connect(f"{path.absolute().as_uri()}?{options}", uri=True, timeout=_WAIT_SECONDS)
    try:
        database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()  # opens the file
    except sqlite3.Error:
        database.close()
        raise
    return database


def _pictures(database: sqlite3.Connection, folder: Path, path: Path) -> Iterator[LabelledPicture]:
    if database.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0] == 0:
        return  # a station that starts has just made it
    numbers = [database.execute(f"PRAGMA {name}").fetchone()[0] for name in ("application_id", "user_version")]
    if numbers[0] != _APPLICATION_ID:
        raise ArchiveError(f"{path}: this is a database of another program; give the folder of `archive.path`")
    if numbers[1] != _VERSION:
        raise ArchiveError(f"{path}: the archive has version {numbers[1]}, and this software reads {_VERSION}")
    for name, day, label, kind, content in database.execute(_PICTURES):
        file = f"{day}/{name}{json.loads(content)['suffix']}"
        yield LabelledPicture(PictureFile(file, folder), label or None, kind)

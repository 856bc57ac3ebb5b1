"""Bring the index of an archive and its files together: after a crash, after a damage, after somebody removed files."""

from __future__ import annotations

import logging
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path

from edge_runtime.archive.files import day_folders, pictures_of, set_aside, whole_verdict
from edge_runtime.archive.index import INDEX_NAME, add_frames, check_header, create_index, open_index, remove_frames
from edge_runtime.archive.label_journal import open_journal
from edge_runtime.archive.labels import catch_up
from edge_runtime.archive.record import ArchivedVerdict
from latentline.base.counted import counted
from latentline.base.private_files import make_private_folder

_BATCH = 500  # pictures in one transaction
_log = logging.getLogger(__name__)


@dataclass
class RecoveredArchive:
    """What a recovery did.

    added, forgotten  pictures that the index did not know; that it knew, and whose files are gone
    broken            pictures whose files are not whole; they are in the folder `broken` now
    set_aside         the damaged index, under its new name; None: it was sound
    """

    added: int = 0
    forgotten: int = 0
    broken: int = 0
    set_aside: Path | None = None

    def __str__(self) -> str:
        broken = counted(self.broken, "broken one set aside", "broken ones set aside")
        parts = [counted(self.added, "picture entered", "pictures entered"), f"{self.forgotten} forgotten", broken]
        if self.set_aside is not None:
            parts.insert(0, f"the index was damaged, is now {self.set_aside.name}, and is made again")
        return ", ".join(parts)


def recover(folder: Path) -> RecoveredArchive:
    """Make a sound index of all whole pictures in `folder`, which need not exist. One process at a time may do so.

    Raises ArchiveError when the index is another program's, sqlite3.OperationalError and OSError when the disk fails.
    """
    make_private_folder(folder)
    done = RecoveredArchive(set_aside=_sound_index(folder / INDEX_NAME))
    with open_index(folder / INDEX_NAME) as database:
        days = day_folders(folder)
        _forget_days(database, {day.name for day in days}, done)
        for day in days:
            _compare(database, folder, day, done)
        with open_journal(folder) as journal:
            database.execute("BEGIN IMMEDIATE")
            with database:
                catch_up(database, journal)
    if done != RecoveredArchive():
        _log.warning("%s: %s", folder, done)
    return done


def _sound_index(path: Path) -> Path | None:
    """Create the index or check it; what a damaged one is now called."""
    try:
        create_index(path)
        with open_index(path) as database:
            check_header(database, path)
            result = database.execute("PRAGMA quick_check(1)").fetchone()[0]
            if result != "ok":
                raise sqlite3.DatabaseError(str(result))
    except sqlite3.OperationalError:  # locked, or the disk: the content may be sound
        raise
    except sqlite3.DatabaseError:
        aside = path.with_name(f"{path.name}.broken-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}")
        path.rename(aside)
        for ending in ("-wal", "-shm"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        create_index(path)
        return aside
    return None


def _forget_days(database: sqlite3.Connection, there: set[str], done: RecoveredArchive) -> None:
    gone = [day for (day,) in database.execute("SELECT DISTINCT day FROM frame").fetchall() if day not in there]
    for day in gone:
        ids = [row[0] for row in database.execute("SELECT id FROM frame WHERE day = ?", (day,)).fetchall()]
        _apply(database, [], ids)
        done.forgotten += len(ids)


def _compare(database: sqlite3.Connection, folder: Path, day: Path, done: RecoveredArchive) -> None:
    """Compare one day's files with the index."""
    rows = database.execute("SELECT id, picture_bytes FROM frame WHERE day = ?", (day.name,))
    known: dict[str, int] = dict(rows.fetchall())
    pictures = pictures_of(day)
    gone = [frame_id for frame_id in known if frame_id not in pictures]
    doubtful = [(name, entry) for name, entry in pictures.items() if entry.stat().st_size != known.get(name)]
    found: list[ArchivedVerdict] = []
    broken: list[str] = []
    for frame_id, entry in doubtful:
        verdict = whole_verdict(Path(entry.path))
        if verdict is None:
            broken.append(frame_id)
        else:
            found.append(verdict)
    _apply(database, found, [*gone, *broken])
    set_aside(folder, broken)
    done.added += len(found)
    done.forgotten += len(gone)
    done.broken += len(broken)


def _apply(database: sqlite3.Connection, found: list[ArchivedVerdict], gone: list[str]) -> None:
    for start in range(0, max(len(found), len(gone)), _BATCH):
        database.execute("BEGIN IMMEDIATE")
        with database:
            add_frames(database, found[start : start + _BATCH])
            remove_frames(database, gone[start : start + _BATCH])

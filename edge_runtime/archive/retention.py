"""The limits of an archive: which pictures go when there are too many, and which never do by themselves."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path

from edge_runtime.archive.files import remove_files
from edge_runtime.archive.index import remove_frames
from edge_runtime.archive.settings import ArchiveSection
from edge_runtime.mqtt.events import utc

_BATCH = 200  # pictures in one transaction
_GIB = 1 << 30
_LONG_DAYS = 30.0  # without a picture: the line rested, or the clock has jumped


@dataclass(frozen=True)
class ArchiveLimits:
    """None: no limit. Sizes in bytes, ages in days."""

    size: int | None
    days: float | None
    pictures: int | None

    @classmethod
    def of(cls, settings: ArchiveSection) -> ArchiveLimits:
        """Those of the station file."""
        size = None if settings.max_gib is None else int(settings.max_gib * _GIB)
        return cls(size, settings.max_days, settings.max_pictures)


@dataclass(frozen=True)
class ArchiveSize:
    """Pictures of an archive, and the bytes of their files."""

    pictures: int
    size: int

    def plus(self, size: int) -> ArchiveSize:
        """With one more picture of this size."""
        return ArchiveSize(self.pictures + 1, self.size + size)

    def above(self, limits: ArchiveLimits) -> str | None:
        """The limit that is exceeded, as the setting is called; None: none is."""
        if limits.pictures is not None and self.pictures > limits.pictures:
            return "max_pictures"
        if limits.size is not None and self.size > limits.size:
            return "max_gib"
        return None


def size_of(database: sqlite3.Connection) -> ArchiveSize:
    """How much is in the archive."""
    row = database.execute("SELECT COUNT(*), COALESCE(SUM(size), 0) FROM frame").fetchone()
    return ArchiveSize(int(row[0]), int(row[1]))


def labelled_size(database: sqlite3.Connection) -> ArchiveSize:
    """How much of it never goes by itself."""
    query = "SELECT COUNT(*), COALESCE(SUM(size), 0) FROM frame WHERE label IN ('good', 'defect')"
    row = database.execute(query).fetchone()
    return ArchiveSize(int(row[0]), int(row[1]))


def days_without_a_picture(database: sqlite3.Connection, days: float, now: datetime | None = None) -> float | None:
    """How long there was none behind the newest picture that is older than `days`, when that was long; else None.

    A clock that jumps ahead makes all pictures old at once, and leaves such a gap.
    """
    now = now or datetime.now(timezone.utc)
    oldest = utc(now - timedelta(days=days))
    row = database.execute(
        "SELECT (SELECT MAX(captured_at) FROM frame WHERE captured_at < ?),"
        " (SELECT MIN(captured_at) FROM frame WHERE captured_at >= ?)",
        (oldest, oldest),
    ).fetchone()
    if row[0] is None:
        return None
    behind = now if row[1] is None else min(now, _moment(row[1]))
    gap = (behind - _moment(row[0])) / timedelta(days=1)
    return gap if gap > _LONG_DAYS else None


def prune(
    database: sqlite3.Connection,
    folder: Path,
    limits: ArchiveLimits,
    now: datetime | None = None,
    *,
    labelled: bool = False,
) -> int:
    """Remove the oldest pictures without a label (`skip` is none) until the limits hold; returns how many.

    labelled  then the oldest ones with a label, too; only a person may ask for that
    The index forgets a picture before its files go: a crash between the two leaves files, which the next start finds.
    Raises sqlite3.Error and OSError.
    """
    removed = 0
    for labels in (("", "skip"), ("good", "defect"))[: 2 if labelled else 1]:
        while ids := _next_to_go(database, limits, now or datetime.now(timezone.utc), labels):
            remove_files(folder, ids)
            removed += len(ids)
    return removed


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


def _next_to_go(
    database: sqlite3.Connection, limits: ArchiveLimits, now: datetime, labels: tuple[str, str]
) -> list[str]:
    """Take the next pictures with these labels out of the index, and return their ids."""
    oldest = "" if limits.days is None else utc(now - timedelta(days=limits.days))
    database.execute("BEGIN IMMEDIATE")
    with database:
        held = size_of(database)
        rows = database.execute(
            "SELECT id, size, captured_at FROM frame WHERE label IN (?, ?) ORDER BY captured_at, number LIMIT ?",
            (*labels, _BATCH),
        ).fetchall()
        ids: list[str] = []
        for frame_id, size, captured_at in rows:
            if held.above(limits) is None and captured_at >= oldest:
                break
            ids.append(frame_id)
            held = ArchiveSize(held.pictures - 1, held.size - size)
        remove_frames(database, ids)
    return ids

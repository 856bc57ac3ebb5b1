"""Labelling: a person says what an archived picture shows, says it again, or takes it back."""

from __future__ import annotations

import sqlite3
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path

from edge_runtime.archive.index import reading
from edge_runtime.archive.label import FrameLabel
from edge_runtime.archive.label_journal import LabelJournal, open_journal
from edge_runtime.archive.label_log import (
    LabelChange,
    LabelEntry,
    changes,
    entries_of,
    label_of,
    standing_entries,
    store_entry,
)
from edge_runtime.archive.reader import unknown_frame
from edge_runtime.mqtt.events import utc
from latentline.errors import ArchiveError

_MOST_WHO = 64


class ArchiveLabels:
    """The labels of the archive in `folder`. Any thread and process may call, while a station writes to it or not.

    The last word counts; all of them stay in the history. The calls raise ArchiveError: the picture is not in the
    archive (any more), the disk is full, or the index is damaged. Then nothing has changed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def set(self, frames: Sequence[str], label: FrameLabel, who: str) -> list[LabelChange]:
        """`who` says `label` about each of these pictures: about all, or about none. Returns what changed.

        A mask must mark something inside the picture, and its `png` must have the size of the picture.
        """
        frames = list(dict.fromkeys(frames))
        with self._transaction(who) as (database, journal):
            for frame in frames:
                self._check(database, frame, label)
            return _written(database, journal, [_entry(frame, label, who) for frame in frames])

    def undo(self, frame: str, who: str) -> LabelChange | None:
        """Take back what `who` said last about a picture; what others said stands. None: there is nothing of theirs."""
        with self._transaction(who) as (database, journal):
            _size_of(database, frame)
            own = [entry for entry in standing_entries(database, frame) if entry.who == who]
            if not own:
                return None
            return _written(database, journal, [_entry(frame, None, who, undoes=own[-1].id)])[0]

    def history(self, frame: str) -> list[LabelChange]:
        """All that was said about a picture, the oldest first; also about one that is not in the archive any more."""
        with reading(self._folder) as database:
            return changes(entries_of(database, frame))

    def newest(self, limit: int = 100, offset: int = 0) -> list[LabelEntry]:
        """What was said last about any picture, the newest first."""
        with reading(self._folder) as database:
            rows = database.execute("SELECT content FROM label ORDER BY seq DESC LIMIT ? OFFSET ?", (limit, offset))
            return [LabelEntry.from_json(content) for (content,) in rows]

    @contextmanager
    def _transaction(self, who: str) -> Iterator[tuple[sqlite3.Connection, LabelJournal]]:
        if not who.strip() or len(who) > _MOST_WHO or not who.isprintable():
            raise ArchiveError(f"a label needs the name of a person, up to {_MOST_WHO} printable characters")
        try:
            with reading(self._folder) as database, open_journal(self._folder) as journal:
                database.execute("BEGIN IMMEDIATE")
                with _all_or_nothing(database, journal):
                    catch_up(database, journal)
                    yield database, journal
        except OSError as error:
            raise ArchiveError(f"{self._folder}: the label cannot be written ({error.strerror})") from None

    def _check(self, database: sqlite3.Connection, frame: str, label: FrameLabel) -> None:
        width, height = _size_of(database, frame)
        if label.mask is not None and not label.mask.drawn(height, width).any():
            raise ArchiveError(f"the mask marks nothing inside the picture of {width} x {height} px; draw it again")


@contextmanager
def _all_or_nothing(database: sqlite3.Connection, journal: LabelJournal) -> Iterator[None]:
    """A block whose failure takes back what it wrote into both."""
    before = journal.size
    try:
        with database:
            yield
    except BaseException:
        journal.cut(before)
        raise


def _written(database: sqlite3.Connection, journal: LabelJournal, entries: Sequence[LabelEntry]) -> list[LabelChange]:
    """Write entries about different pictures; what they changed."""
    old = [label_of(standing_entries(database, entry.frame)) for entry in entries]
    journal.append(entries)
    for entry in entries:
        store_entry(database, entry)
    note_size(database, journal)
    new = [label_of(standing_entries(database, entry.frame)) for entry in entries]
    return [LabelChange(*change) for change in zip(entries, old, new, strict=True)]


def _entry(frame: str, label: FrameLabel | None, who: str, undoes: str | None = None) -> LabelEntry:
    return LabelEntry(str(uuid.uuid4()), frame, utc(datetime.now(timezone.utc)), who, label, undoes)


def catch_up(transaction: sqlite3.Connection, journal: LabelJournal) -> None:
    """Write what the journal has and the index has not, within a transaction of the caller."""
    row = transaction.execute("SELECT value FROM state WHERE name = 'journal'").fetchone()
    known = 0 if row is None else int(row[0])
    if journal.size == known:
        return
    if journal.size < known:  # somebody removed it: the index has all that there was
        journal.cut(0)
        rows = transaction.execute("SELECT content FROM label ORDER BY seq")
        journal.append([LabelEntry.from_json(content) for (content,) in rows])
    else:
        for entry in journal.after(known):
            store_entry(transaction, entry)
    note_size(transaction, journal)


def note_size(transaction: sqlite3.Connection, journal: LabelJournal) -> None:
    """Note that the index has all that is in the journal, within a transaction of the caller."""
    transaction.execute("INSERT OR REPLACE INTO state VALUES ('journal', ?)", (journal.size,))


def _size_of(database: sqlite3.Connection, frame: str) -> tuple[int, int]:
    """Width and height of a picture. Raises ArchiveError when the archive does not have it."""
    row = database.execute(
        "SELECT json_extract(content, '$.width'), json_extract(content, '$.height')"
        " FROM frame f JOIN detail d ON d.number = f.number WHERE id = ?",
        (frame,),
    ).fetchone()
    if row is None:
        raise unknown_frame(frame)
    return int(row[0]), int(row[1])

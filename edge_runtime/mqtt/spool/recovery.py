"""Opens a spool: compares its database with its copies, and has a new one written when they do not agree."""

from __future__ import annotations

import logging
import sqlite3
from contextlib import suppress
from dataclasses import dataclass, replace

from edge_runtime.mqtt.spool import file as spool_file
from edge_runtime.mqtt.spool.copies import SpoolCopies
from edge_runtime.mqtt.spool.dead_copy import DeadRow
from edge_runtime.mqtt.spool.foreign import foreign_file
from edge_runtime.mqtt.spool.high_water_mark import STEP, HighWaterMark
from edge_runtime.mqtt.spool.migrate import migrate
from edge_runtime.mqtt.spool.rebuilding import (
    Knowledge,
    OpenedSpool,
    finish_rebuilding,
    rebuild,
    renew_copies,
)
from edge_runtime.mqtt.spool.second_copy import VERSION, CopyContent
from edge_runtime.mqtt.spool.survey import DatabaseSurvey, read_rows, survey
from edge_runtime.mqtt.spool.totals import Totals, merged
from latentline.base.counted import counted
from latentline.errors import ConfigError

_log = logging.getLogger(__name__)
_NO_DAMAGE = ("locked", "full", "disk I/O error", "unable to open", "readonly", "space")


@dataclass(frozen=True)
class _Evidence:
    """What the files of a spool say about it.

    found    in the database
    copied   in the second copy
    letters  in the copy of the dead letters
    """

    found: DatabaseSurvey
    copied: CopyContent
    letters: list[DeadRow]
    mark: HighWaterMark

    @property
    def last(self) -> int:
        """The largest number that any of them knows."""
        totals = self.found.totals or Totals()
        return max(totals.last_seq, self.copied.last_seq, self.mark.last, *self.found.sizes, 0)

    @property
    def dead(self) -> set[int]:
        """Numbers of the dead letters in the database."""
        return {row[0] for row in self.found.dead}

    @property
    def copied_dead(self) -> set[int]:
        """Numbers of the dead letters in their copy."""
        return {row[0] for row in self.letters}

    def knowledge(self) -> Knowledge:
        """All of it together."""
        totals = replace(merged(self.found.totals, self.copied.totals), last_seq=self.last)
        dead = self.dead | self.copied_dead
        gone = self.copied.gone | dead
        waiting = self.copied.waiting | {seq for seq in self.found.damaged if seq <= self.last}
        skipped = range(0)
        copied = self.copied
        copy_whole = copied.found and not (copied.damaged or copied.unfinished) and copied.last_seq >= self.last
        if self.found.trouble and not copy_whole:  # what neither of them knows may have waited
            oldest = self.mark.oldest or min(waiting | self.found.sizes.keys(), default=self.last + 1)
            waiting |= set(range(oldest, self.last + 1)) - self.found.sizes.keys()
            skipped = range(self.last + 1, (self.mark.bound or self.last + STEP) + 1)
            totals = replace(totals, last_seq=skipped[-1] if skipped else self.last)
        waiting = {seq for seq in waiting if seq > totals.floor and seq >= self.mark.oldest and seq not in gone}
        return Knowledge(totals, waiting, self.copied.dead | dead, gone, skipped)


def open_spool(copies: SpoolCopies) -> OpenedSpool:
    """Open the spool, or create it.

    Raises ConfigError when the file is not a spool, and OSError or sqlite3.OperationalError when it cannot be used.
    """
    path = copies.path
    if path.exists() and not path.is_file():
        raise ConfigError(f"spool.path: {path} {foreign_file(path)}, and no spool; choose another path")
    finish_rebuilding(path)
    copied = copies.second.read()
    if copied.version not in (None, VERSION):
        raise ConfigError(f"spool.path: {path} has version {copied.version}, but this software needs {VERSION}")
    ours = copied.found or copies.exist
    if not ours and (what := foreign_file(path)) is not None:
        raise ConfigError(f"spool.path: {path} {what}, and no spool; choose another path")
    if not path.exists() or not path.stat().st_size:
        if not ours:
            return _create(copies)
        return _compare(copies, copied, None, ["its file is missing"])
    database: sqlite3.Connection | None = None
    trouble: list[str] = []
    try:
        database = spool_file.connect(path, ours=ours)
    except spool_file.READ_ERRORS as error:
        if not is_damage(error):
            raise
        trouble.append(str(error))
    # Not inside `except`: the exception keeps cursors alive, and they keep the file locked.
    if database is None:
        with suppress(*spool_file.READ_ERRORS):
            database = spool_file.connect_unchecked(path)
    try:
        return _compare(copies, copied, database, trouble)
    except BaseException:
        if database is not None:
            database.close()
        raise


def is_damage(error: Exception) -> bool:
    """Whether `error` says that the file is damaged, and not that the disk is full or another process has the file."""
    if isinstance(error, sqlite3.OperationalError):
        return not any(words in str(error) for words in _NO_DAMAGE)
    # SQLITE_CORRUPT and SQLITE_NOTADB; the rest raise subclasses
    return type(error) in (sqlite3.DatabaseError, UnicodeDecodeError)


def _create(copies: SpoolCopies) -> OpenedSpool:
    database = spool_file.create(copies.path)
    with suppress(OSError):
        copies.second.go_on(Totals())
    return OpenedSpool(database, Totals(), set(), set())


def _compare(
    copies: SpoolCopies,
    copied: CopyContent,
    database: sqlite3.Connection | None,
    trouble: list[str],
) -> OpenedSpool:
    """Compare everything. trouble: what is known to be wrong with the database; None: there is none."""
    taken_over = database is not None and not trouble and spool_file.version_of(database) < VERSION
    if database is not None and taken_over:
        waiting = counted(migrate(database), "event waits", "events wait")
        _log.info("the spool %s of version 2 was taken over: %s in it", copies.path, waiting)
    found = DatabaseSurvey() if database is None else survey(database)
    found.trouble[:0] = trouble
    letters, letters_damaged = copies.dead.read()
    evidence = _Evidence(found, copied, letters, copies.mark)
    if found.totals is not None and found.totals.last_seq < evidence.last:
        found.trouble.append("what was written last is not in it")
    if database is not None and not (copied.found or copies.mark.oldest or taken_over):
        found.trouble.append("no file beside it says what was written last")
    known = evidence.knowledge()
    if missing := known.waiting - found.sizes.keys() - found.damaged:
        found.trouble.append(f"{len(missing)} of its events are missing")
    if len(found.dead) < spool_file.MAX_DEAD and known.dead - evidence.dead:
        found.trouble.append("dead letters are missing")
    if database is None or found.trouble:
        return rebuild(copies, database, known, ", ".join(dict.fromkeys(found.trouble)))
    copy_trouble = "a part of it is unreadable" if copied.damaged or letters_damaged else None
    if copies.mark.damaged:
        copy_trouble = copy_trouble or f"{copies.mark.path.name} is unreadable"
    if not copied.found and known.totals.last_seq and not taken_over:
        copy_trouble = "its files are missing"
    if len(evidence.dead - evidence.copied_dead) > 1:  # a crash leaves one
        copy_trouble = copy_trouble or "dead letters are missing"
    return _complete(copies, evidence, known, database, copy_trouble)


def _complete(
    copies: SpoolCopies, evidence: _Evidence, known: Knowledge, database: sqlite3.Connection, copy_trouble: str | None
) -> OpenedSpool:
    """The database is whole: complete what a crash left undone. A full disk may prevent it."""
    found = evidence.found
    sizes = {seq: size for seq, size in found.sizes.items() if known.wants(seq)}
    confirmed = [(seq,) for seq in found.sizes.keys() - sizes.keys()]  # but a crash came before the deletion
    with suppress(sqlite3.OperationalError), database as transaction:
        transaction.executemany("DELETE FROM event WHERE seq = ?", confirmed)
    totals = replace(known.totals, events=len(sizes), bytes=sum(sizes.values()))
    opened = OpenedSpool(database, totals, set(sizes), evidence.dead)
    if copy_trouble is not None:
        return renew_copies(copies, opened, copy_trouble)
    fresh = sizes.keys() - evidence.copied.waiting
    with suppress(OSError):
        if evidence.dead - evidence.copied_dead:
            copies.dead.write(found.dead)
        copies.second.go_on(totals)
        copies.second.add((event for seq, event in read_rows(database, []) if fresh and event and seq in fresh), totals)
    return opened

"""Opens a spool and compares it with its second copy; writes a new file from both when one of them is damaged."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

from edge_runtime.mqtt.spool import file as spool_file
from edge_runtime.mqtt.spool.dead_copy import DeadCopy
from edge_runtime.mqtt.spool.migrate import migrate, salvage_version_2
from edge_runtime.mqtt.spool.second_copy import VERSION, CopyContent, SecondCopy
from edge_runtime.mqtt.spool.seq_ranges import seq_ranges
from edge_runtime.mqtt.spool.stored import StoredEvent
from edge_runtime.mqtt.spool.totals import Totals, merged
from latentline.errors import ConfigError

_log = logging.getLogger(__name__)
_BATCH = 500  # events in one transaction
_NO_DAMAGE = ("locked", "full", "disk I/O error", "unable to open", "readonly", "space")
_MAX_BROKEN = 8  # broken spools that are kept


@dataclass(frozen=True)
class OpenedSpool:
    """An open spool.

    waiting  numbers of the events in it
    report   a sentence about damage; None: it was whole
    """

    database: sqlite3.Connection
    totals: Totals
    waiting: set[int]
    report: str | None = None


@dataclass(frozen=True)
class Knowledge:
    """What is known of a damaged spool.

    waiting  numbers of events that must be in it
    gone     numbers of events that must not; None: all but `waiting`
    totals   its counters
    """

    waiting: set[int]
    gone: set[int] | None
    totals: Totals

    def wants(self, seq: int) -> bool:
        """Whether the new file shall contain this event."""
        return seq in self.waiting or (self.gone is not None and seq not in self.gone)


def open_spool(path: Path, copy: SecondCopy, bound: int) -> OpenedSpool:
    """Open the spool, or create it. bound: no number above it was ever used; 0: unknown.

    Raises ConfigError when the file is not a spool, and OSError or sqlite3.OperationalError when it cannot be used.
    """
    content = copy.read()
    if not path.exists() or not path.stat().st_size:
        if content.found:
            totals = replace(content.totals or Totals(), last_seq=content.last_seq)
            return rebuild(path, copy, None, Knowledge(content.waiting, content.gone, totals), "its file is missing")
        return _new(path, copy, bound)
    if spool_file.is_foreign(path) and not (content.found or bound):
        raise ConfigError(f"spool.path: {path} exists and is not a spool; choose another path, or remove the file")
    try:
        database = spool_file.connect(path, content.version or (VERSION if content.found else None))
        try:
            return _compare(path, copy, content, bound, database)
        except BaseException:
            database.close()
            raise
    except spool_file.READ_ERRORS as error:
        if not is_damage(error):
            raise
        cause = str(error)
    # Not inside `except`: the exception keeps cursors alive, and they keep the file locked.
    return _salvage(path, copy, content, bound, cause)


def is_damage(error: Exception) -> bool:
    """Whether `error` says that the file is damaged, and not that the disk is full or another process has the file."""
    if not isinstance(error, sqlite3.OperationalError):
        return type(error) in (
            sqlite3.DatabaseError,
            UnicodeDecodeError,
        )  # SQLITE_CORRUPT and SQLITE_NOTADB; the rest raise subclasses
    return not any(words in str(error) for words in _NO_DAMAGE)


def rebuild(path: Path, copy: SecondCopy, old: sqlite3.Connection | None, known: Knowledge, cause: str) -> OpenedSpool:
    """Write a new file with all that can be read, put it in the place of the old one, and start the second copy again.

    old: the open file, if it can be read at all; it is closed. The old files are renamed to *.broken-TIME.
    Raises OSError or sqlite3.Error when that is not possible; then nothing has changed.
    """
    building = path.with_name(path.name + ".new")
    _remove(building)
    try:
        with closing(spool_file.create(building)) as new:
            kept = _fill(new, copy, old, known)
            lost = known.waiting - kept.keys()
            last = max(known.totals.last_seq, *kept, *known.waiting, 0)
            counts = replace(known.totals, last_seq=last, damaged=known.totals.damaged + len(lost))
            totals = replace(counts, events=len(kept), bytes=sum(kept.values()))
            with new as transaction:
                spool_file.insert_dead(transaction, spool_file.salvage_dead(old) if old is not None else [])
                spool_file.insert_dead(transaction, DeadCopy(path).read())
                spool_file.save_totals(transaction, totals, totals.clock)
    except BaseException:
        _remove(building)
        raise
    cause = " ".join(cause.split())  # SQLite may say it in several lines
    name = _set_aside(path, old)
    building.rename(path)
    with suppress(OSError):
        copy.start_again(name if lost else None)
    database = spool_file.connect(path, VERSION)
    copy_all(database, copy, totals)
    result = f"{_events(len(lost))} lost (seq {seq_ranges(lost)})" if lost else "no event is lost"
    report = (
        f"the spool {path} was damaged ({cause}): {result}, {_events(len(kept), 'still')} waiting; what was damaged "
        f"is kept as {name}*, and the next event gets seq {last + 1}"
    )
    _log.error("%s", report)
    return OpenedSpool(database, totals, set(kept), report)


def renew_copy(path: Path, copy: SecondCopy, opened: OpenedSpool, cause: str) -> OpenedSpool:
    """Write the second copy again from a spool that is whole. Raises OSError when that is not possible."""
    name = _broken_name(path)
    copy.start_again(name)
    copy_all(opened.database, copy, opened.totals)
    _keep_newest(path)
    report = f"the second copy of the spool {path} was damaged ({cause}) and was written again; no event is lost"
    _log.error("%s", report)
    return replace(opened, report=report)


def copy_all(database: sqlite3.Connection, copy: SecondCopy, totals: Totals, without: Iterable[int] = ()) -> None:
    """Write all events, but those in `without`, to the second copy. On a full disk the copy stays incomplete."""
    skip, batch = set(without), list[StoredEvent]()
    try:
        for seq, event in spool_file.read_rows(database):
            if event is not None and seq not in skip:
                batch.append(event)
            if len(batch) >= _BATCH:
                copy.add(batch, totals)
                batch.clear()
        copy.add(batch, totals)
        copy.touch(totals)
    except OSError as error:
        _log.warning("the second copy of the spool cannot be written (%s)", error.strerror)


def _new(path: Path, copy: SecondCopy, bound: int) -> OpenedSpool:
    database = spool_file.create(path)
    with suppress(OSError):
        copy.touch(Totals(last_seq=bound))
    if not bound:
        return OpenedSpool(database, Totals(), set())
    report = (
        f"the files of the spool {path} are missing, and nobody knows which events waited in them; a new one starts "
        f"with seq {bound + 1}"
    )
    _log.error("%s", report)
    return OpenedSpool(database, Totals(last_seq=bound), set(), report)


def _salvage(path: Path, copy: SecondCopy, content: CopyContent, bound: int, cause: str) -> OpenedSpool:
    """Rebuild a spool whose file cannot be opened in the regular way."""
    totals: Totals | None = None
    old: sqlite3.Connection | None = None
    with suppress(*spool_file.READ_ERRORS):
        old = spool_file.connect_unchecked(path)
        totals = spool_file.read_totals(old)
    counters = merged(totals, content.totals)
    last = max(content.last_seq, counters.last_seq)
    if totals is None and (content.damaged or not content.found):
        last = max(last, bound)
    known = Knowledge(content.waiting, content.gone, replace(counters, last_seq=last))
    return rebuild(path, copy, old, known, cause)


def _compare(
    path: Path, copy: SecondCopy, content: CopyContent, bound: int, database: sqlite3.Connection
) -> OpenedSpool:
    """Compare the rows with their checksums and with the second copy."""
    if taken_over := spool_file.version_of(database) < VERSION:
        _log.info("the spool %s of version 2 was taken over: %d events wait in it", path, migrate(database))
    sizes: dict[int, int] = {}
    damaged: set[int] = set()
    for seq, event in spool_file.read_rows(database):
        if event is None:
            damaged.add(seq)
        else:
            sizes[seq] = event.size
    totals = spool_file.read_totals(database)
    missing = content.waiting - sizes.keys() - damaged
    last = max(content.last_seq, totals.last_seq if totals is not None else bound, *sizes)
    causes = [
        f"{_events(len(damaged))} not what was written" if damaged else "",
        f"{_events(len(missing))} missing from it" if missing else "",
        "its counters are damaged" if totals is None else "",
        "it is older than its second copy" if totals is not None and totals.last_seq < content.last_seq else "",
    ]
    if any(causes):
        waiting = content.waiting | {seq for seq in damaged if 0 < seq <= last and seq not in content.gone}
        counters = replace(merged(totals, content.totals), last_seq=last)
        known = Knowledge(waiting, content.gone, counters)
        return rebuild(path, copy, database, known, ", ".join(filter(None, causes)))
    assert totals is not None
    _compare_dead(database, DeadCopy(path))
    with suppress(sqlite3.OperationalError), database as transaction:  # confirmed, but a crash came before the deletion
        transaction.executemany("DELETE FROM event WHERE seq = ?", [(seq,) for seq in sizes.keys() & content.gone])
        sizes = {seq: size for seq, size in sizes.items() if seq not in content.gone}
    opened = OpenedSpool(database, replace(totals, events=len(sizes), bytes=sum(sizes.values())), set(sizes))
    if content.damaged or (not content.found and totals.last_seq and not taken_over):
        with suppress(OSError):  # on a full disk the copy has to wait for the next start
            cause = "a part of it is unreadable" if content.found else "its files are missing"
            return renew_copy(path, copy, opened, cause)
    copy_all(database, copy, opened.totals, content.waiting)
    return opened


def _compare_dead(database: sqlite3.Connection, copy: DeadCopy) -> None:
    """Complete the dead letters from their copy, and the copy from them. On a full disk both stay as they are."""
    copied, rows = copy.read(), spool_file.salvage_dead(database)
    if sorted(copied) == sorted(rows):
        return
    with suppress(sqlite3.OperationalError), database as transaction:
        spool_file.insert_dead(transaction, copied)
    copy.write(spool_file.salvage_dead(database))


def _fill(
    new: sqlite3.Connection, copy: SecondCopy, old: sqlite3.Connection | None, known: Knowledge
) -> dict[int, int]:
    """Write all wanted events that can be read. Returns the size of each."""
    kept: dict[int, int] = {}
    if old is not None:
        _take(new, spool_file.salvage(old), known, kept)
        if not kept:
            _take(new, salvage_version_2(old), known, kept)
    _take(new, copy.fetch(known.waiting - kept.keys()), known, kept)
    return kept


def _take(new: sqlite3.Connection, events: Iterator[StoredEvent], known: Knowledge, kept: dict[int, int]) -> None:
    batch: list[StoredEvent] = []

    def flush() -> None:
        with new as transaction:
            spool_file.insert(transaction, batch)
        batch.clear()

    for event in events:
        if event.seq not in kept and known.wants(event.seq):
            kept[event.seq] = event.size
            batch.append(event)
            if len(batch) >= _BATCH:
                flush()
    flush()


def _set_aside(path: Path, old: sqlite3.Connection | None) -> str:
    """Rename the database; returns the new name. The write-ahead log too: a new file must not replay it."""
    name = _broken_name(path)
    for ending in ("", "-wal"):  # before `old` is closed: that would write the log into the file and delete it
        part = path.with_name(path.name + ending)
        if part.exists():
            part.rename(path.with_name(name + ending))
    if old is not None:
        with suppress(sqlite3.Error):
            old.close()
    _keep_newest(path)
    return name


def _broken_name(path: Path) -> str:
    return f"{path.name}.broken-{datetime.now(timezone.utc):%Y%m%dT%H%M%S%fZ}"


def _keep_newest(path: Path) -> None:
    """Delete the oldest broken spools: a dying disk must not be filled with them. What was readable is not in them."""
    prefix = f"{path.name}.broken-"
    parts = sorted(part for part in path.parent.iterdir() if part.name.startswith(prefix))
    times = sorted({part.name.removeprefix(prefix)[:22] for part in parts})[:-_MAX_BROKEN]
    for part in parts:
        if part.name.removeprefix(prefix)[:22] in times:
            with suppress(OSError):
                part.unlink()


def _remove(building: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        building.with_name(building.name + ending).unlink(missing_ok=True)


def _events(count: int, how: str = "") -> str:
    return f"{count} event{' is' if count == 1 else 's are'} {how}".rstrip()

"""Writes a new file of a spool from all that can be read, and puts it in the place of a damaged one."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timezone
from pathlib import Path

from edge_runtime.mqtt.spool import file as spool_file
from edge_runtime.mqtt.spool.copies import SpoolCopies
from edge_runtime.mqtt.spool.seq_ranges import seq_ranges
from edge_runtime.mqtt.spool.stored import StoredEvent
from edge_runtime.mqtt.spool.survey import read_dead, read_rows, salvage
from edge_runtime.mqtt.spool.totals import Totals

_log = logging.getLogger(__name__)
_BATCH = 500  # events in one transaction
_MAX_BROKEN = 8  # broken spools that are kept
_TIME_LENGTH = 22  # of the TIME in *.broken-TIME


@dataclass(frozen=True)
class OpenedSpool:
    """An open spool.

    waiting  numbers of the events in it; dead: of its dead letters
    report   a sentence about damage; None: it was whole
    """

    database: sqlite3.Connection
    totals: Totals
    waiting: set[int]
    dead: set[int]
    report: str | None = None


@dataclass(frozen=True)
class Knowledge:
    """What is known of a damaged spool.

    totals   its counters
    waiting  numbers of events that must be in it; dead: of dead letters that must be
    gone     numbers of events that must not; None: all but `waiting`
    skipped  numbers that are not used: nobody knows whether there were such events
    """

    totals: Totals
    waiting: set[int]
    dead: set[int]
    gone: set[int] | None = None
    skipped: range = range(0)

    def wants(self, seq: int) -> bool:
        """Whether the new file shall contain this event."""
        return seq in self.waiting or (self.gone is not None and seq > self.totals.floor and seq not in self.gone)


@dataclass
class _Written:
    """What the new file contains: bytes of each event, numbers of dead letters."""

    sizes: dict[int, int] = field(default_factory=dict)
    dead: set[int] = field(default_factory=set)


def rebuild(copies: SpoolCopies, old: sqlite3.Connection | None, known: Knowledge, cause: str) -> OpenedSpool:
    """Write a new file with all that can be read, put it in the place of the old one, and start the copies again.

    old: the open file, if it can be read at all; it is closed. The old files are renamed to *.broken-TIME.
    Raises OSError or sqlite3.Error when that is not possible; then nothing has changed.
    """
    building = copies.path.with_name(copies.path.name + ".new")
    _remove(building)
    try:
        with closing(spool_file.create(building)) as new:
            written = _fill(new, copies, old, known)
            lost = known.waiting - written.sizes.keys()
            lost_dead = known.dead - written.dead if len(written.dead) < spool_file.MAX_DEAD else set()
            last = max(known.totals.last_seq, *written.sizes, *known.waiting, 0)
            damaged = known.totals.damaged + len(lost) + len(lost_dead)
            sizes = written.sizes
            totals = replace(known.totals, events=len(sizes), bytes=sum(sizes.values()), last_seq=last, damaged=damaged)
            with new as transaction:
                spool_file.save_totals(transaction, totals, totals.clock)
        if building.with_name(building.name + "-wal").exists():
            raise sqlite3.OperationalError("database or disk is full")
    except BaseException:
        _remove(building)
        raise
    name = _broken_name(copies.path)
    kept = f"what was damaged is kept as {name}*, and " if old is not None or lost or lost_dead else ""
    report = _report(copies.path, cause, lost, lost_dead, known.skipped, len(sizes), kept, last + 1)
    _log.error("%s", report)  # before a crash can come between
    building.rename(_ready(copies.path))
    _set_aside(copies.path, name, old)
    finish_rebuilding(copies.path)
    database = spool_file.connect(copies.path, ours=True)
    opened = OpenedSpool(database, totals, set(sizes), written.dead, report)
    _write_copies(copies, opened, name if lost or lost_dead else None)
    return opened


def finish_rebuilding(path: Path) -> None:
    """Put a new file that is whole in its place, perhaps after a crash."""
    if _ready(path).exists():
        _set_aside(path, _broken_name(path), None)
        _ready(path).rename(path)


def renew_copies(copies: SpoolCopies, opened: OpenedSpool, cause: str) -> OpenedSpool:
    """Write all copies again from a database that is whole."""
    _write_copies(copies, opened, _broken_name(copies.path))
    keep_newest(copies.path)
    report = f"files beside the spool {copies.path} were damaged ({cause}) and were written again; no event is lost"
    _log.error("%s", report)
    return replace(opened, report=report)


def _write_copies(copies: SpoolCopies, opened: OpenedSpool, old_name: str | None) -> None:
    events = (event for _, event in read_rows(opened.database, []) if event is not None)
    copies.start_again(events, read_dead(opened.database, []), opened.totals, old_name)


def keep_newest(path: Path) -> None:
    """Delete the oldest broken spools: a dying disk must not be filled with them. What was readable is not in them."""
    prefix = f"{path.name}.broken-"
    parts = sorted(part for part in path.parent.iterdir() if part.name.startswith(prefix))
    times = sorted({part.name.removeprefix(prefix)[:_TIME_LENGTH] for part in parts})[:-_MAX_BROKEN]
    for part in parts:
        if part.name.removeprefix(prefix)[:_TIME_LENGTH] in times:
            with suppress(OSError):
                part.unlink()


def _fill(new: sqlite3.Connection, copies: SpoolCopies, old: sqlite3.Connection | None, known: Knowledge) -> _Written:
    """Write all wanted events and all dead letters that can be read."""
    written = _Written()
    letters = copies.dead.read()[0] + (read_dead(old, []) if old is not None else [])
    with new as transaction:
        spool_file.insert_dead(transaction, letters)
    written.dead = {seq for (seq,) in new.execute("SELECT seq FROM dead")}
    if old is not None:
        _take(new, salvage(old), known, written.sizes)
    _take(new, copies.second.fetch(known.waiting - written.sizes.keys()), known, written.sizes)
    return written


def _take(new: sqlite3.Connection, events: Iterator[StoredEvent], known: Knowledge, sizes: dict[int, int]) -> None:
    batch: list[StoredEvent] = []

    def flush() -> None:
        with new as transaction:
            spool_file.insert(transaction, batch)
        batch.clear()

    for event in events:
        if event.seq not in sizes and known.wants(event.seq):
            sizes[event.seq] = event.size
            batch.append(event)
            if len(batch) >= _BATCH:
                flush()
    flush()


def _set_aside(path: Path, name: str, old: sqlite3.Connection | None) -> None:
    """Rename the database to `name`. The write-ahead log too, and first: a new file must not replay it."""
    for ending in ("-wal", ""):  # before `old` is closed: that would write the log into the file and delete it
        part = path.with_name(path.name + ending)
        if part.exists():
            part.rename(path.with_name(name + ending))
    if old is not None:
        with suppress(sqlite3.Error):
            old.close()
    keep_newest(path)


def _report(
    path: Path, cause: str, lost: set[int], lost_dead: set[int], skipped: range, waiting: int, kept: str, following: int
) -> str:
    cause = " ".join(cause.split())  # SQLite may say it in several lines
    parts = [_lost(lost, "event")] if lost else []
    parts += [_lost(lost_dead, "dead letter")] if lost_dead else []
    parts += [f"nobody knows whether there were others (seq {seq_ranges(skipped)})"] if skipped else []
    return (
        f"the spool {path} was damaged ({cause}): {' and '.join(parts) or 'no event is lost'}, {waiting} still "
        f"{'waits' if waiting == 1 else 'wait'}; {kept}the next event gets seq {following}"
    )


def _lost(seqs: Iterable[int], what: str) -> str:
    count = len(list(seqs))
    return f"{count} {what}{' is' if count == 1 else 's are'} lost (seq {seq_ranges(seqs)})"


def _ready(path: Path) -> Path:
    """The new file, whole."""
    return path.with_name(path.name + ".ready")


def _broken_name(path: Path) -> str:
    return f"{path.name}.broken-{datetime.now(timezone.utc):%Y%m%dT%H%M%S%fZ}"


def _remove(building: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        building.with_name(building.name + ending).unlink(missing_ok=True)

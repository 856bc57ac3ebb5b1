"""The spool: events on disk until the broker has confirmed them.

It uses SQLite in WAL mode with synchronous FULL: when `append` returns, the event survives a crash and a power cut (if
the disk keeps what it has confirmed). Only one process can open the file; a second one gets an error. Each event has a
checksum, and there is a second copy of all that waits (second_copy.py).
"""

from __future__ import annotations

import errno
import logging
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from edge_runtime.mqtt.events import Message, encode
from edge_runtime.mqtt.spool import file as spool_file
from edge_runtime.mqtt.spool.copies import SpoolCopies
from edge_runtime.mqtt.spool.file_watch import FileWatch
from edge_runtime.mqtt.spool.limits import SpoolLimits
from edge_runtime.mqtt.spool.rebuilding import Knowledge, OpenedSpool, rebuild, renew_copies
from edge_runtime.mqtt.spool.recovery import is_damage, open_spool
from edge_runtime.mqtt.spool.storage import SpoolStorage
from edge_runtime.mqtt.spool.totals import CAUSES, Totals
from latentline.base.private_files import make_private_folder
from latentline.errors import ConfigError

_T = TypeVar("_T")
_log = logging.getLogger(__name__)
_IN_USE = "another station or program has it open; stop that one, or give each station a spool of its own"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True)
class SpooledEvent:
    """An event in the spool. `seq` counts 1, 2, 3, … without gaps in the order of `append`; `body` is its JSON."""

    seq: int
    topic: str
    body: bytes


class Spool:
    """A queue of events in a file. Any thread may call; a lock admits one at a time, and waits for a disk that hangs.

    Only the counters `last_seq`, `dropped`, `dead_letters`, `damaged`, `given_up`, `size_bytes` and `len` never wait.

    max_events, max_bytes, max_age_seconds: above any of them the oldest events are dropped, and counted by cause in
    `dropped`. max_bytes counts topics and payloads; the files are about two and a half times as large. The age of an
    event is the time for which the spool has been open since it was written, so neither a clock that jumps nor a night
    without power makes events old.

    Damage may be found when the spool is opened, by any call, and by `check`. Then everything that is readable, in the
    file or in its second copy, goes into a new file, the damaged ones are renamed to *.broken-TIME, and `seq`
    continues.

    set_aside   the sentence that says so, with the numbers of the events that are lost; None: there was no damage
    generation  counts how often the file was written again, so events may be back below those already read
    unusable    why the spool has no file yet: the disk is full. `append` and `check` try again. Else None

    Raises ConfigError when `path` is not a spool or cannot be used.
    """

    def __init__(
        self, path: Path, max_events: int, max_bytes: int | None = None, max_age_seconds: float | None = None
    ) -> None:
        self._path, self._wal = path, path.with_name(path.name + "-wal")
        self._limits = SpoolLimits(max_events, max_bytes, max_age_seconds)
        self._lock = threading.Lock()
        self.set_aside: str | None = None
        self.generation = 0
        self.unusable: str | None = None
        self._watch = FileWatch()
        self._copies = SpoolCopies(path)
        self._open_storage: SpoolStorage | None = None
        self._open()

    def append(self, topic: str, event: Message) -> int:
        """Write `event` to the disk and return its seq.

        Raises sqlite3.Error if the disk is full or fails, ValueError if `event` is not JSON; then nothing has changed.
        """
        return self.append_many([(topic, event)])[0]

    def append_many(self, events: Sequence[tuple[str, Message]]) -> list[int]:
        """Write (topic, event) pairs in one transaction: all or none. Returns their seqs; raises as `append` does."""
        rows = [(topic.encode(), encode(event)) for topic, event in events]
        with self._lock:
            self._open_again()
            return self._recovering(lambda: self._storage.insert(rows))

    def waiting(self, after: int, limit: int) -> list[SpooledEvent]:
        """The oldest events with seq > `after`, in order, `limit` at most."""
        with self._lock:
            if self._open_storage is None:
                return []
            events = self._recovering(lambda: self._storage.select(after, limit))
        return [SpooledEvent(event.seq, event.topic.decode(errors="surrogateescape"), event.body) for event in events]

    def remove(self, seqs: Sequence[int]) -> None:
        """Delete events that the broker has confirmed, in one transaction.

        The deletion is not flushed to the disk, because the next `append` would have to wait for it. After a power cut
        some of the events may be back and are sent again; after a crash of this process they are not.
        """
        with self._lock:
            self._recovering(lambda: self._storage.delete(seqs))

    def bury(self, seq: int, reason: str) -> None:
        """Make a dead letter of an event that can never be delivered. reason: why, for people."""
        with self._lock:
            self._recovering(lambda: self._storage.bury(seq, reason))

    def expire(self) -> None:
        """Drop events that are too old. `append` does so, too."""
        with self._lock:
            self._recovering(lambda: self._storage.insert([]))

    def check(self) -> None:
        """Find out whether something else removed or changed the files, and repair them. Call it twice a second.

        Raises sqlite3.Error or OSError when they cannot be repaired now; the next call tries again.
        """
        with self._lock:
            self._open_again()
            if self._open_storage is not None and (changes := self._watch.changed()):
                self._repair(changes)

    @property
    def last_seq(self) -> int:
        """The sequence number used last, 0 if none was."""
        return self._totals.last_seq

    @property
    def dropped(self) -> dict[str, int]:
        """Events dropped in the life of this file, by cause: count, bytes, age."""
        totals = self._totals
        return {cause: totals.dropped[cause] for cause in CAUSES}

    @property
    def dead_letters(self) -> int:
        """Events that became dead letters in the life of this file."""
        return self._totals.dead

    @property
    def given_up(self) -> int:
        """Events that nobody will receive, in the life of this file: dropped, damaged, and dead letters."""
        totals = self._totals
        return sum(totals.dropped[cause] for cause in CAUSES) + totals.dead + totals.damaged

    @property
    def damaged(self) -> int:
        """Events of this file that damage has cost in its life."""
        return self._totals.damaged

    @property
    def size_bytes(self) -> int:
        """Size of the waiting events: topics and payloads."""
        return self._totals.bytes

    def __len__(self) -> int:
        return self._totals.events

    def close(self) -> None:
        """Close the file. The waiting events stay in it."""
        with self._lock:
            if self._open_storage is None:
                return
            self._storage.close()
            self._copies.close()

    # ---- the lock is held

    @property
    def _totals(self) -> Totals:
        storage = self._open_storage  # read once: there is no lock
        return Totals() if storage is None else storage.totals

    @property
    def _storage(self) -> SpoolStorage:
        """The open spool. Raises sqlite3.OperationalError while there is none."""
        if self._open_storage is None:
            raise sqlite3.OperationalError(self.unusable)
        return self._open_storage

    def _recovering(self, work: Callable[[], _T]) -> _T:
        """Do `work`; if the file turns out to be damaged, on a new one. Raises sqlite3.Error and what `work` raises."""
        try:
            if self._open_storage is not None and (changes := self._watch.changed()):
                self._repair(changes)
            try:
                return work()
            except spool_file.READ_ERRORS as error:
                if self._open_storage is None or not is_damage(error):
                    raise
                cause = str(error)
            self._rebuild(cause)  # not inside `except`: the exception keeps cursors alive, and they the old file
            return work()
        except OSError as error:  # of a repair
            raise sqlite3.OperationalError(f"{error.filename}: {error.strerror}") from None
        finally:
            self._record_files()

    # ---- opening and repairing

    def _open(self) -> None:
        """Open or create the file. On a full disk it stays closed: see `unusable`. Raises ConfigError."""
        try:
            make_private_folder(self._path.parent)
            self._use(open_spool(self._copies))
        except OSError as error:
            self._cannot_open(error.strerror or str(error), full=error.errno in _FULL)
        except sqlite3.OperationalError as error:  # locked, not writable, no space: the file itself may be fine
            reason = _IN_USE if "locked" in str(error) else str(error)
            self._cannot_open(reason, full="full" in str(error) or "disk I/O error" in str(error))

    def _open_again(self) -> None:
        """Try to open a file that could not be opened when the disk was full."""
        if self._open_storage is None:
            try:
                self._open()
            except ConfigError as error:
                self.unusable = str(error)

    def _cannot_open(self, reason: str, *, full: bool) -> None:
        if not full:
            raise ConfigError(f"spool.path: {self._path} cannot be used ({reason})") from None
        self.unusable = f"the spool {self._path} cannot be opened ({reason})"

    def _use(self, opened: OpenedSpool) -> None:
        self._watch.start_again()
        self._open_storage = SpoolStorage(opened, self._copies, self._limits, self._watch)
        self.unusable = None
        self.set_aside = opened.report or self.set_aside
        self.generation += 1
        self._record_files()
        if opened.report is not None:
            _log.info("the spool %s is whole again", self._path)

    def _repair(self, changes: Sequence[tuple[Path, str]]) -> None:
        """Repair what something else has done to the files."""
        cause = ", ".join(f"{path.name} {what}" for path, what in changes)
        changed = {path for path, _ in changes}
        if changed & {self._path, self._wal}:
            self._rebuild(cause)
            return
        if self._copies.mark.path in changed:
            self._copies.mark.renew()
        self._use(renew_copies(self._copies, self._storage.snapshot(), cause))

    def _rebuild(self, cause: str) -> None:
        present = self._storage.snapshot()
        known = Knowledge(present.totals, present.waiting, present.dead)
        try:
            opened = rebuild(self._copies, present.database, known, cause)
        except (OSError, sqlite3.Error) as error:
            if not self._storage.open:  # the old file is gone already: start again with what is there
                self._open_storage, self.unusable = None, f"the spool {self._path} cannot be opened ({error})"
            raise
        self._use(opened)

    def _record_files(self) -> None:
        growing = [self._path, self._wal, *self._copies.growing] if self._open_storage is not None else []
        self._watch.record(growing, self._copies.finished, self._copies.dead.path)

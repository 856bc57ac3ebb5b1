"""A second copy of the waiting events, in files of its own beside the database.

SQLite forgets everything behind a damaged place of its write-ahead log, silently, and with it the newest events and the
number used last. The second copy knows both. It is a list of records in files of a few MiB each (`spool.sqlite.copy-1`,
`-2`, …); the oldest file goes when none of its events waits any more. It is not flushed to the disk with each event,
because the database is: it must survive a crash of the process, and only the database a power cut.
"""

from __future__ import annotations

import json
import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from edge_runtime.mqtt.spool.records import ADDED, BURIED, GONE, STATE, CopyRecord, Kind, pack, parse
from edge_runtime.mqtt.spool.stored import StoredEvent
from edge_runtime.mqtt.spool.totals import Totals, totals_json

VERSION = 3  # of the spool
_ENDING = ".copy-"
_FILE_BYTES = 4 << 20  # a file that has grown to this size is followed by a new one
_BATCH = 500  # records in one write


@dataclass
class CopyContent:
    """What the copy knew when it was read.

    found       there is a copy at all
    damaged     a part of it is unreadable, or a file is missing
    unfinished  a last record is not whole: a kill came, or damage that looks like it
    waiting     numbers of the events that wait; gone: of events that do not wait any more; dead: of dead letters
    last_seq    number used last, as far as the copy knows
    totals      the newest counters in it
    version     of the spool it belongs to
    """

    found: bool = False
    damaged: bool = False
    unfinished: bool = False
    waiting: set[int] = field(default_factory=set)
    gone: set[int] = field(default_factory=set)
    dead: set[int] = field(default_factory=set)
    last_seq: int = 0
    totals: Totals | None = None
    version: int | None = None

    def take(self, record: CopyRecord) -> None:
        """Learn from the next record."""
        seq = record.event.seq
        self.last_seq = max(self.last_seq, seq)
        if record.kind == ADDED:
            self.waiting.add(seq)
            self.gone.discard(seq)
        elif record.kind in (GONE, BURIED):
            self.waiting.discard(seq)
            self.gone.add(seq)
            if record.kind == BURIED:
                self.dead.add(seq)
        elif record.kind == STATE:
            version, _, totals = record.event.body.partition(b" ")
            self.version = int(version)
            if self.version == VERSION:
                self.totals = Totals(**json.loads(totals))


@dataclass
class _CopyFile:
    path: Path
    number: int
    last_added: int = 0  # seq of the newest event in it
    end: int = 0  # where its last record ended when it was read


class SecondCopy:
    """The copy beside the spool at `path`. Not thread-safe. Every method but `fetch` may raise OSError."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._files: list[_CopyFile] = []
        self._next_number = 1
        self._open_file: int | None = None  # the newest

    def read(self) -> CopyContent:
        """Read all files."""
        self._files = self._list()
        numbers = [file.number for file in self._files]
        self._next_number = max(numbers, default=0) + 1
        gap = bool(numbers) and numbers != list(range(numbers[0], numbers[0] + len(numbers)))
        content = CopyContent(found=bool(numbers), damaged=gap)
        for file in self._files:
            packed = file.path.read_bytes()
            parsed = parse(packed)
            content.damaged = content.damaged or parsed.damaged
            content.unfinished = content.unfinished or parsed.end < len(packed)
            for record in parsed.records:
                content.take(record)
                if record.kind == ADDED:
                    file.last_added = max(file.last_added, record.event.seq)
            file.end = parsed.end
        return content

    def go_on(self, totals: Totals) -> None:
        """Open the newest file to write behind its last record; a kill may have left another one unfinished."""
        if not self._files:
            self._start_file(totals)
            return
        self.close()
        self._open_file = os.open(self._files[-1].path, os.O_WRONLY | os.O_APPEND)
        os.ftruncate(self._open_file, self._files[-1].end)

    def fetch(self, seqs: Collection[int]) -> Iterator[StoredEvent]:
        """The events with these numbers, as far as they are readable, each once."""
        left = set(seqs)
        for file in self._files:
            if not left:
                return
            try:
                records = parse(file.path.read_bytes()).records
            except OSError:  # the file was removed
                continue
            for record in records:
                if record.kind == ADDED and record.event.seq in left:
                    left.remove(record.event.seq)
                    yield record.event

    def add(self, events: Iterable[StoredEvent], totals: Totals) -> None:
        """Write events; all or none of a few. totals: for a new file."""
        batch: list[StoredEvent] = []
        for event in events:
            batch.append(event)
            if len(batch) >= _BATCH:
                self._add(batch, totals)
                batch.clear()
        self._add(batch, totals)

    def remove(self, seqs: Collection[int], totals: Totals, kind: Kind = GONE) -> None:
        """Note that these events do not wait any more; all or none. kind: GONE or BURIED."""
        if seqs:
            self._write(b"".join(pack(kind, StoredEvent(seq, b"", b"", 0.0)) for seq in seqs), totals)

    def note(self, totals: Totals) -> None:
        """Write counters that have changed."""
        self._write(_state(totals), totals)

    def forget(self, oldest_waiting: int) -> None:
        """Delete the files whose events are all older than `oldest_waiting`. The newest file stays."""
        while len(self._files) > 1 and self._files[0].last_added < oldest_waiting:
            self._files.pop(0).path.unlink(missing_ok=True)

    def start_again(
        self, events: Iterable[StoredEvent], dead: Collection[int], totals: Totals, old_name: str | None
    ) -> None:
        """Write everything to a new file; then rename the old ones to `old_name`, with their endings, or delete them.

        A crash leaves the old files, the new one, or both: it costs no event.
        """
        old, self._files = self._files, []
        try:
            self._start_file(totals)
            self.add(events, totals)
            self.remove(dead, totals, BURIED)
        finally:
            for file in old:
                if old_name is None:
                    file.path.unlink(missing_ok=True)
                elif file.path.exists():
                    file.path.rename(file.path.with_name(old_name + file.path.name.removeprefix(self._path.name)))

    def close(self) -> None:
        """Flush and close the file that is open."""
        if self._open_file is not None:
            os.fsync(self._open_file)
            os.close(self._open_file)
            self._open_file = None

    @property
    def paths(self) -> list[Path]:
        """The files of the copy, oldest first."""
        return [file.path for file in self._files]

    def _add(self, events: Collection[StoredEvent], totals: Totals) -> None:
        if events:
            self._write(b"".join(pack(ADDED, event) for event in events), totals)
            newest = max(event.seq for event in events)
            self._files[-1].last_added = max(self._files[-1].last_added, newest)

    def _write(self, packed: bytes, totals: Totals) -> None:
        if self._open_file is None or os.fstat(self._open_file).st_size >= _FILE_BYTES:
            self._start_file(totals)
        assert self._open_file is not None
        _write_all(self._open_file, packed)

    def _start_file(self, totals: Totals) -> None:
        self.close()
        path = self._path.with_name(f"{self._path.name}{_ENDING}{self._next_number}")
        file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            _write_all(file, _state(totals))
        except OSError:
            os.close(file)
            path.unlink(missing_ok=True)
            raise
        self._open_file = file
        self._files.append(_CopyFile(path, self._next_number))
        self._next_number += 1

    def _list(self) -> list[_CopyFile]:
        files = []
        for path in self._path.parent.iterdir():
            before, found, number = path.name.rpartition(_ENDING)
            if found and before == self._path.name and number.isascii() and number.isdigit():
                files.append(_CopyFile(path, int(number)))
        return sorted(files, key=lambda file: file.number)


def _state(totals: Totals) -> bytes:
    return pack(STATE, StoredEvent(totals.last_seq, b"", b"%d " % VERSION + totals_json(totals, totals.clock), 0.0))


def _write_all(file: int, content: bytes) -> None:
    """Append all of `content`, or raise OSError and append nothing."""
    written = os.write(file, content)
    while written < len(content):
        try:
            written += os.write(file, content[written:])
        except OSError:
            os.ftruncate(file, os.fstat(file).st_size - written)
            raise

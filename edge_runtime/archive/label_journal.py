"""The labels in a file of their own, `labels.jsonl`: from it the index gets them back when it is damaged.

Each line is a checksum, a blank, and the JSON of one entry. A line is on the disk before the index has it. The index
notes how much of the file it knows; what a crash kept from it follows before the next label.
"""

from __future__ import annotations

import fcntl
import logging
import os
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from edge_runtime.archive.label_log import LabelEntry
from latentline.base.counted import counted

JOURNAL_NAME = "labels.jsonl"
_log = logging.getLogger(__name__)


class LabelJournal:
    """The open file; one process at a time has it. Make it with `open_journal`."""

    def __init__(self, descriptor: int, path: Path) -> None:
        self._descriptor, self._path = descriptor, path

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return os.fstat(self._descriptor).st_size

    def append(self, entries: Sequence[LabelEntry]) -> None:
        """Write entries, and flush them to the disk. Raises OSError; `cut` then removes what was written."""
        lines = b"".join(_line(entry) for entry in entries)
        while lines:
            lines = lines[os.write(self._descriptor, lines) :]
        os.fsync(self._descriptor)

    def cut(self, size: int) -> None:
        """Remove what is behind the first `size` bytes."""
        os.ftruncate(self._descriptor, size)

    def after(self, offset: int) -> list[LabelEntry]:
        """The entries behind the first `offset` bytes. A last line that a crash cut short is removed."""
        with self._path.open("rb") as file:
            file.seek(offset)
            content = file.read()
        whole = content.rpartition(b"\n")[0] + b"\n" if b"\n" in content else b""
        if len(whole) < len(content):
            self.cut(offset + len(whole))
        entries = [_entry(line) for line in whole.splitlines()]
        if damaged := entries.count(None):
            _log.warning("%s: %s damaged and left out", self._path, counted(damaged, "line is", "lines are"))
        return [entry for entry in entries if entry is not None]


@contextmanager
def open_journal(folder: Path) -> Iterator[LabelJournal]:
    """The journal of the archive in `folder`, after a wait for other processes. Raises OSError."""
    path = folder / JOURNAL_NAME
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield LabelJournal(descriptor, path)
    finally:
        os.close(descriptor)


def _line(entry: LabelEntry) -> bytes:
    content = entry.to_json().encode()
    return b"%08x %s\n" % (zlib.crc32(content), content)


def _entry(line: bytes) -> LabelEntry | None:
    checksum, _, content = line.partition(b" ")
    try:
        return LabelEntry.from_json(content.decode()) if int(checksum, 16) == zlib.crc32(content) else None
    except ValueError:
        return None

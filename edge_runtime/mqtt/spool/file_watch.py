"""Notices that something else removed, replaced, cut short or wrote to a file of the spool."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class _Signature:
    inode: tuple[int, int]
    size: int
    written_at: int  # nanoseconds


class FileWatch:
    """What the files looked like after this process had written to them the last time."""

    def __init__(self) -> None:
        self._known: dict[Path, _Signature | None] = {}

    def record(self, written: Iterable[Path], others: Iterable[Path]) -> None:
        """Take the present state as the right one: of `written`, and of `others` when they are new.

        Not of a file that was removed, replaced or cut short: this process only ever writes to a file, so something
        else has done that meanwhile, and `changed` shall say so.
        """
        known = self._known
        self._known = {path: known[path] if path in known else _signature(path) for path in others}
        for path in written:
            before, now = known.get(path), _signature(path)
            grown = before is None or (now is not None and now.inode == before.inode and now.size >= before.size)
            self._known[path] = now if grown else before

    def start_again(self) -> None:
        """Forget everything: this process has replaced the files."""
        self._known = {}

    def changed(self) -> list[tuple[Path, str]]:
        """(file, what happened to it) of each file that is not as it was."""
        differences = []
        for path, before in self._known.items():
            now = _signature(path)
            if now != before:
                differences.append((path, _describe(before, now)))
        return differences


def _signature(path: Path) -> _Signature | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return _Signature((status.st_dev, status.st_ino), status.st_size, status.st_mtime_ns)


def _describe(before: _Signature | None, now: _Signature | None) -> str:
    if now is None:
        return "was removed"
    if before is None or now.inode != before.inode:
        return "was replaced"
    if now.size < before.size:
        return "was cut short"
    return "was written to by something else"

"""Notices that something else removed, replaced, cut short or wrote to a file of the spool."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

# Each call of the spool looks at every file twice, so this is written for speed.
_Signature = tuple[int, int, int]  # inode, size, time of the last write in nanoseconds


class FileWatch:
    """What the files looked like after this process had written to them the last time."""

    def __init__(self) -> None:
        self._known: dict[str, _Signature | None] = {}

    def record(self, written: Iterable[Path], others: Iterable[Path]) -> None:
        """Take the present state as the right one: of `written`, and of `others` when they are new.

        Not of a file that was removed, replaced or cut short: this process only ever writes to a file, so something
        else has done that meanwhile, and `changed` shall say so.
        """
        known = self._known
        self._known = {}
        for path in map(str, others):
            self._known[path] = known[path] if path in known else _signature(path)
        for path in map(str, written):
            before, now = known.get(path), _signature(path)
            grown = before is None or (now is not None and now[0] == before[0] and now[1] >= before[1])
            self._known[path] = now if grown else before

    def replaced(self, path: Path) -> None:
        """This process has replaced `path`."""
        self._known.pop(str(path), None)

    def start_again(self) -> None:
        """This process has replaced all files."""
        self._known = {}

    def changed(self) -> list[tuple[Path, str]]:
        """(file, what happened to it) of each file that is not as it was."""
        differences = []
        for path, before in self._known.items():
            now = _signature(path)
            if now != before:
                differences.append((Path(path), _describe(before, now)))
        return differences


def _signature(path: str) -> _Signature | None:
    try:
        status = os.stat(path)  # noqa: PTH116  # a Path costs as much again as the call
    except OSError:
        return None
    return status.st_ino, status.st_size, status.st_mtime_ns


def _describe(before: _Signature | None, now: _Signature | None) -> str:
    if now is None:
        return "was removed"
    if before is None or now[0] != before[0]:
        return "was replaced"
    if now[1] < before[1]:
        return "was cut short"
    return "was written to by something else"

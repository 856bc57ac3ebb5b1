"""Notices that something else removed, replaced, cut short or wrote to a file of the spool."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

# Each call of the spool looks at every file twice, so this is written for speed.
_Signature = tuple[int, int, int]  # inode, size, time of the last write in nanoseconds
_MISSING: _Signature = (0, 0, 0)


class FileWatch:
    """What the files looked like after this process had written to them the last time."""

    def __init__(self) -> None:
        self._known: dict[str, _Signature | None] = {}

    def record(self, growing: Iterable[Path], finished: Iterable[Path], optional: Path) -> None:
        """Take the present state as the right one: of `growing`, of `optional`, and of `finished` when they are new.

        Not of a file that was removed, replaced or cut short: this process only ever writes to a file, so something
        else has done that meanwhile, and `changed` shall say so. Only `optional` may be missing.
        """
        known = self._known
        self._known = {}
        for path in map(str, finished):
            self._known[path] = known[path] if path in known else _signature(path) or _MISSING
        for path in map(str, growing):
            self._known[path] = _grown(known.get(path), _signature(path) or _MISSING)
        self._known[str(optional)] = _grown(known.get(str(optional)), _signature(str(optional)))

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


def _grown(before: _Signature | None, now: _Signature | None) -> _Signature | None:
    """The new signature if the file is new or has grown; else the old one."""
    grown = before is None or (now is not None and now[0] == before[0] and now[1] >= before[1])
    return now if grown else before


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

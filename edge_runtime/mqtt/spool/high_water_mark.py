"""Which numbers the spool has used and which of them wait, in a file of its own, independent of database and copy.

The line is written after each change, but flushed to the disk only now and then: after a crash of the process it is
exact, after a power cut it is old. So it also has a bound that no number has exceeded, which is flushed before a number
above the old one is used. No number is used twice, even when nothing else is left of the spool. The line is there
twice, so that a flipped bit costs nothing.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from latentline.base import atomic

STEP = 1000
_ENDING_BYTES = 18  # of a line: blank, checksum, line end
_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class HighWaterMark:
    """The mark in the file at `path`.

    exists   there was a file; damaged: not all of it was readable
    last     a number that was used, and perhaps not the last one; 0: unknown
    oldest   no event below it waits; 0: unknown
    bound    no number above it was ever used; 0: unknown. It is `last` unless the power failed meanwhile
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: int | None = None
        self._boot = _boot_id()
        self._reserved = 0
        self.last = self.oldest = self.bound = 0
        self.exists, self.damaged = path.exists(), False
        if self.exists:
            self._read()

    @property
    def paths(self) -> list[Path]:
        """The file, if this process could write it."""
        return [] if self._file is None else [self.path]

    def reserve(self, number: int) -> bool:
        """Raise the bound to at least `number`. Returns whether the file was replaced; OSError if it cannot be."""
        if number <= self._reserved and self._file is not None:
            return False
        self._write(number + STEP)
        return True

    def note(self, oldest: int, last: int) -> None:
        """Write what is used and what waits. If it cannot be written, the old values stay; they are still bounds."""
        self.oldest, self.last = oldest, last
        if self._file is not None:
            with suppress(OSError):
                os.pwrite(self._file, self._lines(self._reserved), 0)

    def renew(self) -> None:
        """Write the file again, after something else has removed or changed it. Raises OSError."""
        self._write(self._reserved)

    def close(self) -> None:
        """Lower the bound to the number used last, and close the file."""
        with suppress(OSError):
            self._write(self.last)
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write(self, reserved: int) -> None:
        atomic.write_bytes(self.path, self._lines(reserved), mode=0o600)
        if self._file is not None:
            os.close(self._file)
        self._file = os.open(self.path, os.O_WRONLY)
        self._reserved = reserved

    def _lines(self, reserved: int) -> bytes:
        """They always have the same length: writing them never needs space on the disk."""
        line = f"{self.oldest:020} {self.last:020} {reserved:020} {self._boot:36}".encode()
        return (line + b" " + _checksum(line) + b"\n") * 2

    def _read(self) -> None:
        try:
            content = self.path.read_bytes()
        except OSError:
            self.damaged = True
            return
        if content.strip().isdigit() and len(content) < 20:  # of version 2: the bound
            self.bound = int(content)
            return
        lines = [content[: len(content) // 2], content[len(content) // 2 :]]
        whole = [line for line in lines if _checksum(line[:-_ENDING_BYTES]) == line[-_ENDING_BYTES:].strip()]
        self.damaged = len(whole) < 2
        if whole:
            oldest, last, reserved, *boot = whole[0][:-_ENDING_BYTES].decode().split()
            self.oldest, self.last = int(oldest), int(last)
            self.bound = self.last if [self._boot] == boot else int(reserved)


def _boot_id() -> str:
    """It changes when the machine starts. Empty: unknown."""
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _checksum(line: bytes) -> bytes:
    return hashlib.blake2b(line, digest_size=8).hexdigest().encode()

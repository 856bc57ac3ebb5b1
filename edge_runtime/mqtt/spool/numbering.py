"""Numbers that are never given twice, also when the spool that counted them is broken or gone.

A file beside the spool holds a number that no event has passed. It is written ahead in steps, so that an event costs no
second write, and exactly when the spool is closed. So a spool begun anew after a clean end goes on without a gap, and
after a crash with a gap below STEP; the events that died with the broken file are missing anyway.
"""

from __future__ import annotations

import logging
from pathlib import Path

from latentline.base import atomic

_log = logging.getLogger(__name__)
STEP = 1000


class Numbering:
    """The bound in the file at `path`: the present one is `bound`, 0 when there is none."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.bound = self._read()

    def reserve(self, number: int) -> None:
        """Make sure that `number` is not above the bound. Raises OSError when the disk takes no more."""
        if number > self.bound:
            self._write(number + STEP)

    def settle(self, number: int) -> None:
        """The numbers end at `number` for now. A disk that takes no more leaves the larger bound, which is as true."""
        try:
            if number != self.bound:
                self._write(number)
        except OSError as error:
            _log.warning("%s cannot be written (%s)", self._path, error.strerror)

    def _write(self, bound: int) -> None:
        atomic.write_text(self._path, f"{bound}\n")
        self.bound = bound

    def _read(self) -> int:
        try:
            return max(0, int(self._path.read_text(encoding="ascii")))
        except FileNotFoundError:
            return 0
        except (OSError, ValueError) as error:
            _log.warning("%s cannot be read (%s); numbers are the spool's own", self._path, error)
            return 0

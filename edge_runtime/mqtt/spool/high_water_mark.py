"""A bound that no sequence number has exceeded, in a file of its own: no number is used twice, even without the spool.

The bound is written ahead in steps, so that an event costs no second write, and exactly when the spool is closed. A new
spool therefore continues without a gap after a clean end, and with a gap below STEP after a crash. It is needed only
when both the file of the spool and its second copy are gone.
"""

from __future__ import annotations

import logging
from pathlib import Path

from latentline.base import atomic

_log = logging.getLogger(__name__)
STEP = 1000


class HighWaterMark:
    """The bound in the file at `path`. `value` is 0 if there is no such file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.value = self._read()

    def reserve(self, number: int) -> None:
        """Raise the bound, if necessary, to at least `number`. Raises OSError if the file cannot be written."""
        if number > self.value:
            self._write(number + STEP)

    def release(self, number: int) -> None:
        """Lower the bound to `number`, the last one used. If the file cannot be written, the old bound stays valid."""
        try:
            if number != self.value:
                self._write(number)
        except OSError as error:
            _log.warning("%s cannot be written (%s)", self._path, error.strerror)

    def _write(self, value: int) -> None:
        atomic.write_text(self._path, f"{value}\n", mode=0o600)
        self.value = value

    def _read(self) -> int:
        try:
            return max(0, int(self._path.read_text(encoding="ascii")))
        except FileNotFoundError:
            return 0
        except (OSError, ValueError) as error:
            _log.warning("%s cannot be read (%s); the numbers in the spool itself are used", self._path, error)
            return 0

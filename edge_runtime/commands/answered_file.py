"""Which commands were carried out lately, on disk: one that comes again after a restart is not carried out again."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from edge_runtime.pacing import RateLimitedLog
from latentline.base.atomic import write_text

_LINES = 1000  # after which lines that are too old are removed


class AnsweredFile:
    """A file of lines, each a command: when it began, digests of its reply address and of what it asked for.

    now  the time, seconds since 1970
    """

    def __init__(self, path: Path, now: Callable[[], float] = time.time) -> None:
        self._path, self._now = path, now
        self._log = RateLimitedLog(logging.getLogger(__name__))
        self._lines = 0
        self._whole = False  # the last line has an end: this object has written it

    def load(self, window: float) -> Iterator[tuple[str, str, float]]:
        """(address, fingerprint, age) of the commands of the last `window` seconds; a broken line is left out."""
        for at, address, fingerprint in self._read(window):
            yield address, fingerprint, max(0.0, self._now() - at)

    def add(self, address: str, fingerprint: str, window: float) -> None:
        """Note a command, so that it survives a power cut. Where the disk does not take it, the log says so."""
        line = json.dumps([round(self._now(), 3), address, fingerprint]) + "\n"
        try:
            if self._lines >= _LINES:
                kept = [json.dumps([*entry]) + "\n" for entry in self._read(window)]
                write_text(self._path, "".join([*kept, line]))
                self._lines = min(len(kept), _LINES // 2)
            else:
                with self._path.open("a", encoding="utf-8") as file:
                    file.write(line if self._whole else "\n" + line)
                    file.flush()
                    os.fsync(file.fileno())
        except OSError as error:
            self._log.warning(f"a command cannot be noted in {self._path} ({error.strerror})")
            self._whole = False
        else:
            self._whole = True
        self._lines += 1

    def _read(self, window: float) -> Iterator[tuple[float, str, str]]:
        try:
            text = self._path.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return
        lines = [line for line in text.splitlines() if line]
        self._lines = len(lines)
        for line in lines:
            try:
                at, address, fingerprint = json.loads(line)
                recent = abs(self._now() - float(at)) <= window
            except (ValueError, TypeError, OverflowError, RecursionError):
                continue
            if recent and isinstance(address, str) and isinstance(fingerprint, str):
                yield float(at), address, fingerprint

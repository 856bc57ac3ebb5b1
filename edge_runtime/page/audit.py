"""The audit log: who changed what, when, and from what to what. It only grows."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from latentline.errors import LatentlineError


class AuditError(LatentlineError):
    """The audit log cannot be written, so nothing may be changed."""


class AuditLog:
    """Appends JSON objects, one a line, each on the disk before `add` returns. Any thread may call.

    now  the time in UTC
    """

    def __init__(self, path: Path, now: Callable[[], datetime] = lambda: datetime.now(timezone.utc)) -> None:
        self.path, self._now = path, now
        self._lock = threading.Lock()

    def add(self, who: str, action: str, **details: Any) -> None:
        """Add a line. details: what was changed, `old` and `new`. Raises AuditError when the disk does not take it."""
        at = self._now().isoformat(timespec="milliseconds").replace("+00:00", "Z")
        line = json.dumps({"at": at, "who": who, "action": action, **details}, ensure_ascii=True) + "\n"
        try:
            with self._lock:
                self._append(line.encode())
        except OSError as error:
            raise AuditError(
                f"the audit log {self.path} cannot be written ({error.strerror}), so nothing has changed"
            ) from None

    def _append(self, line: bytes) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        file = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            end = os.lseek(file, 0, os.SEEK_END)
            if end and os.pread(file, 1, end - 1) != b"\n":  # a power cut has left half a line
                line = b"\n" + line
            written = os.write(file, line)
            if written < len(line):
                raise OSError(28, "the disk is full")
            os.fsync(file)
        finally:
            os.close(file)

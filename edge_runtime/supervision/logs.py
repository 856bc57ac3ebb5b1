"""The log of a station: format, level, masking of secrets, and a limit for repeated messages."""

from __future__ import annotations

import json
import logging
import math
import sys
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import Any, TextIO

from edge_runtime.supervision.settings import LogSection
from latentline.base.secrets import Secrets
from latentline.printable import printable

_BURST = 20  # messages that one line of code may log in a row before the filter leaves some out
_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "left_out", "taskName"}


def configure_log(
    settings: LogSection, station: str, *, secrets: Sequence[str] = (), stream: TextIO | None = None
) -> None:
    """Log to stderr (or `stream`) as `settings` say. Replaces the handler of an earlier call or `logging.basicConfig`.

    secrets  texts, such as passwords, to replace by *** wherever they occur; credentials in addresses always are
    """
    root = logging.getLogger()
    for existing in list(root.handlers):
        if type(existing) is logging.StreamHandler:  # a subclass belongs to somebody else
            root.removeHandler(existing)
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter((JsonLines if settings.format == "json" else TextLines)(station, secrets))
    if settings.repeat_seconds:
        handler.addFilter(RepeatFilter(settings.repeat_seconds))
    root.addHandler(handler)
    root.setLevel(settings.level.upper())


class RepeatFilter(logging.Filter):
    """Lets one line of code log _BURST records in a row and then one in `seconds`, and counts the others.

    The next record that passes has their number as `left_out`. Debug records always pass.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._seconds, self._clock = seconds, clock
        self._budgets: dict[
            tuple[str, int], tuple[float, float, int]
        ] = {}  # records left, at that time, left out since
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to write `record`."""
        if record.levelno <= logging.DEBUG:
            return True
        key, now = (record.pathname, record.lineno), self._clock()
        with self._lock:
            room, at, left_out = self._budgets.get(key, (float(_BURST), now, 0))
            room = min(_BURST, room + (now - at) / self._seconds)
            if room < 1:
                self._budgets[key] = (room, now, left_out + 1)
                return False
            self._budgets[key] = (room - 1, now, 0)
        record.left_out = left_out
        return True


class _Lines(logging.Formatter):
    def __init__(self, station: str, secrets: Sequence[str]) -> None:
        super().__init__()
        self._station = station
        self._clean = Secrets(secrets).hide

    def _message(self, record: logging.LogRecord) -> str:
        left_out = getattr(record, "left_out", 0)
        return self._clean(record.getMessage() + (f" (and {left_out} more like it)" if left_out else ""))

    def _trace(self, record: logging.LogRecord) -> str | None:
        return self._clean(self.formatException(record.exc_info)) if record.exc_info else None


class TextLines(_Lines):
    """`2026-11-05T09:30:00.125Z WARNING message`, and a traceback on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        # A message may quote text from outside, which must not forge a second line or control a terminal.
        message = printable(self._message(record))
        trace = "\n".join(f"    {printable(line)}" for line in (self._trace(record) or "").split("\n") if line)
        return f"{_time(record)} {record.levelname} {message}" + (f"\n{trace}" if trace else "")


class JsonLines(_Lines):
    """One object a line: time, level, logger, message, station, the fields of `extra`, and a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The record as a line."""
        fields = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": self._message(record),
            "station": self._station,
        }
        extras = {name: self._plain(value) for name, value in vars(record).items() if name not in _STANDARD}
        trace = self._trace(record)
        return json.dumps({**extras, **fields, **({"traceback": trace} if trace else {})})

    def _plain(self, value: Any) -> Any:
        """`value` as a JSON scalar."""
        if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
            return value
        return self._clean(str(value))


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, timezone.utc)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"

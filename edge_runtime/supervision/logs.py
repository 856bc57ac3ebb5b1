"""The log of a station: where its format, its level and its limits are set."""

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
from latentline.base.secrets import mask_credentials

_BURST = 20  # what one line of code may say at once before its repeats are left out
_STANDARD = set(vars(logging.makeLogRecord({}))) | {"message", "asctime", "left_out", "taskName"}


def configure_log(
    settings: LogSection, station: str, *, secrets: Sequence[str] = (), stream: TextIO | None = None
) -> None:
    """Log to stderr (or `stream`) by `settings`, in place of what an earlier call or `logging.basicConfig` set up.

    secrets  texts that are replaced by *** wherever they occur, passwords for instance; credentials in URLs always are
    """
    root = logging.getLogger()
    for handler in list(root.handlers):
        if type(handler) is logging.StreamHandler:  # a subclass is somebody else's
            root.removeHandler(handler)
    ours = logging.StreamHandler(stream or sys.stderr)
    ours.setFormatter((JsonLines if settings.format == "json" else TextLines)(station, secrets))
    if settings.repeat_seconds:
        ours.addFilter(Repeats(settings.repeat_seconds))
    root.addHandler(ours)
    root.setLevel(settings.level.upper())


class Repeats(logging.Filter):
    """Lets a line of code say _BURST things at once and one in `seconds` in the long run, and counts the others.

    The record that comes through next has their number as `left_out`. Debug records all come through.
    """

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._seconds, self._clock = seconds, clock
        self._said: dict[tuple[str, int], tuple[float, float, int]] = {}  # room left, as of when, left out since
        self._lock = threading.Lock()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether `record` is written."""
        if record.levelno <= logging.DEBUG:
            return True
        key, now = (record.pathname, record.lineno), self._clock()
        with self._lock:
            room, at, left_out = self._said.get(key, (float(_BURST), now, 0))
            room = min(_BURST, room + (now - at) / self._seconds)
            if room < 1:
                self._said[key] = (room, now, left_out + 1)
                return False
            self._said[key] = (room - 1, now, 0)
        record.left_out = left_out
        return True


class _Lines(logging.Formatter):
    def __init__(self, station: str, secrets: Sequence[str]) -> None:
        super().__init__()
        self._station = station
        self._secrets = [secret for secret in secrets if secret]

    def _clean(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return mask_credentials(text)

    def _message(self, record: logging.LogRecord) -> str:
        left_out = getattr(record, "left_out", 0)
        return self._clean(record.getMessage() + (f" (and {left_out} more like it)" if left_out else ""))

    def _trace(self, record: logging.LogRecord) -> str | None:
        return self._clean(self.formatException(record.exc_info)) if record.exc_info else None


class TextLines(_Lines):
    """`2026-11-05T09:30:00.125Z WARNING message`; a traceback follows on lines of its own."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
        # A message that quotes what came from outside must not look like two.
        message = self._message(record).replace("\r", "\\r").replace("\n", "\\n")
        trace = self._trace(record)
        return f"{_time(record)} {record.levelname} {message}" + (f"\n{trace}" if trace else "")


class JsonLines(_Lines):
    """One object a line: time, level, logger, message, station, what was given as `extra`, and a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """One record."""
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
        """`value` as JSON takes it."""
        if value is None or isinstance(value, (bool, int)) or (isinstance(value, float) and math.isfinite(value)):
            return value
        return self._clean(str(value))


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, timezone.utc)
    return moment.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"

"""Which pictures are in work, on disk: one that the process dies with twice is set aside."""

from __future__ import annotations

import json
import logging
import math
import os
import threading
import time
from pathlib import Path
from typing import Literal

from edge_runtime.pacing import RateLimitedLog
from latentline.base.atomic import write_text

_DEATHS = 2  # with the same picture in work, until it is set aside
_REMEMBERED = 1000  # pictures that were in work at a death
_WAIT_SECONDS = 20.0  # for a picture that is being decoded, which may hang
_ALONE_SECONDS = 60.0  # of one picture's work, after which others no longer wait for it
_SUSPECT_SECONDS = 600.0  # after the start: a suspect that has not come by then comes no more, or late in a film

Stage = Literal["decoding", "inspecting"]
Admission = Literal["begun", "later", "set_aside"]


class WorkJournal:
    """The pictures that are being decoded or inspected. Any thread may call.

    A picture has a key that is the same after a restart; None: it never comes again, and nothing is noted. What was in
    work when the process died is suspect until it is done: it works alone, so that the guilty one shows itself.

    path  of a small file that is written for each picture, without waiting for the disk: it outlives the process, not a
          power cut. Beside it, in `.deaths.json`, stand the suspects and what was set aside. None: nothing is written
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._log = RateLimitedLog(logging.getLogger(__name__))
        self._changed = threading.Condition(threading.RLock())
        self._in_work: dict[str, tuple[Stage, float]] = {}  # since when, of the monotonic clock
        self._deaths: dict[str, int] = {}
        self._file: int | None = None
        self._suspect_until = time.monotonic() + _SUSPECT_SECONDS
        if path is not None:
            self._deaths = self._read_deaths()
            self._open(path)

    @property
    def suspects(self) -> frozenset[str]:
        """Pictures that were in work at a death, have not been done since, and may be tried again, alone."""
        if not self._deaths or time.monotonic() > self._suspect_until:
            return frozenset()
        with self._changed:
            return frozenset(key for key, deaths in self._deaths.items() if deaths < _DEATHS)

    def is_set_aside(self, key: str) -> bool:
        """Whether the picture must not be in work any more."""
        return self._deaths.get(key, 0) >= _DEATHS

    def begin(self, key: str) -> Admission:
        """Note that a picture is being decoded from now on, unless it is set aside, or must wait for others.

        One that is in work already hangs there, which counts as a death.
        """
        with self._changed:
            if key in self._in_work:
                self._add_death(key)
            if self.is_set_aside(key):
                self._remove(key)
                return "set_aside"
            if self.suspects and any(other != key for other in self._present()):
                return "later"
            self._add(key, "decoding")
            return "begun"

    def begin_inspection(self, key: str | None) -> None:
        """Note that a picture is being inspected from now on, once none is being decoded that may be to blame."""
        with self._changed:
            if key is not None:
                self._changed.wait_for(self._may_inspect, _WAIT_SECONDS)
                self._add(key, "inspecting")

    def decoded(self, key: str) -> None:
        """The picture is decoded, and waits for its inspection."""
        with self._changed:
            self._remove(key)

    def end(self, key: str | None) -> None:
        """The picture is done, or cannot be used: it has not harmed the process."""
        with self._changed:
            if key is None:
                return
            self._remove(key)
            if self._deaths.get(key, _DEATHS) < _DEATHS:
                del self._deaths[key]
                self._write_deaths()

    def give_up(self, key: str | None) -> None:
        """The process must end because of this picture, as if it had died."""
        with self._changed:
            if key is not None:
                self._add_death(key)
                self._remove(key)

    def clear(self, longest: float = math.inf) -> None:
        """The process ends in good order. longest: seconds of an inspection, beyond which it ends because of it."""
        with self._changed:
            for key, (stage, since) in self._in_work.items():
                if stage == "inspecting" and time.monotonic() - since > longest:
                    self._add_death(key)
            self._in_work.clear()
            self._write()
            self._changed.notify_all()
            if self._file is not None:
                os.close(self._file)
                self._file = None

    def _add_death(self, key: str) -> None:
        self._deaths[key] = self._deaths.get(key, 0) + 1
        self._write_deaths()

    def _may_inspect(self) -> bool:
        return not self.suspects or "decoding" not in self._present().values()

    def _present(self) -> dict[str, Stage]:
        """What is in work, without what has been for so long that it may hang for ever."""
        now = time.monotonic()
        return {key: stage for key, (stage, since) in self._in_work.items() if now - since < _ALONE_SECONDS}

    def _add(self, key: str, stage: Stage) -> None:
        self._in_work[key] = stage, time.monotonic()
        self._write()

    def _remove(self, key: str) -> None:
        if key in self._in_work:
            del self._in_work[key]
            self._write()
        self._changed.notify_all()

    def _open(self, path: Path) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
            left = _keys(os.read(self._file, 1 << 20))
        except OSError as error:
            self._say(error)
            return
        self._write()  # first: a death in between is then forgotten, not counted twice
        for key in left:
            self._deaths[key] = self._deaths.pop(key, 0) + 1
        if left:
            self._write_deaths()

    def _write(self) -> None:
        """One call, so that a kill leaves the old line or the new one; the rest of a longer one stays behind it."""
        if self._file is None:
            return
        try:
            os.pwrite(self._file, json.dumps(list(self._in_work)).encode() + b"\n", 0)
        except OSError as error:
            self._say(error)

    def _read_deaths(self) -> dict[str, int]:
        try:
            found = json.loads(self._deaths_path.read_bytes())
            return {str(key): int(deaths) for key, deaths in found.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def _write_deaths(self) -> None:
        while len(self._deaths) > _REMEMBERED:
            del self._deaths[next(iter(self._deaths))]
        if self._path is None:
            return
        try:
            write_text(self._deaths_path, json.dumps(self._deaths, indent=0) + "\n")
        except OSError as error:
            self._say(error)

    @property
    def _deaths_path(self) -> Path:
        assert self._path is not None
        return self._path.with_suffix(".deaths.json")

    def _say(self, error: OSError) -> None:
        self._log.warning(
            f"which pictures are in work cannot be noted in {self._path} ({error.strerror}), so one that kills the "
            "station would be tried again after each restart"
        )


def _keys(content: bytes) -> list[str]:
    """The keys in the first line; none when it is broken."""
    try:
        found = json.loads(content.partition(b"\n")[0] or b"[]")
    except ValueError:
        return []
    return [key for key in found if isinstance(key, str)] if isinstance(found, list) else []

"""What a disk, a person or a bad event may do to a station's spool, and what the station says about it."""

from __future__ import annotations

import random
import re
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from bench.station.rig.process import SPOOL, STATION, STATION_LOG
from edge_runtime.mqtt.spool.spool import Spool

NOTICE_SECONDS = 1.0  # within which a removal must be said
_WAIT_SECONDS = 5.0
_SAID = "was removed"
_WHOLE = "is whole again"  # follows when it is repaired


class SpoolHarm:
    """Harms the spool of the station in `folder`.

    must_say  removals that the station had to say
    unsaid    those that it did not say within NOTICE_SECONDS
    longest   seconds until one was said, at most
    """

    def __init__(self, folder: Path, chance: random.Random) -> None:
        self._folder, self._random = folder, chance
        self.must_say = 0
        self.unsaid = 0
        self.longest = 0.0

    def flip(self) -> None:
        """Change one random bit of a random file. No station is running."""
        files = [file for file in self._files() if file.stat().st_size]
        if files:
            file = self._random.choice(files)
            with file.open("r+b") as opened:
                position = self._random.randrange(file.stat().st_size)
                opened.seek(position)
                byte = opened.read(1)[0] ^ 1 << self._random.randrange(8)
                opened.seek(position)
                opened.write(bytes([byte]))

    def remove(self, *, must_say: bool) -> None:
        """Remove a random file under the running station. must_say: wait until the station says so."""
        files = self._files()
        if not files:
            return
        file, before, whole = self._random.choice(files), self._log().count(_SAID), self._log().count(_WHOLE)
        begin = time.monotonic()
        try:
            file.unlink()
        except FileNotFoundError:  # the station has just removed it
            return
        if not must_say:
            return
        while self._log().count(_SAID) == before and time.monotonic() < begin + _WAIT_SECONDS:
            time.sleep(0.01)
        self.must_say += 1
        self.longest = max(self.longest, time.monotonic() - begin)
        self.unsaid += time.monotonic() - begin > NOTICE_SECONDS
        while self._log().count(_WHOLE) == whole and time.monotonic() < begin + _WAIT_SECONDS:
            time.sleep(0.01)  # the station says what it is about to repair

    def poison(self) -> None:
        """Add an event that can never be delivered. No station is running."""
        topic = self._random.choice(["#", f"latentline/{STATION}/+", "", "x\0y", "x" * 70_000])
        with self.opened() as spool:
            spool.append(topic, {"poison": True})

    @contextmanager
    def opened(self) -> Iterator[Spool]:
        """The spool. No station is running. What it says of damage goes to the station's log."""
        spool = Spool(self._folder / SPOOL, 10**9)
        try:
            if spool.set_aside is not None:
                with (self._folder / STATION_LOG).open("a") as log:
                    log.write(f"{spool.set_aside}\n")
            yield spool
        finally:
            spool.close()

    def dead_letters(self) -> set[int]:
        """Numbers of the dead letters. No station is running."""
        with closing(sqlite3.connect(self._folder / SPOOL)) as database:
            return {seq for (seq,) in database.execute("SELECT seq FROM dead")}

    def said_lost(self) -> set[int]:
        """Numbers that the station's log names as lost to damage."""
        return self._said(r"lost \(seq ([0-9, -]+)\)")

    def skipped(self) -> set[int]:
        """Numbers that the station has skipped, because it did not know whether they were used."""
        return self._said(r"there were others \(seq ([0-9, -]+)\)")

    def _said(self, pattern: str) -> set[int]:
        said: set[int] = set()
        for ranges in re.findall(pattern, self._log()):
            for part in ranges.split(", "):
                first, _, last = part.partition("-")
                said |= set(range(int(first), int(last or first) + 1))
        return said

    def _files(self) -> list[Path]:
        names = sorted(file for file in self._folder.iterdir() if file.name.startswith(SPOOL))
        return [file for file in names if not any(part in file.name for part in (".broken-", ".new", ".ready"))]

    def _log(self) -> str:
        return (self._folder / STATION_LOG).read_text(errors="replace")

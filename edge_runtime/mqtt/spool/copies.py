"""All that knows the events of a spool beside its database: second copy, copy of the dead letters, high-water mark."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from edge_runtime.mqtt.spool.dead_copy import DeadCopy, DeadRow
from edge_runtime.mqtt.spool.high_water_mark import HighWaterMark
from edge_runtime.mqtt.spool.records import BURIED, GONE, Kind
from edge_runtime.mqtt.spool.second_copy import SecondCopy
from edge_runtime.mqtt.spool.stored import StoredEvent
from edge_runtime.mqtt.spool.totals import Totals

_log = logging.getLogger(__name__)
_MAX_LATE = 1000  # events in memory for the second copy; what is beyond has to wait for the next start


class SpoolCopies:
    """The files beside the spool at `path`. Not thread-safe.

    On a full disk the database may still have room. Then the second copy is late, and is completed later.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.second, self.dead = SecondCopy(path), DeadCopy(path)
        self.mark = HighWaterMark(path.with_name(path.name + ".seq"))
        self._late: list[StoredEvent] = []
        self._late_gone: dict[int, Kind] = {}

    @property
    def exist(self) -> bool:
        """Whether there were any when the mark was read: a file at `path` is ours then."""
        return self.mark.exists or self.dead.path.exists()

    @property
    def growing(self) -> list[Path]:
        """The files that are written to, but for the copy of the dead letters."""
        return [*self.mark.paths, *self.second.paths[-1:]]

    @property
    def finished(self) -> list[Path]:
        """The files that nothing is written to any more."""
        return self.second.paths[:-1]

    def added(self, events: Iterable[StoredEvent], totals: Totals, oldest: int) -> None:
        """The database has new events. oldest: number of the oldest event that waits, or of the next one."""
        self._late += events
        self._write(totals)
        self.mark.note(oldest, totals.last_seq)

    def removed(self, seqs: Iterable[int], totals: Totals, kind: Kind = GONE) -> None:
        """The database is about to delete these events, or (BURIED) has moved them to the dead letters."""
        self._late_gone |= dict.fromkeys(seqs, kind)
        self._late = [event for event in self._late if event.seq not in self._late_gone]
        self._write(totals)

    def buried(self, row: DeadRow, totals: Totals) -> None:
        """The database has a new dead letter."""
        self.dead.add(row)
        self.removed([row[0]], totals, BURIED)

    def note(self, totals: Totals) -> None:
        """Counters have changed that do not follow from the events."""
        with suppress(OSError):
            self.second.note(totals)

    def start_again(
        self, events: Iterable[StoredEvent], letters: list[DeadRow], totals: Totals, old_name: str | None
    ) -> None:
        """Write both copies again. old_name: of the files of the old second copy; None: they are deleted."""
        self._late, self._late_gone = [], {}
        self.dead.write(letters)
        try:
            self.second.start_again(events, [row[0] for row in letters], totals, old_name)
        except OSError as error:
            _log.warning("the second copy of the spool cannot be written (%s)", error.strerror)

    def close(self) -> None:
        """Flush and close the files."""
        with suppress(OSError):
            self.second.close()
        self.mark.close()

    def _write(self, totals: Totals) -> None:
        try:
            self.second.add(self._late, totals)
            self._late = []
            for kind in (GONE, BURIED):
                self.second.remove([seq for seq, kind_ in self._late_gone.items() if kind_ == kind], totals, kind)
            self._late_gone = {}
        except OSError as error:
            _log.debug("the second copy of the spool cannot be written now (%s)", error.strerror)
            del self._late[_MAX_LATE:]

"""The limits of a spool: which events are dropped when there are too many."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass, replace

from edge_runtime.mqtt.spool.file import SIZE
from edge_runtime.mqtt.spool.totals import Cause, Totals


@dataclass(frozen=True)
class SpoolLimits:
    """Above any of them the oldest events are dropped. None: no limit.

    max_bytes        of topics and payloads
    max_age_seconds  on the clock of the spool
    """

    max_events: int
    max_bytes: int | None
    max_age_seconds: float | None

    def trim(self, transaction: sqlite3.Connection, totals: Totals, clock: float) -> tuple[Totals, list[int]]:
        """Delete events until every limit is met, within a transaction of the caller. The newest event always stays.

        Returns the new totals, and the numbers of the events that were deleted. Raises sqlite3.DatabaseError when it
        comes upon a damaged row.
        """
        dropped: list[int] = []
        oldest = transaction.execute(
            f"SELECT seq, {SIZE}, at FROM event WHERE seq < ? ORDER BY seq", (totals.last_seq,)
        )
        for seq, size, at in oldest:
            if not isinstance(at, float):
                raise sqlite3.DatabaseError(f"event {seq} is not what was written")
            cause = self._exceeded(totals, clock - at)
            if cause is None:
                break
            totals = totals.minus(size, cause)
            dropped.append(seq)
        oldest.close()
        if dropped:
            totals = replace(totals, floor=dropped[-1])
            transaction.execute("DELETE FROM event WHERE seq <= ?", (dropped[-1],))
        return totals, dropped

    def _exceeded(self, totals: Totals, age: float) -> Cause | None:
        if self.max_age_seconds is not None and age > self.max_age_seconds:
            return "age"
        if totals.events > self.max_events:
            return "count"
        if self.max_bytes is not None and totals.bytes > self.max_bytes:
            return "bytes"
        return None

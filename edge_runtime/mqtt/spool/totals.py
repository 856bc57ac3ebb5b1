"""The counters of a spool file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

from edge_runtime.mqtt.spool.stored import checksum

Cause = Literal["count", "bytes", "age"]  # why an event was dropped
CAUSES: tuple[Cause, ...] = get_args(Cause)


@dataclass(frozen=True)
class Totals:
    """Counters of a spool file.

    events, bytes  that wait in it
    last_seq       sequence number used last, 0 if none was
    floor          events up to this number were dropped, as far as they still waited
    dropped        events dropped in the life of the file, by cause
    damaged        events in the life of the file that were damaged, and of which no copy was left
    dead           events that became dead letters in the life of the file
    clock          seconds for which the file had been open when it was last written
    """

    events: int = 0
    bytes: int = 0
    last_seq: int = 0
    floor: int = 0
    dropped: Mapping[Cause, int] = field(default_factory=lambda: dict.fromkeys(CAUSES, 0))
    damaged: int = 0
    dead: int = 0
    clock: float = 0.0

    def plus(self, events: int, size: int) -> Totals:
        """After `events` were added, `size` bytes together, each with a number of its own."""
        return replace(self, events=self.events + events, bytes=self.bytes + size, last_seq=self.last_seq + events)

    def minus(self, size: int, cause: Cause | None = None) -> Totals:
        """After one event of `size` bytes was removed: dropped for `cause`, or (None) delivered."""
        dropped = self.dropped if cause is None else {**self.dropped, cause: self.dropped[cause] + 1}
        return replace(self, events=self.events - 1, bytes=self.bytes - size, dropped=dropped)

    def buried(self, size: int) -> Totals:
        """After one event of `size` bytes became a dead letter."""
        return replace(self.minus(size), dead=self.dead + 1)


def totals_row(totals: Totals, clock: float) -> tuple[bytes, bytes]:
    """All but events and bytes, as JSON with its checksum."""
    content = totals_json(totals, clock)
    return content, checksum(1, b"", content, 0.0, b"T")


def totals_of_row(content: Any, expected: Any) -> Totals | None:
    """What `totals_row` wrote; None if it is not that."""
    if not isinstance(content, bytes) or checksum(1, b"", content, 0.0, b"T") != expected:
        return None
    return Totals(**json.loads(content))


def totals_json(totals: Totals, clock: float) -> bytes:
    """All but events and bytes, at that time on the clock of the spool."""
    values: dict[str, Any] = {"last_seq": totals.last_seq, "floor": totals.floor, "dropped": dict(totals.dropped)}
    return json.dumps({**values, "damaged": totals.damaged, "dead": totals.dead, "clock": clock}).encode()


def merged(totals: Totals | None, other: Totals | None) -> Totals:
    """The larger of each counter: they never fall, so the smaller one is older. Events and bytes are 0."""
    one, two = totals or Totals(), other or Totals()
    return Totals(
        last_seq=max(one.last_seq, two.last_seq),
        floor=max(one.floor, two.floor),
        dropped={cause: max(one.dropped[cause], two.dropped[cause]) for cause in CAUSES},
        damaged=max(one.damaged, two.damaged),
        dead=max(one.dead, two.dead),
        clock=max(one.clock, two.clock),
    )

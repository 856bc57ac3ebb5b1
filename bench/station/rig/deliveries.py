"""Counts what a station wrote against what a subscriber received."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DeliveryCounts:
    """Events of one run.

    written     events whose transaction was committed: the last number that the spool gave out
    arrived     different events that the subscriber received
    lost        numbers 1 … written that never arrived, and inspected frames with a defect but without an event
    duplicates  deliveries of an event that had arrived before
    seq_gaps    numbers missing between the smallest and the largest that arrived, and numbers that two events share
    """

    written: int
    arrived: int
    lost: int
    duplicates: int
    seq_gaps: int


def count_deliveries(
    written: int, defects: Iterable[int], deliveries: Iterable[Mapping[str, Any]], dead: Iterable[int] = ()
) -> DeliveryCounts:
    """The counts of a run that has ended.

    defects     numbers of the frames that show a defect and whose inspection was completed, from the frame log
    deliveries  defect events in the order of their arrival, duplicates included
    dead        numbers of dead letters: they were put there to be found, and are neither lost nor a gap
    """
    events = list(deliveries)
    seq_of = {event["event_id"]: event["seq"] for event in events}
    shared = len(seq_of) - len(set(seq_of.values()))
    numbers = set(seq_of.values()) | set(dead)
    reported = {int(event["frame"]["source"]) for event in events}
    missing = max(numbers) - min(numbers) + 1 - len(numbers) if numbers else 0
    lost = len(set(range(1, written + 1)) - numbers) + len(set(defects) - reported)
    return DeliveryCounts(written, len(seq_of), lost, len(events) - len(seq_of), missing + shared)

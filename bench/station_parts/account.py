"""What was written against what arrived."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Account:
    """The books of a run.

    written     events whose transaction was committed: the last number that the spool gave
    arrived     different events that the subscriber got
    lost        numbers 1 … written that never arrived, and defects whose frame has a verdict but no event
    duplicates  deliveries of an event that had arrived before
    seq_gaps    numbers missing between the smallest and the largest that arrived, and numbers that two events bear
    """

    written: int
    arrived: int
    lost: int
    duplicates: int
    seq_gaps: int


def account(written: int, defects: Iterable[int], deliveries: Iterable[Mapping[str, Any]]) -> Account:
    """Close the books.

    defects     numbers of the frames that show a defect and were inspected to the end, from the source's journal
    deliveries  defect events in the order of their arrival, doubles included
    """
    events = list(deliveries)
    identities = {event["event_id"]: event["seq"] for event in events}
    numbers = set(identities.values())
    reported = {int(event["frame"]["source"]) for event in events}
    holes = max(numbers) - min(numbers) + 1 - len(numbers) if numbers else 0
    lost = len(set(range(1, written + 1)) - numbers) + len(set(defects) - reported)
    shared = len(identities) - len(numbers)
    return Account(written, len(identities), lost, len(events) - len(identities), holes + shared)

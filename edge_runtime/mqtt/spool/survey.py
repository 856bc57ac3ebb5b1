"""Reads a database that may be damaged: every intact row, whatever is around it."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from edge_runtime.mqtt.spool import file as spool_file
from edge_runtime.mqtt.spool.dead_copy import DeadRow
from edge_runtime.mqtt.spool.migrate import salvage_version_2
from edge_runtime.mqtt.spool.stored import StoredEvent, intact
from edge_runtime.mqtt.spool.totals import Totals


@dataclass
class DatabaseSurvey:
    """What could be read of a database.

    sizes    bytes of each intact event, by seq
    damaged  numbers of rows that are not what was written
    dead     intact dead letters
    totals   its counters; None: they are damaged
    trouble  what was wrong; empty: all of it was read and is what was written
    """

    sizes: dict[int, int] = field(default_factory=dict)
    damaged: set[int] = field(default_factory=set)
    dead: list[DeadRow] = field(default_factory=list)
    totals: Totals | None = None
    trouble: list[str] = field(default_factory=list)


def survey(database: sqlite3.Connection) -> DatabaseSurvey:
    """Read everything once."""
    found = DatabaseSurvey()
    for seq, event in read_rows(database, found.trouble):
        if event is not None:
            found.sizes[seq] = event.size
        else:
            found.damaged.add(seq)
    found.damaged -= found.sizes.keys()
    if found.damaged:
        found.trouble.append(f"{len(found.damaged)} of its events are not what was written")
    found.dead = read_dead(database, found.trouble)
    with suppress(*spool_file.READ_ERRORS):
        found.totals = spool_file.read_totals(database)
    if found.totals is None:
        found.trouble.append("its counters are damaged")
    return found


def read_rows(database: sqlite3.Connection, trouble: list[str]) -> Iterator[tuple[int, StoredEvent | None]]:
    """(seq, event, or None if it is not what was written) of each row, from both ends towards a damaged place.

    Some come twice then, and `trouble` gets a sentence.
    """
    for order in ("ASC", "DESC"):
        try:
            for row in database.execute(f"SELECT {spool_file.COLUMNS} FROM event ORDER BY seq {order}"):
                yield (row[0] if isinstance(row[0], int) else 0), intact(row)
            return
        except spool_file.READ_ERRORS as error:
            trouble.append(str(error))


def salvage(database: sqlite3.Connection) -> Iterator[StoredEvent]:
    """Every event that can be read, of version 2 as well; some perhaps twice."""
    nothing = True
    for _, event in read_rows(database, []):
        if event is not None:
            nothing = False
            yield event
    if nothing:
        yield from salvage_version_2(database)


def read_dead(database: sqlite3.Connection, trouble: list[str]) -> list[DeadRow]:
    """The intact dead letters. `trouble` gets a sentence if there are others."""
    try:
        rows = database.execute(f"SELECT {spool_file.COLUMNS}, reason, moved_at FROM dead ORDER BY seq").fetchall()
    except spool_file.READ_ERRORS as error:
        trouble.append(str(error))
        return []
    whole = [(*row[:5], _text(row[5]), _text(row[6])) for row in rows if intact(row[:5]) is not None]
    if len(whole) < len(rows):
        trouble.append("dead letters in it are not what was written")
    return whole


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)

"""Takes over a spool of version 2: events without checksums, and a table of counters."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from typing import Any

from edge_runtime.mqtt.events import now
from edge_runtime.mqtt.spool.file import READ_ERRORS, bury, create_tables, insert, save_totals
from edge_runtime.mqtt.spool.stored import StoredEvent
from edge_runtime.mqtt.spool.totals import CAUSES, Totals

_ROWS = "SELECT seq, CAST(topic AS BLOB), CAST(body AS BLOB), CAST(at AS REAL) FROM {table} ORDER BY seq {order}"


def migrate(database: sqlite3.Connection) -> int:
    """Bring the tables to the present version, all or nothing. Returns how many events wait.

    A body that is not a JSON object was damaged at some time; it becomes a dead letter. Raises sqlite3.Error.
    """
    database.execute("BEGIN IMMEDIATE")
    with database as transaction:
        counters = {name.decode(): value for name, value in transaction.execute("SELECT name, value FROM counter")}
        transaction.execute("ALTER TABLE event RENAME TO event_2")
        create_tables(transaction)
        waiting = dead = last = 0
        for row in transaction.execute(_ROWS.format(table="event_2", order="ASC")):
            event = StoredEvent(*row)
            last = event.seq
            if _is_event(event.body):
                insert(transaction, [event])
                waiting += 1
            else:
                bury(transaction, event, "its body was not JSON when the spool of version 2 was taken over", now())
                dead += 1
        transaction.execute("DROP TABLE event_2")
        transaction.execute("DROP TABLE counter")
        dropped = {cause: int(counters.get(f"dropped_{cause}", 0)) for cause in CAUSES}
        last = max(last, int(counters.get("last_seq", 0)))
        clock = float(counters.get("clock", 0.0))
        save_totals(transaction, Totals(last_seq=last, dropped=dropped, dead=dead), clock)
    return waiting


def salvage_version_2(database: sqlite3.Connection) -> Iterator[StoredEvent]:
    """Every event that can be read and is JSON, from both ends towards a damaged place; some perhaps twice."""
    for order in ("ASC", "DESC"):
        try:
            for row in database.execute(_ROWS.format(table="event", order=order)):
                if isinstance(row[0], int) and isinstance(row[1], bytes) and _is_event(row[2]):
                    yield StoredEvent(*row)
            return
        except READ_ERRORS:
            continue


def _is_event(body: Any) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except (TypeError, ValueError, RecursionError):
        return False

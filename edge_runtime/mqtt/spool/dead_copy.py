"""A second copy of the dead letters, in a file of its own beside the database."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from edge_runtime.mqtt.spool.records import DEAD, pack, parse
from edge_runtime.mqtt.spool.stored import StoredEvent
from latentline.base import atomic

DeadRow = tuple[Any, ...]  # seq, topic, body, at, checksum, reason, moved_at: a row of table `dead`


class DeadCopy:
    """The copy beside the spool at `path`. A full disk costs the copy of a dead letter, not the letter."""

    def __init__(self, path: Path) -> None:
        self.path = path.with_name(path.name + ".dead")

    def read(self) -> tuple[list[DeadRow], bool]:
        """(all that is readable, each once; whether something is not). Raises OSError."""
        try:
            parsed = parse(self.path.read_bytes())
        except FileNotFoundError:
            return [], False
        rows = {record.event.seq: _row(record.event) for record in parsed.records if record.kind == DEAD}
        return list(rows.values()), parsed.damaged

    def add(self, row: DeadRow) -> None:
        """Append one dead letter."""
        with suppress(OSError):
            file = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(file, _packed(row))
            finally:
                os.close(file)

    def write(self, rows: Iterable[DeadRow]) -> None:
        """Replace the file."""
        with suppress(OSError):
            atomic.write_bytes(self.path, b"".join(map(_packed, rows)), mode=0o600)


def _packed(row: DeadRow) -> bytes:
    seq, topic, body, at, _, reason, moved_at = row
    about = json.dumps({"reason": reason, "moved_at": moved_at}).encode()
    return pack(DEAD, StoredEvent(seq, topic, about + b"\n" + body, at))


def _row(event: StoredEvent) -> DeadRow:
    about, _, body = event.body.partition(b"\n")
    described = json.loads(about)
    return (*replace(event, body=body).row, described["reason"], described["moved_at"])

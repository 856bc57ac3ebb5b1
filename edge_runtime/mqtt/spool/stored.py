"""An event as it is on the disk. A checksum over all of it shows whether it is still what was written."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

CHECKSUM_BYTES = 8


@dataclass(frozen=True)
class StoredEvent:
    """One event.

    topic  UTF-8, unless another program wrote the file
    body   JSON
    at     clock of the spool when the event was written, seconds
    """

    seq: int
    topic: bytes
    body: bytes
    at: float

    @property
    def size(self) -> int:
        """Bytes of topic and body."""
        return len(self.topic) + len(self.body)

    @cached_property
    def checksum(self) -> bytes:
        """Over all of it: the row and the record in the second copy have the same."""
        return checksum(self.seq, self.topic, self.body, self.at)

    @property
    def row(self) -> tuple[int, bytes, bytes, float, bytes]:
        """The row of table `event`."""
        return (self.seq, self.topic, self.body, self.at, self.checksum)


def checksum(seq: int, topic: bytes, body: bytes, at: float, kind: bytes = b"A") -> bytes:
    """Eight bytes that depend on every bit of an event, or of another record of the second copy."""
    head = struct.pack(">cQdI", kind, seq, at, len(topic))
    return hashlib.blake2b(head + topic + body, digest_size=CHECKSUM_BYTES).digest()


def intact(row: Sequence[Any]) -> StoredEvent | None:
    """The event of a row (seq, topic, body, at, checksum); None if it is not what was written."""
    seq, topic, body, at, expected = row
    if not (isinstance(topic, bytes) and isinstance(body, bytes) and isinstance(at, float)):
        return None
    if not (isinstance(seq, int) and seq > 0):
        return None
    return StoredEvent(seq, topic, body, at) if checksum(seq, topic, body, at) == expected else None

"""The records of a spool's second copy: how they are written, and how they are read from a file that may be damaged."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Literal

from edge_runtime.mqtt.spool.stored import CHECKSUM_BYTES, StoredEvent, checksum

Kind = Literal[b"A", b"G", b"B", b"S", b"D"]
ADDED: Kind = b"A"  # an event was written
GONE: Kind = b"G"  # the event with this number needs no copy any more
BURIED: Kind = b"B"  # as GONE; it is a dead letter
STATE: Kind = b"S"  # `seq` is the number used last, `body` the version and the counters of the spool
DEAD: Kind = b"D"  # a dead letter; `body` begins with a line about it
_MAGIC = b"\xf5LLr"  # 0xF5 is in no UTF-8 text, so no topic or body contains it
_HEAD = struct.Struct(f">4scQdII{CHECKSUM_BYTES}s")  # magic, kind, seq, at, sizes of topic and body, checksum


@dataclass(frozen=True)
class CopyRecord:
    """One record. Without a topic and a body, unless it is ADDED."""

    kind: Kind
    event: StoredEvent


@dataclass(frozen=True)
class ParsedRecords:
    """What a file contains.

    damaged  also bytes that are no record, and not an unfinished one at the end
    end      where the last record ends
    """

    records: list[CopyRecord]
    damaged: bool
    end: int


def pack(kind: Kind, event: StoredEvent) -> bytes:
    """The bytes of a record."""
    sum_ = event.checksum if kind == ADDED else checksum(event.seq, event.topic, event.body, event.at, kind)
    head = _HEAD.pack(_MAGIC, kind, event.seq, event.at, len(event.topic), len(event.body), sum_)
    return head + event.topic + event.body


def parse(content: bytes) -> ParsedRecords:
    """Every intact record, in order. After bytes that are none it goes on with the next one."""
    records: list[CopyRecord] = []
    damaged, position, last_end = False, 0, 0
    while position < len(content):
        record, end = _parse_one(content, position)
        if record is not None:
            records.append(record)
            position = last_end = end
            continue
        following = content.find(_MAGIC, position + 1)
        # A process that is killed may leave its last record unfinished; that is no damage.
        unfinished = (
            following < 0 and end > len(content) and content.startswith(_MAGIC[: len(content) - position], position)
        )
        damaged = damaged or not unfinished
        position = len(content) if following < 0 else following
    return ParsedRecords(records, damaged, last_end)


def _parse_one(content: bytes, position: int) -> tuple[CopyRecord | None, int]:
    """The record at `position`, or None, and where it ends."""
    body_at = position + _HEAD.size
    if body_at > len(content):
        return None, body_at
    magic, kind, seq, at, topic_size, body_size, expected = _HEAD.unpack_from(content, position)
    end = body_at + topic_size + body_size
    if magic != _MAGIC or end > len(content):
        return None, end
    topic, body = content[body_at : body_at + topic_size], content[body_at + topic_size : end]
    if checksum(seq, topic, body, at, kind) != expected:
        return None, end
    return CopyRecord(kind, StoredEvent(seq, topic, body, at)), end

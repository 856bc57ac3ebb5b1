"""What the station counts of its archive."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class ArchiveNumbers:
    """written, dropped and pruned start at 0 with the process.

    written  pictures archived
    dropped  chosen frames that were not archived, by cause
    pruned   pictures removed because of a limit
    waiting  frames in the queue of the writer
    pictures, size  in the archive now, and the bytes of their files; 0 until it is open
    """

    written: int = 0
    dropped: Mapping[str, int] = field(default_factory=dict)
    pruned: int = 0
    waiting: int = 0
    pictures: int = 0
    size: int = 0

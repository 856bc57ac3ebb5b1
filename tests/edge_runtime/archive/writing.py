"""A process that archives frames until it is killed: python -m tests.edge_runtime.archive.writing DIR

It prints a line of JSON whenever its counters or faults change.
"""

from __future__ import annotations

import json
import sys
import time
from itertools import count
from pathlib import Path

from edge_runtime.archive.settings import ArchiveSection
from edge_runtime.archive.writer import ArchiveWriter
from tests.edge_runtime.archive.frames import offer


def main(folder: Path) -> None:
    """Offer frame after frame; those of one process differ from those of the next."""
    faults: dict[str, str | None] = {}
    writer = ArchiveWriter(ArchiveSection(path=folder, min_free_mib=0), faults.__setitem__, retry_seconds=0.1)
    writer.thread.start()
    last = ""
    for number in count(time.time_ns() // 1_000_000 % 10_000_000):
        offer(writer, number)
        numbers = writer.numbers
        state = {"written": numbers.written, "dropped": dict(numbers.dropped), "faults": faults}
        if (line := json.dumps(state)) != last:
            last = line
            print(line, flush=True)
        time.sleep(0.002)  # the pace of a camera


if __name__ == "__main__":
    main(Path(sys.argv[1]))

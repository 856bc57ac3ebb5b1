"""Counters of one run of the station."""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field

import numpy as np

from latentline.base.counted import counted

_LATENCIES = 10_000  # newest inspection times kept for the percentiles


@dataclass
class Summary:
    """What one run of the station counted.

    inspected       frames that got a score
    abnormal        inspected frames above the threshold
    bad_images      pictures that the camera could not read
    bad_frames      frames that the inspector could not use
    failed          frames at which the inspector itself failed
    dropped         frames that were not inspected, by cause
    events          events written to the spool
    lost            events that could not be written
    published       events that the broker confirmed, those of earlier runs included
    waiting         events left in the spool
    spool_dropped   events dropped from the spool because it was full, in the life of its file
    given_up        events that this run's spool dropped, or that could not be delivered or were damaged
    inspect_ms      inspection times of the newest frames, milliseconds
    largest_frame   shape of the largest frame so far; () before the first
    """

    inspected: int = 0
    abnormal: int = 0
    bad_images: int = 0
    bad_frames: int = 0
    failed: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    events: int = 0
    lost: int = 0
    published: int = 0
    waiting: int = 0
    spool_dropped: int = 0
    given_up: int = 0
    inspect_ms: deque[float] = field(default_factory=lambda: deque(maxlen=_LATENCIES), repr=False)
    largest_frame: tuple[int, ...] = ()

    def latency(self, percent: float) -> float:
        """A percentile (0 … 100) of the inspection time, milliseconds; 0 before the first frame."""
        return float(np.percentile(list(self.inspect_ms), percent)) if self.inspect_ms else 0.0

    def __str__(self) -> str:
        causes = ", ".join(f"{count} {cause}" for cause, count in sorted(self.dropped.items()) if count)
        unusable = self.bad_images + self.bad_frames + self.failed
        return (
            f"{counted(self.inspected, 'frame')} inspected, {self.abnormal} abnormal, {unusable} unusable, "
            f"dropped: {causes or 'none'}; "
            f"inspection {self.latency(50):.1f} ms median, {self.latency(99):.1f} ms p99; "
            f"{counted(self.events, 'event')} written, {self.published} confirmed by the broker, "
            f"{self.waiting} waiting, {self.lost + self.given_up} lost or given up"
        )

"""How a camera is doing: its state and its counters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

CameraState = Literal["ok", "stalled", "failing", "ended"]


@dataclass(frozen=True)
class CameraReport:
    """State and counters of one camera.

    state        ok; stalled (no frame arrives); failing (it raised an error); ended (end of the input, or closed)
    reason       a sentence if something is wrong
    frames       good frames so far, including those that were not inspected
    bad_causes   unusable frames, by cause
    reopened     how often it was opened again
    stalls       how often no frame arrived for `stall_seconds`
    dropped      good frames that were not inspected, by cause
    age_seconds  age of the newest good frame; None before the first
    backlog_seconds   for how long frames of `every_frame` have waited without a break, unless they may
    lateness_seconds  age of the newest inspected frame when its verdict was there; None: there was none
    """

    state: CameraState
    reason: str | None
    frames: int
    bad_causes: Mapping[str, int]
    reopened: int
    stalls: int
    dropped: Mapping[str, int]
    age_seconds: float | None
    backlog_seconds: float = 0.0
    lateness_seconds: float | None = None

    @property
    def bad(self) -> int:
        """Number of unusable frames."""
        return sum(self.bad_causes.values())

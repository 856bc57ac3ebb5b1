"""Hands the newest inspected frame of each camera from the station's thread to the page, without a copy."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from edge_runtime.cameras.base import Frame
from latentline.inspection.result import InspectionResult

_RECENT = 100  # frames behind the rate
_SCORES = 10_000  # newest frames of all cameras whose scores are kept
_RATE_SECONDS = 60.0  # a frame that is older does not count for the rate


@dataclass
class CameraTally:
    """What a camera's frames were, since the station started. times: of the newest ones, of the clock."""

    ok: int = 0
    abnormal: int = 0
    times: deque[float] = field(default_factory=lambda: deque(maxlen=_RECENT))

    def rate(self, now: float) -> float:
        """Inspected frames per second lately; 0 without two frames in the last minute."""
        recent = [at for at in list(self.times) if now - at <= _RATE_SECONDS]
        return (len(recent) - 1) / max(now - recent[0], 1e-3) if len(recent) > 1 else 0.0


class LatestFrames:
    """Holds one result for each camera at most: a newer one takes its place, and whoever takes it leaves nothing.

    The station's thread calls `show`, which takes microseconds; one other thread calls `wait` and `take`.

    clock  seconds, monotonic
    """

    def __init__(self, cameras: Iterable[str], clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock
        self.tallies = {camera: CameraTally() for camera in cameras}
        self.scores: deque[float] = deque(maxlen=_SCORES)  # of one model: cleared by a switch
        self._waiting: dict[str, tuple[Frame, InspectionResult]] = {}
        self._some = threading.Event()

    def show(self, frame: Frame, inspection: InspectionResult) -> None:
        """Count a frame and leave it for the page."""
        tally = self.tallies.setdefault(frame.camera, CameraTally())
        tally.times.append(self.clock())
        self.scores.append(inspection.score)
        if inspection.is_abnormal:
            tally.abnormal += 1
        else:
            tally.ok += 1
        self._waiting[frame.camera] = frame, inspection
        self._some.set()

    def forget_scores(self) -> None:
        """Another model judges from now on. For the station's thread."""
        self.scores.clear()

    def wait(self, seconds: float) -> bool:
        """Wait for a frame, `seconds` at most; returns whether there is one."""
        return self._some.wait(seconds)

    def take(self) -> list[tuple[Frame, InspectionResult]]:
        """The newest frame of each camera that has a new one."""
        self._some.clear()
        return [self._waiting.pop(camera) for camera in list(self._waiting)]

"""The frames that the inspector has in work: their age, their time, and the faults of each."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from edge_runtime.cameras.base import Frame
from edge_runtime.frames.frame_inspector import FrameInspector
from edge_runtime.frames.summary import Summary
from edge_runtime.pacing import RateLimitedLog
from edge_runtime.supervision.watchdog import Stage
from latentline.errors import ImageError
from latentline.inspection.result import InspectionResult
from latentline.scoring.defects import find_defects


@dataclass(frozen=True)
class InspectedFrame:
    """A frame with its inspection; wait_ms: how old it was when it was oldest."""

    frame: Frame
    inspection: InspectionResult
    wait_ms: float


@dataclass(frozen=True)
class _FrameInWork:
    frame: Frame
    finish: Callable[[], InspectionResult]
    wait_ms: float
    start: float  # of time.perf_counter


class FramePipeline:
    """Inspects frames in order, in the station's thread, several in work at a time.

    threshold  None: the package's. It may change between frames; the inspector may, when no frame is in work
    summary    counts the outcomes
    stage      of the supervisor: one frame in work
    fault      called with ("inspector", sentence), and with None when it works again
    unusable   called with a frame that no inspector can use
    """

    def __init__(
        self,
        inspector: FrameInspector,
        threshold: float | None,
        summary: Summary,
        stage: Stage,
        fault: Callable[[str, str | None], None],
        unusable: Callable[[Frame], None],
    ) -> None:
        self.inspector, self.own_threshold = inspector, threshold
        self._summary, self._stage, self._fault, self._unusable = summary, stage, fault, unusable
        self._complaints = RateLimitedLog(logging.getLogger(__name__))
        self._in_work: deque[_FrameInWork] = deque()

    def __len__(self) -> int:
        """How many frames are in work."""
        return len(self._in_work)

    @property
    def threshold(self) -> float:
        """The score above which a frame is abnormal."""
        return self.inspector.identity.threshold if self.own_threshold is None else self.own_threshold

    def submit(self, frame: Frame) -> None:
        """Begin a frame. One that cannot be used is counted and logged."""
        wait_ms = 1e3 * (datetime.now(timezone.utc) - frame.captured_at).total_seconds()
        start = time.perf_counter()
        with self._faults(frame), self._stage.working():
            self._in_work.append(_FrameInWork(frame, self.inspector.begin(frame.image), wait_ms, start))

    def collect(self) -> InspectedFrame | None:
        """Finish the oldest frame in work. None when its inspection failed, which is counted and logged."""
        oldest = self._in_work.popleft()
        with self._faults(oldest.frame), self._stage.working():
            inspection = self._checked(oldest.finish())
            self._summary.inspect_ms.append(1e3 * (time.perf_counter() - oldest.start))
            self._summary.inspected += 1
            self._fault("inspector", None)
            return InspectedFrame(oldest.frame, inspection, oldest.wait_ms)
        return None

    def _checked(self, inspection: InspectionResult) -> InspectionResult:
        """The inspection, by this station's threshold."""
        if not math.isfinite(inspection.score):
            raise ArithmeticError(f"the score is {inspection.score}")
        if self.own_threshold is None:
            return inspection
        inspection = replace(inspection, threshold=self.own_threshold)
        if inspection.is_abnormal and not inspection.defects:
            # The package's own threshold called the frame normal, so nobody looked for its defects.
            found = find_defects(inspection.anomaly_map, self.inspector.identity.map_threshold)
            inspection = replace(inspection, defects=found)
        return inspection

    @contextmanager
    def _faults(self, frame: Frame) -> Iterator[None]:
        """Count and log the fault of one frame, and go on: the next frame may be fine."""
        try:
            yield
        except ImageError as error:
            self._summary.bad_frames += 1
            self._unusable(frame)
            self._complaints.warning(f"skipped: {frame.source}: {error}")
        except Exception as error:
            self._summary.failed += 1
            sentence = f"the inspector failed ({type(error).__name__}: {error})"
            self._fault("inspector", sentence)
            self._complaints.warning(f"{frame.source}: {sentence}")

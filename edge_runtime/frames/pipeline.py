"""Frames on their way through the inspector: how old they are, how long they take, and what goes wrong with one."""

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
    """A frame with its inspection; wait_ms: how old it was when it was begun."""

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
    """Frames begun and finished in order, in the station's thread.

    threshold  None: the package's; may be changed between frames, as may the inspector when no frame is begun
    summary    counts what comes of them
    stage      of the supervisor: working on one frame
    fault      called with ("inspector", sentence), and None when it works again
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
        self._begun: deque[_FrameInWork] = deque()

    def __len__(self) -> int:
        """How many frames are begun and not finished."""
        return len(self._begun)

    @property
    def threshold(self) -> float:
        """The score above which a frame is abnormal."""
        return self.inspector.identity.threshold if self.own_threshold is None else self.own_threshold

    def begin(self, frame: Frame) -> None:
        """Begin a frame; one that cannot be is counted and said."""
        wait_ms = 1e3 * (datetime.now(timezone.utc) - frame.captured_at).total_seconds()
        start = time.perf_counter()
        with self._faults(frame), self._stage.working():
            self._begun.append(_FrameInWork(frame, self.inspector.begin(frame.image), wait_ms, start))

    def finish(self) -> InspectedFrame | None:
        """Finish the oldest frame begun; None when it came to nothing, which is counted and said."""
        begun = self._begun.popleft()
        with self._faults(begun.frame), self._stage.working():
            inspection = self._checked(begun.finish())
            self._summary.inspect_ms.append(1e3 * (time.perf_counter() - begun.start))
            self._summary.inspected += 1
            self._fault("inspector", None)
            return InspectedFrame(begun.frame, inspection, begun.wait_ms)
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
        """Count and say what goes wrong with one frame, and swallow it: the next may be another matter."""
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

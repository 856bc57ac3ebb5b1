"""The frames in work: each is timed, and a fault costs only its own frame."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from edge_runtime.cameras.base import Frame
from edge_runtime.cameras.work_journal import WorkJournal
from edge_runtime.frames.depth import FrameDepth
from edge_runtime.frames.frame_inspector import FrameInspector
from edge_runtime.frames.sizes import SizeWatch
from edge_runtime.frames.summary import Summary
from edge_runtime.pacing import RateLimitedLog
from edge_runtime.supervision.watchdog import Stage
from latentline.errors import BitDepthError, DeviceLostError, ImageError
from latentline.inspection.result import InspectionResult


@dataclass(frozen=True)
class InspectedFrame:
    """A frame and its inspection. wait_ms: milliseconds from its capture to the start of its inspection."""

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
    """Inspects frames in order, several of them in work at a time. Used by the station's thread.

    threshold  of the anomaly score; None: the package's
    summary    counts the outcomes
    stage      of the watchdog: one frame in work, and how many failed in a row
    fault      called with ("inspector", sentence) when it fails, with ("inspector", None) when it works again; and with
               ("camera.ID.bit_depth", …) as `FrameDepth` says
    unusable   called with each frame that can never be inspected
    lost       called with a sentence when only a new process can inspect again
    work       notes which pictures are in work; None: nothing is noted

    `own_threshold` may change between two frames, `inspector` while no frame is in work.
    """

    def __init__(
        self,
        inspector: FrameInspector,
        threshold: float | None,
        summary: Summary,
        stage: Stage,
        fault: Callable[[str, str | None], None],
        unusable: Callable[[Frame], None],
        lost: Callable[[str], None],
        work: WorkJournal | None = None,
    ) -> None:
        self.inspector, self.own_threshold = inspector, threshold
        self._summary, self._stage, self._fault = summary, stage, fault
        self._unusable, self._lost = unusable, lost
        self._work = work or WorkJournal()
        self._log = RateLimitedLog(logging.getLogger(__name__))
        self._depth, self._sizes = FrameDepth(fault), SizeWatch()
        self._in_work: deque[_FrameInWork] = deque()

    def __len__(self) -> int:
        """Number of frames in work."""
        return len(self._in_work)

    @property
    def threshold(self) -> float:
        """The score above which a frame is abnormal."""
        return self.inspector.identity.threshold if self.own_threshold is None else self.own_threshold

    def submit(self, frame: Frame) -> None:
        """Start on a frame. An unusable one is counted and logged."""
        wait_ms = 1e3 * (time.monotonic() - frame.since)  # whatever the clock of the machine does meanwhile
        start = time.perf_counter()
        self._summary.largest_frame = max(self._summary.largest_frame, frame.image.shape, key=math.prod)
        self._work.begin_inspection(frame.lasting)
        with self._faults(frame), self._stage.working():
            scaled = self._depth.scaled(frame, self.inspector.identity.bit_depth)
            self._sizes.see(scaled, self.inspector.identity)
            self._in_work.append(_FrameInWork(scaled, self.inspector.begin(scaled.picture), wait_ms, start))

    def collect(self) -> InspectedFrame | None:
        """Finish the oldest frame in work. None if its inspection failed, which is counted and logged."""
        oldest = self._in_work.popleft()
        with self._faults(oldest.frame), self._stage.working():
            inspection = self._checked(oldest.finish())
            self._summary.inspect_ms.append(1e3 * (time.perf_counter() - oldest.start))
            self._summary.inspected += 1
            self._stage.succeeded()
            self._fault("inspector", None)
            self._work.end(oldest.frame.lasting)
            return InspectedFrame(oldest.frame, inspection, oldest.wait_ms)
        return None

    def _checked(self, inspection: InspectionResult) -> InspectionResult:
        """Apply this station's threshold. Raises ArithmeticError if the score is not finite."""
        if not math.isfinite(inspection.score):
            raise ArithmeticError(f"the score is {inspection.score}")
        if self.own_threshold is None:
            return inspection
        return inspection.at_threshold(self.own_threshold, self.inspector.identity.map_threshold)

    @contextmanager
    def _faults(self, frame: Frame) -> Iterator[None]:
        """Count and log an exception about one frame: the next frame may be fine."""
        try:
            yield
        except ImageError as error:
            self._work.end(frame.lasting)
            self._summary.bad_frames += 1
            if not isinstance(error, BitDepthError):  # with the right setting such a frame can be inspected
                self._unusable(frame)
            self._log.warning(f"{frame.source} is skipped: {error}")
        except Exception as error:
            lost = isinstance(error, DeviceLostError)
            (self._work.give_up if lost else self._work.end)(frame.lasting)
            self._summary.failed += 1
            self._stage.failed()
            sentence = f"the inspector failed ({type(error).__name__}: {error})"
            self._fault("inspector", sentence)
            self._log.warning(f"{frame.source}: {sentence}")
            if lost:
                self._lost(f"{sentence}; the station ends to be restarted")

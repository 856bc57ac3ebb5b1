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
from typing import Protocol

import numpy as np
import numpy.typing as npt

from edge_runtime.cameras.base import Frame
from edge_runtime.model_identity import ModelIdentity
from edge_runtime.rate_limit import RateLimitedLog
from edge_runtime.summary import Summary
from latentline.defects import find_defects
from latentline.errors import ImageError
from latentline.inspection import Inspection


class Inspector(Protocol):
    """Judges frames of any size and channel count, in the order in which they were begun."""

    @property
    def identity(self) -> ModelIdentity:
        """Which model judges."""
        ...

    @property
    def ahead(self) -> int:
        """How many frames may be begun before the first of them is finished."""
        ...

    def begin(self, image: npt.NDArray[np.uint8], /) -> Callable[[], Inspection]:
        """Begin uint8 [H, W, C]; what is returned finishes it. Both raise ImageError: this picture cannot be used."""
        ...

    def close(self) -> None:
        """Release the backend."""
        ...


@dataclass(frozen=True)
class Judged:
    """A frame with its inspection; wait_ms: how old it was when it was begun."""

    frame: Frame
    inspection: Inspection
    wait_ms: float


@dataclass(frozen=True)
class _Begun:
    frame: Frame
    finish: Callable[[], Inspection]
    wait_ms: float
    start: float  # of time.perf_counter


class Judging:
    """Frames begun and finished in order.

    threshold  None: the package's
    summary    counts what comes of them
    fault      called with ("inspector", sentence), and None when it works again
    """

    def __init__(
        self,
        inspector: Inspector,
        threshold: float | None,
        summary: Summary,
        fault: Callable[[str, str | None], None],
    ) -> None:
        self._inspector, self._threshold, self._summary, self._fault = inspector, threshold, summary, fault
        self._complaints = RateLimitedLog(logging.getLogger(__name__))
        self._begun: deque[_Begun] = deque()

    def __len__(self) -> int:
        """How many frames are begun and not finished."""
        return len(self._begun)

    def begin(self, frame: Frame) -> None:
        """Begin a frame; one that cannot be is counted and said."""
        wait_ms = 1e3 * (datetime.now(timezone.utc) - frame.captured_at).total_seconds()
        start = time.perf_counter()
        with self._faults(frame):
            self._begun.append(_Begun(frame, self._inspector.begin(frame.image), wait_ms, start))

    def finish(self) -> Judged | None:
        """Finish the oldest frame begun; None when it came to nothing, which is counted and said."""
        begun = self._begun.popleft()
        with self._faults(begun.frame):
            inspection = self._checked(begun.finish())
            self._summary.inspect_ms.append(1e3 * (time.perf_counter() - begun.start))
            self._summary.inspected += 1
            self._fault("inspector", None)
            return Judged(begun.frame, inspection, begun.wait_ms)
        return None

    def _checked(self, inspection: Inspection) -> Inspection:
        """The inspection, by this station's threshold."""
        if not math.isfinite(inspection.score):
            raise ArithmeticError(f"the score is {inspection.score}")
        if self._threshold is None:
            return inspection
        inspection = replace(inspection, threshold=self._threshold)
        if inspection.abnormal and not inspection.defects:
            # The package's own threshold called the frame normal, so nobody looked for its defects.
            found = find_defects(inspection.anomaly_map, self._inspector.identity.map_threshold)
            inspection = replace(inspection, defects=found)
        return inspection

    @contextmanager
    def _faults(self, frame: Frame) -> Iterator[None]:
        """Count and say what goes wrong with one frame, and swallow it: the next may be another matter."""
        try:
            yield
        except ImageError as error:
            self._summary.bad_frames += 1
            self._complaints.warning(f"skipped: {frame.source}: {error}")
        except Exception as error:
            self._summary.failed += 1
            sentence = f"the inspector failed ({type(error).__name__}: {error})"
            self._fault("inspector", sentence)
            self._complaints.warning(f"{frame.source}: {sentence}")

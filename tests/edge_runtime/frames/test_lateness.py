"""How late verdicts are is measured for every camera, and above its limit it is a fault with a name."""

from __future__ import annotations

import math
from datetime import datetime, timezone

import numpy as np
import pytest

from edge_runtime.cameras.base import Frame
from edge_runtime.cameras.report import CameraReport
from edge_runtime.frames.lateness import Lateness

LATE = (
    "camera top: verdicts come more than 10 s after their frames; inspect smaller frames, fewer frames, or only the "
    "newest one (every_frame: false)"
)


def _frame(since: float) -> Frame:
    return Frame(np.zeros((2, 2, 1), np.uint8), datetime.now(timezone.utc), "top", "1.png", 1, since=since)


def _report(backlog: float = 0.0) -> CameraReport:
    return CameraReport("ok", None, 9, {}, 0, 0, {}, 0.1, backlog)


class _Bench:
    """Lateness with a limit, whose clock the test sets."""

    def __init__(self, limit: float | None = 10.0) -> None:
        self.now = 1000.0
        self.faults: list[tuple[str, str | None]] = []
        self.lateness = Lateness({"top": limit}, lambda *fault: self.faults.append(fault), lambda: self.now)

    def verdict(self, late: float) -> None:
        """A frame gets its verdict `late` seconds after it was taken."""
        self.lateness.add(_frame(self.now - late))
        self.check()

    def check(self, backlog: float = 0.0) -> CameraReport:
        """A look at the camera; returns its report."""
        self.lateness.check({"top": _report(backlog)})
        return self.lateness.completed("top", _report(backlog))


def test_the_age_of_the_newest_frame_is_in_the_report() -> None:
    """None before the first verdict; never below 0."""
    bench = _Bench()
    assert bench.check().lateness_seconds is None
    bench.verdict(1.25)
    assert bench.check().lateness_seconds == 1.25
    bench.verdict(-3.0)
    assert bench.check().lateness_seconds == 0.0 and bench.faults == []


def test_a_late_verdict_is_a_fault_until_they_are_well_in_time() -> None:
    """The fault names the camera and what to do, is reported once, and ends at half the limit."""
    bench = _Bench()
    for late in (9.9, 10.1, 24.0, 6.0):
        bench.verdict(late)
    assert bench.faults == [("camera.top.late", LATE)] and bench.check().reason == LATE
    bench.verdict(4.9)
    assert bench.faults[1:] == [("camera.top.late", None)] and bench.check().reason is None


def test_a_camera_that_has_no_frames_any_more_is_not_late() -> None:
    """After a burst whose last verdict was late, the fault ends when nothing more comes."""
    bench = _Bench()
    bench.verdict(24.0)
    bench.now += 40.0
    bench.check()
    assert len(bench.faults) == 1, "the next verdict may still come that late"
    bench.now += 9.0
    bench.check()
    assert bench.faults[1:] == [("camera.top.late", None)]


def test_frames_that_wait_without_a_break_are_a_fault() -> None:
    """Not every driver says how long it keeps a frame; a backlog that does not end says it all the same."""
    bench = _Bench()
    bench.verdict(0.2)
    bench.check(backlog=10.0)
    assert bench.faults == []
    bench.check(backlog=10.1)
    (fault,) = bench.faults
    assert fault[0] == "camera.top.late" and "waited without a break for more than 10 s" in str(fault[1])
    bench.check(backlog=0.0)
    assert bench.faults[1:] == [("camera.top.late", None)]


@pytest.mark.parametrize("late", [11.0, 1e6, math.inf])
def test_without_a_limit_it_is_only_measured(late: float) -> None:
    """`late_seconds: null` makes no fault."""
    bench = _Bench(None)
    bench.verdict(late)
    assert bench.faults == [] and bench.check(backlog=late).lateness_seconds == late


def test_another_reason_of_the_camera_comes_first() -> None:
    """A camera that is late and stalled says that it is stalled."""
    bench = _Bench()
    bench.verdict(24.0)
    stalled = CameraReport("stalled", "no frame", 9, {}, 0, 0, {}, 0.1)
    assert bench.lateness.completed("top", stalled).reason == "no frame"

"""How late verdicts are: the age of a frame when its verdict is there. Above a limit it is a fault of the camera."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

from edge_runtime.cameras.base import Frame
from edge_runtime.cameras.report import CameraReport

_ADVICE = "inspect smaller frames, fewer frames, or only the newest one (every_frame: false)"


class Lateness:
    """The station's thread calls `add`, the supervisor's calls `check`; any thread may call `completed`.

    limits  by camera, seconds; None: lateness is no fault
    fault   called with ("camera.{id}.late", sentence or None)
    clock   the one of Frame.since
    """

    def __init__(
        self,
        limits: Mapping[str, float | None],
        fault: Callable[[str, str | None], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._limits, self._fault, self._clock = limits, fault, clock
        self._newest: dict[str, tuple[float, float]] = {}  # by camera: lateness, and when
        self._faults: dict[str, str] = {}  # by camera

    def add(self, frame: Frame) -> None:
        """The verdict of `frame` is there: its event is on the disk, or it has none."""
        now = self._clock()
        self._newest[frame.camera] = max(0.0, now - frame.since), now

    def completed(self, camera: str, report: CameraReport) -> CameraReport:
        """`report` with the lateness of `camera`, and with the fault as the reason if there is no other one."""
        lateness, _ = self._newest.get(camera, (None, 0.0))
        reason = report.reason or self._faults.get(camera)
        return replace(report, lateness_seconds=lateness, reason=reason)

    def check(self, reports: Mapping[str, CameraReport]) -> None:
        """Report the cameras whose verdicts are late, or whose frames wait without a break."""
        for camera, limit in self._limits.items():
            if limit is None or camera not in reports:
                continue
            sentence = None
            if self._is_late(camera, limit):
                sentence = f"camera {camera}: verdicts come more than {limit:g} s after their frames; {_ADVICE}"
            elif reports[camera].backlog_seconds > limit:
                waited = f"frames have waited without a break for more than {limit:g} s"
                sentence = f"camera {camera}: {waited}, so the station falls behind; {_ADVICE}"
            if sentence == self._faults.get(camera):
                continue
            self._faults.pop(camera, None)
            if sentence is not None:
                self._faults[camera] = sentence
            self._fault(f"camera.{camera}.late", sentence)

    def _is_late(self, camera: str, limit: float) -> bool:
        lateness, at = self._newest.get(camera, (0.0, 0.0))
        if self._clock() - at > max(limit, 2 * lateness):
            return False  # the camera has no frames any more
        return lateness > (limit / 2 if camera in self._faults else limit)

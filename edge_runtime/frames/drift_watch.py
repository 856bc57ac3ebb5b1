"""The drift monitor for the present model and threshold, and its fault."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import numpy.typing as npt

from edge_runtime.frames.drift import DriftMonitor
from edge_runtime.frames.frame_inspector import FrameInspector
from edge_runtime.frames.settings import DriftSection
from latentline.inspection.result import InspectionResult
from latentline.vision.images import mean_grey
from latentline.vision.region import cut


class DriftWatch:
    """Used by the station's thread, except `numbers`, which any thread may read.

    settings  None: nothing is watched
    fault     called with ("drift", sentence) while the line has changed, otherwise with ("drift", None)
    """

    def __init__(self, settings: DriftSection | None, fault: Callable[[str, str | None], None]) -> None:
        self._settings, self._fault = settings, fault
        self._monitor: DriftMonitor | None = None

    def restart(self, inspector: FrameInspector, threshold: float) -> None:
        """Start again, for another model or another threshold."""
        baseline = inspector.baseline
        self._monitor = None
        if self._settings is not None and baseline is not None:
            self._monitor = DriftMonitor(
                self._settings, baseline.scores, baseline.brightness, threshold, baseline.false_alarm_rate
            )
        self._fault("drift", None)

    def change_settings(self, settings: DriftSection | None, inspector: FrameInspector, threshold: float) -> None:
        """Start again with other settings."""
        self._settings = settings
        self.restart(inspector, threshold)

    def add(self, image: npt.NDArray[np.uint8], inspection: InspectionResult) -> None:
        """Add an inspected frame. image: uint8 [H, W, C], of which only what was inspected counts."""
        if self._monitor is not None:
            seen = image if inspection.region is None else cut(image, inspection.region)
            self._monitor.add(inspection.score, mean_grey(seen), inspection.is_abnormal)
            self._fault("drift", self._monitor.warning)

    @property
    def numbers(self) -> dict[str, float]:
        """The numbers of the drift report that are known, for metrics and the `health` message."""
        monitor = self._monitor
        if monitor is None:
            return {}
        report = asdict(monitor.report())
        low, high = report.pop("alarm_interval") or (None, None)
        report |= {"alarm_rate_low": low, "alarm_rate_high": high}
        return {name: float(value) for name, value in report.items() if isinstance(value, (int, float))}

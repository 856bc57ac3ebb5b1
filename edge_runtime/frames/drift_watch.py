"""The drift monitor of the model and threshold that are in use, and its fault."""

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


class DriftWatch:
    """Used by the station's thread; `numbers` by any.

    settings  None: nothing is watched
    fault     gets the code `drift` and a sentence when the line has changed
    """

    def __init__(self, settings: DriftSection | None, fault: Callable[[str, str | None], None]) -> None:
        self._settings, self._fault = settings, fault
        self._monitor: DriftMonitor | None = None

    def begin(self, inspector: FrameInspector, threshold: float) -> None:
        """Begin anew: another model, another threshold."""
        baseline = inspector.baseline
        self._monitor = None
        if self._settings is not None and baseline is not None:
            self._monitor = DriftMonitor(
                self._settings, baseline.scores, baseline.brightness, threshold, baseline.false_alarm_rate
            )
        self._fault("drift", None)

    def change(self, settings: DriftSection | None, inspector: FrameInspector, threshold: float) -> None:
        """Begin anew with other settings."""
        self._settings = settings
        self.begin(inspector, threshold)

    def seen(self, image: npt.NDArray[np.uint8], inspection: InspectionResult) -> None:
        """Take one inspected frame into account."""
        if self._monitor is not None:
            self._monitor.seen(inspection.score, mean_grey(image), inspection.is_abnormal)
            self._fault("drift", self._monitor.warning)

    @property
    def numbers(self) -> dict[str, float]:
        """The finite numbers of the report, for metrics and the `health` message."""
        monitor = self._monitor
        if monitor is None:
            return {}
        report = asdict(monitor.report())
        low, high = report.pop("alarm_interval") or (None, None)
        report |= {"alarm_rate_low": low, "alarm_rate_high": high}
        return {name: float(value) for name, value in report.items() if isinstance(value, (int, float))}

"""Pictures of the test images with the largest errors: where to look first."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from latentline.base.atomic import write_bytes
from latentline.inspection.panels import WHITE, draw_panel
from latentline.inspection.result import InspectionResult
from latentline.printable import printable
from trainer.evaluation.report import GOOD

UInt8 = npt.NDArray[np.uint8]
SHOWN = 6
TITLE_HEIGHT = 22  # px
LONGEST_NAME = 200  # bytes: a file system takes 255, and a file is written under a longer name first


@dataclass
class ErrorPanels:
    """Panels of the misses and false alarms furthest from the threshold so far, at most SHOWN of each."""

    _misses: list[tuple[float, UInt8]] = field(default_factory=list)
    _false_alarms: list[tuple[float, UInt8]] = field(default_factory=list)

    def add(
        self, name: str, kind: str, frame: UInt8, result: InspectionResult, mask: npt.NDArray[np.bool_] | None
    ) -> None:
        """Take one image; keep it when it is on the wrong side of the threshold, and further from it than others."""
        if result.is_abnormal != (kind == GOOD):
            return
        errors = self._false_alarms if kind == GOOD else self._misses
        distance = abs(result.score - result.threshold)
        if len(errors) == SHOWN and distance <= errors[-1][0]:
            return
        errors.append((distance, _titled(draw_panel(frame, result, mask), name)))
        errors.sort(key=lambda error: -error[0])  # stable: of equal errors the first stays
        del errors[SHOWN:]

    def save(self, misses: Path, false_alarms: Path) -> None:
        """Write the panels, the largest error on top; without any, delete the file of an earlier evaluation."""
        for path, errors in ((misses, self._misses), (false_alarms, self._false_alarms)):
            if errors:
                write_bytes(path, cv2.imencode(".png", _stacked([panel for _, panel in errors]))[1].tobytes())
            else:
                path.unlink(missing_ok=True)


def panel_name(kind: str, name: str) -> str:
    """The file name of the panel of the test image `name`: on one line, and short enough for a file system."""
    stem = printable(f"{kind}-{Path(name).stem}").encode("utf-8", "surrogateescape")[:LONGEST_NAME]
    return stem.decode("utf-8", "ignore") + ".png"


def _titled(panel: UInt8, name: str) -> UInt8:
    titled = cv2.copyMakeBorder(panel, TITLE_HEIGHT, 0, 0, 0, cv2.BORDER_CONSTANT)
    cv2.putText(titled, printable(name), (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, WHITE, 1, cv2.LINE_AA)
    return np.asarray(titled)


def _stacked(panels: list[UInt8]) -> UInt8:
    width = max(panel.shape[1] for panel in panels)
    return np.vstack(
        [cv2.copyMakeBorder(p, 0, 0, 0, width - p.shape[1], cv2.BORDER_CONSTANT, value=(0, 0, 0)) for p in panels]
    )

"""Pictures of the test images that were judged most wrongly: where to look first."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt

from latentline.base.atomic import write_bytes
from latentline.inspection.panels import WHITE, draw_panel
from latentline.inspection.result import InspectionResult
from trainer.evaluation.report import GOOD

UInt8 = npt.NDArray[np.uint8]
SHOWN = 6
TITLE_HEIGHT = 22  # px


@dataclass
class WorstCases:
    """The worst misses and false alarms so far, as panels; no more than SHOWN of each are held."""

    _misses: list[tuple[float, UInt8]] = field(default_factory=list)
    _alarms: list[tuple[float, UInt8]] = field(default_factory=list)

    def add(
        self, name: str, kind: str, frame: UInt8, seen: InspectionResult, mask: npt.NDArray[np.bool_] | None
    ) -> None:
        """Look at one image; it is kept when it was judged wrongly, and worse than others."""
        if seen.is_abnormal != (kind == GOOD):
            return
        worst = self._alarms if kind == GOOD else self._misses
        depth = abs(seen.score - seen.threshold)
        if len(worst) == SHOWN and depth <= worst[-1][0]:
            return
        worst.append((depth, _titled(draw_panel(frame, seen, mask), name)))
        worst.sort(key=lambda case: -case[0])  # stable: of equals the first stays
        del worst[SHOWN:]

    def save(self, misses: Path, false_alarms: Path) -> None:
        """Write the panels, the worst on top; without any, no file is left of an earlier evaluation."""
        for path, cases in ((misses, self._misses), (false_alarms, self._alarms)):
            if cases:
                write_bytes(path, cv2.imencode(".png", _stacked([panel for _, panel in cases]))[1].tobytes())
            else:
                path.unlink(missing_ok=True)


def _titled(panel: UInt8, name: str) -> UInt8:
    titled = cv2.copyMakeBorder(panel, TITLE_HEIGHT, 0, 0, 0, cv2.BORDER_CONSTANT)
    cv2.putText(titled, name, (4, 16), cv2.FONT_HERSHEY_SIMPLEX, 0.45, WHITE, 1, cv2.LINE_AA)
    return np.asarray(titled)


def _stacked(panels: list[UInt8]) -> UInt8:
    width = max(panel.shape[1] for panel in panels)
    return np.vstack(
        [cv2.copyMakeBorder(p, 0, 0, 0, width - p.shape[1], cv2.BORDER_CONSTANT, value=(0, 0, 0)) for p in panels]
    )

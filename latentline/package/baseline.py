"""What a calibration knows of normal frames, for watching a line drift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class NormalBaseline:
    """The normal frames of the calibration: scores [n], mean grey levels [n] where known, false alarms promised."""

    scores: npt.NDArray[np.float64]
    brightness: npt.NDArray[np.float64] | None
    false_alarm_rate: float

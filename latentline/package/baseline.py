"""The normal frames behind a threshold, against which a station watches for drift."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class NormalBaseline:
    """Held-out normal frames of the calibration.

    scores            [n] anomaly scores
    brightness        [n] mean grey levels; None: not recorded
    false_alarm_rate  that the calibration promises
    """

    scores: npt.NDArray[np.float64]
    brightness: npt.NDArray[np.float64] | None
    false_alarm_rate: float

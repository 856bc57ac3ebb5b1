"""Has the line changed since the calibration?

Three questions about the newest frames, asked once a block of them is complete: do their scores rank among the
calibration's normal scores as new normal scores would; does their brightness; and are there more alarms than promised.
Ranks, because scores are heavy-tailed; the finite size of the calibration is part of every limit.
"""

from __future__ import annotations

import math
import threading
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist, fmean, median, pstdev

import numpy as np
import numpy.typing as npt

from edge_runtime.frames.settings import DriftSection
from latentline.scoring.binomial import beta_binomial, binomial, clopper_pearson

_BLOCKS = 20  # of a window
_FIRST_LOOK = 6  # blocks; before that nothing is said
_QUESTIONS = 5  # scores higher, lower; brighter, darker; alarms


@dataclass(frozen=True)
class DriftReport:
    """The newest frames beside the calibration; None where there is nothing to say yet.

    window               frames the numbers are of
    median_score         of them; median_quantile: share of the calibration's normal scores below it, 0.5 when unchanged
    alarm_rate_seen      share of abnormal frames, real defects included; alarm_interval: its exact 95 % interval
    alarm_rate_promised  of false alarms, at most
    brightness_mean      grey levels; brightness_shift: from the baseline, in the baseline's standard deviations
    brightness_baseline  "calibration", or "station" when the package has none: then its first frames are the baseline
    warning              a sentence while the line has changed
    """

    window: int
    median_score: float | None
    median_quantile: float | None
    alarm_rate_seen: float | None
    alarm_interval: tuple[float, float] | None
    alarm_rate_promised: float
    brightness_mean: float | None
    brightness_shift: float | None
    brightness_baseline: str
    warning: str | None


class DriftMonitor:
    """Watches the frames of one model and threshold. `seen` and `report` may be called from different threads.

    normal_scores      scores of the calibration's normal frames
    normal_brightness  their mean grey levels; None: the station's first `settings.window` frames are the baseline
    threshold          a frame is abnormal above it
    false_alarm_rate   that the calibration promised
    """

    def __init__(
        self,
        settings: DriftSection,
        normal_scores: Sequence[float] | npt.NDArray[np.float64],
        normal_brightness: Sequence[float] | npt.NDArray[np.float64] | None,
        threshold: float,
        false_alarm_rate: float,
    ) -> None:
        self._settings = settings
        self._block = settings.window // _BLOCKS
        # A union bound over all looks and questions: no independence is assumed.
        self._level = self._block / (settings.frames_per_false_warning * _QUESTIONS)
        self._lock = threading.Lock()
        self._normals = sorted(map(float, normal_scores))
        self._above = len(self._normals) - bisect_right(self._normals, threshold)
        self._promised = max(false_alarm_rate, (self._above + 1) / (len(self._normals) + 1))
        self._scores = _Ranks(self._normals, self._block, self._level, settings.defect_rate / 2, 0.0)
        self._baseline = None if normal_brightness is None else sorted(map(float, normal_brightness))
        self._first: list[float] = []
        self._brightness = None if self._baseline is None else self._ranks_of_brightness(self._baseline)
        self._alarms: deque[bool] = deque(maxlen=self._block * _BLOCKS)
        self._limits: dict[int, int] = {}
        self._frames = 0
        self._causes: frozenset[str] = frozenset()
        self._warning: str | None = None

    def seen(self, score: float, brightness: float, abnormal: bool) -> None:
        """Take one inspected frame into account; constant time, but for a look once a block of frames."""
        with self._lock:
            self._frames += 1
            self._scores.add(score)
            self._alarms.append(abnormal)
            if self._brightness is not None:
                self._brightness.add(brightness)
            else:
                self._learn(brightness)
            if self._frames % self._block == 0:
                self._look()

    @property
    def warning(self) -> str | None:
        """A sentence while the line has changed; its numbers are those of the moment it was first said."""
        return self._warning

    def report(self) -> DriftReport:
        """The numbers as they are now."""
        with self._lock:
            scores, alarms = self._scores.values, sum(self._alarms)
            middle = median(scores) if scores else None
            mean, shift = self._brightness_now()
            return DriftReport(
                window=len(scores),
                median_score=middle,
                median_quantile=None if middle is None else _rank(self._normals, middle),
                alarm_rate_seen=alarms / len(scores) if scores else None,
                alarm_interval=clopper_pearson(alarms, len(scores)) if scores else None,
                alarm_rate_promised=self._promised,
                brightness_mean=mean,
                brightness_shift=None if shift is None else shift / self._baseline_std(),
                brightness_baseline="station" if self._first else "calibration",
                warning=self._warning,
            )

    def _ranks_of_brightness(self, baseline: list[float]) -> _Ranks:
        allowance = self._settings.defect_rate / 2  # a defect may be bright or dark
        return _Ranks(baseline, self._block, self._level, allowance, allowance)

    def _learn(self, brightness: float) -> None:
        self._first.append(brightness)
        if len(self._first) == self._settings.window:
            self._baseline = sorted(self._first)
            self._brightness = self._ranks_of_brightness(self._baseline)

    def _brightness_now(self) -> tuple[float | None, float | None]:
        """Mean of the newest frames and its difference from the baseline's, grey levels."""
        if self._brightness is None or self._baseline is None or not self._brightness.values:
            return (fmean(self._first), None) if self._first else (None, None)
        mean = fmean(self._brightness.values)
        return mean, mean - fmean(self._baseline)

    def _baseline_std(self) -> float:
        return max(pstdev(self._baseline or [0.0]), 0.1)  # a baseline of identical frames has none

    def _look(self) -> None:
        causes = set()
        if side := self._scores.side():
            causes.add(f"scores {side}")
        if self._brightness is not None and (side := self._brightness.side()):
            _, shift = self._brightness_now()
            if abs(shift or 0.0) > self._settings.brightness_tolerance:
                causes.add(f"brightness {side}")
        if self._too_many_alarms("alarms" in self._causes):
            causes.add("alarms")
        if causes != self._causes:
            self._causes = frozenset(causes)
            self._warning = self._sentence() if causes else None

    def _too_many_alarms(self, already: bool) -> bool:
        count, alarms = len(self._alarms), sum(self._alarms)
        if count < _FIRST_LOOK * self._block:
            return False
        if count not in self._limits:
            self._limits[count] = self._alarm_limit(count)
        expected = count * min(1.0, self._promised + self._settings.defect_rate)
        blocks = np.array(self._alarms, dtype=np.float64).reshape(-1, self._block).sum(axis=1).tolist()
        limit = max(self._limits[count], expected + len(blocks) * _block_spread(blocks, self._scores.z))
        return alarms > ((limit + expected) / 2 if already else limit)

    def _alarm_limit(self, count: int) -> int:
        """Of `count` frames, the number of alarms that chance exceeds with `_level` at most."""
        normals = len(self._normals)
        false = beta_binomial(count, self._above + 1, max(normals - self._above, 1))
        total = np.convolve(false, binomial(count, self._settings.defect_rate))[: count + 1]
        return int(np.searchsorted(np.cumsum(total), 1 - self._level))

    def _sentence(self) -> str:
        parts = []
        frames = len(self._scores.values)
        for side in ("higher", "lower"):
            if f"scores {side}" in self._causes:
                quantile = _rank(self._normals, median(self._scores.values))
                parts.append(
                    f"scores are {side} than the calibration's (the median of the last {frames} frames is above "
                    f"{quantile:.0%} of its normal frames)"
                )
            if f"brightness {side}" in self._causes:
                _, shift = self._brightness_now()
                word = "brighter" if side == "higher" else "darker"
                parts.append(f"frames are {word} than its by {abs(shift or 0.0):.1f} grey levels")
        if "alarms" in self._causes:
            rate = sum(self._alarms) / len(self._alarms)
            parts.append(f"{rate:.0%} of frames are abnormal, where at most {self._promised:.1%} false alarms are due")
        reason = " and ".join(parts)
        return f"the line has changed: {reason}; check light, lens and material, or calibrate again"


class _Ranks:
    """Ranks of the newest values among `baseline` (sorted), in blocks, and whether their mean is beyond chance.

    level       probability of a false answer at one look, each side
    up, down    shift of the mean rank that real defects may make
    """

    def __init__(self, baseline: list[float], block: int, level: float, up: float, down: float) -> None:
        self._baseline, self._block, self._up, self._down = baseline, block, up, down
        self.z = -NormalDist().inv_cdf(level)
        self._ranks: list[float] = []  # of the block that fills
        self._means: deque[float] = deque(maxlen=_BLOCKS)
        self._side = ""
        self.values: deque[float] = deque(maxlen=block * _BLOCKS)

    def add(self, value: float) -> None:
        """Take in a value."""
        self.values.append(value)
        self._ranks.append(_rank(self._baseline, value))
        if len(self._ranks) == self._block:
            self._means.append(fmean(self._ranks))
            self._ranks.clear()

    def side(self) -> str:
        """`higher`, `lower`, or "" within chance. Once said, it holds until the mean has come half the way back."""
        if len(self._means) < _FIRST_LOOK:
            return ""
        shift, chance = fmean(self._means) - 0.5, self._chance()
        above, below = (self._up + chance), (self._down + chance)
        if shift > above * (0.5 if self._side == "higher" else 1.0):
            self._side = "higher"
        elif -shift > below * (0.5 if self._side == "lower" else 1.0):
            self._side = "lower"
        else:
            self._side = ""
        return self._side

    def _chance(self) -> float:
        """How far the mean rank of unchanged values strays from 1/2, each side."""
        n, m = len(self._baseline), len(self._means) * self._block
        exchangeable = self.z * math.sqrt((m + n + 1) / (12 * m * n))  # of the rank-sum test
        return max(exchangeable, math.hypot(_block_spread(self._means, self.z), self.z / math.sqrt(12 * n)))


def _block_spread(means: Sequence[float], z: float) -> float:
    """How far the mean of the blocks strays by their own differences, where a known spread would let it stray z of it.

    Neighbouring frames often resemble each other (one part, one roll); then blocks differ more than their frames do.
    """
    free = len(means) - 1
    # Student's t by Cornish and Fisher: that the spread is only estimated, from a few blocks, costs something.
    t = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    return t * float(np.std(means, ddof=1)) / math.sqrt(len(means))


def _rank(baseline: list[float], value: float) -> float:
    """Share of `baseline` (sorted) below `value`, a half of what equals it included."""
    return (bisect_left(baseline, value) + bisect_right(baseline, value)) / (2 * len(baseline))

"""Drift: whether the line still looks as it did at calibration.

Each time a block of frames is complete, three tests compare the newest frames with the calibration: do their scores
rank among its normal scores as new normal scores would; does their brightness; and are there more alarms than promised.
Every limit accounts for the finite size of the calibration.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, median

import numpy as np
import numpy.typing as npt

from edge_runtime.frames.rank_shift import BLOCKS, MIN_BLOCKS, RankShift, block_spread, rank
from edge_runtime.frames.settings import DriftSection
from latentline.base.counted import counted
from latentline.scoring.binomial import beta_binomial, binomial, clopper_pearson

_FRAMES_PER_FALSE_WARNING = 100_000  # on an unchanged line: at 10 frames/s, three hours between two warnings
_BRIGHTNESS_TOLERANCE = 2.0  # grey levels of 255: a smaller change moves no score, however certain it is
_TESTS = 5  # scores higher, lower; brighter, darker; alarms


@dataclass(frozen=True)
class DriftReport:
    """The newest frames compared with the calibration. A number is None as long as it is unknown.

    window               number of frames compared
    median_score         of these frames
    median_quantile      share of the calibration's normal scores below `median_score`; 0.5 on an unchanged line
    alarm_rate_seen      share of abnormal frames, real defects included
    alarm_interval       exact 95 % interval of `alarm_rate_seen`
    alarm_rate_promised  upper limit of the false-alarm rate
    brightness_mean      grey levels
    brightness_shift     from the baseline, in standard deviations of the baseline
    brightness_baseline  "calibration"; "station" if the package has none and the station's first frames replace it
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
    """Watches the frames of one model and threshold. Different threads may call `add` and `report`.

    normal_scores      scores of the calibration's normal frames
    normal_brightness  their mean grey levels; None: the station's first `settings.window` frames are the baseline
    threshold          of the anomaly score
    false_alarm_rate   promised by the calibration
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
        self._block = settings.window // BLOCKS
        # A union bound over all tests: it needs no independence.
        self._level = self._block / (_FRAMES_PER_FALSE_WARNING * _TESTS)
        self._lock = threading.Lock()
        self._normals = sorted(map(float, normal_scores))
        self._above = len(self._normals) - bisect_right(self._normals, threshold)
        self._promised = max(false_alarm_rate, (self._above + 1) / (len(self._normals) + 1))
        self._scores = RankShift(self._normals, self._block, self._level, settings.defect_rate / 2, 0.0)
        self._baseline = None if normal_brightness is None else sorted(map(float, normal_brightness))
        self._first_brightness: list[float] = []
        self._brightness = None if self._baseline is None else self._brightness_shift(self._baseline)
        self._alarms: deque[bool] = deque(maxlen=self._block * BLOCKS)
        self._alarm_limits: dict[int, int] = {}  # by number of frames
        self._frames = 0
        self._causes: frozenset[str] = frozenset()
        self._warning: str | None = None

    def add(self, score: float, brightness: float, abnormal: bool) -> None:
        """Add an inspected frame. Takes constant time, except for the tests once a block."""
        with self._lock:
            self._frames += 1
            self._scores.add(score)
            self._alarms.append(abnormal)
            if self._brightness is not None:
                self._brightness.add(brightness)
            else:
                self._learn_brightness(brightness)
            if self._frames % self._block == 0:
                self._test()

    @property
    def warning(self) -> str | None:
        """A sentence while the line has changed. Its numbers are from the last change of its causes."""
        return self._warning

    def report(self) -> DriftReport:
        """The present numbers."""
        with self._lock:  # only to copy: whoever scrapes must not hold up the inspection
            scores, alarms, warning = list(self._scores.values), sum(self._alarms), self._warning
            brightness, baseline = self._brightness_values(), self._baseline
            own_baseline = bool(self._first_brightness)
        middle = median(scores) if scores else None
        mean, shift = _brightness_now(*brightness, baseline)
        return DriftReport(
            window=len(scores),
            median_score=middle,
            median_quantile=None if middle is None else rank(self._normals, middle),
            alarm_rate_seen=alarms / len(scores) if scores else None,
            alarm_interval=clopper_pearson(alarms, len(scores)) if scores else None,
            alarm_rate_promised=self._promised,
            brightness_mean=mean,
            brightness_shift=None if shift is None else shift / _baseline_std(baseline),
            brightness_baseline="station" if own_baseline else "calibration",
            warning=warning,
        )

    def _brightness_shift(self, baseline: list[float]) -> RankShift:
        tolerance = self._settings.defect_rate / 2  # a defect may be bright or dark
        return RankShift(baseline, self._block, self._level, tolerance, tolerance)

    def _learn_brightness(self, brightness: float) -> None:
        self._first_brightness.append(brightness)
        if len(self._first_brightness) == self._settings.window:
            self._baseline = sorted(self._first_brightness)
            self._brightness = self._brightness_shift(self._baseline)

    def _brightness_values(self) -> tuple[list[float], list[float]]:
        """Copies of the newest grey levels, and of the first ones from which the station learns a baseline."""
        return [] if self._brightness is None else list(self._brightness.values), list(self._first_brightness)

    def _test(self) -> None:
        causes = set()
        if side := self._scores.side():
            causes.add(f"scores {side}")
        if self._brightness is not None and (side := self._brightness.side()):
            _, shift = _brightness_now(*self._brightness_values(), self._baseline)
            if abs(shift or 0.0) > _BRIGHTNESS_TOLERANCE:
                causes.add(f"brightness {side}")
        if self._too_many_alarms("alarms" in self._causes):
            causes.add("alarms")
        if causes != self._causes:
            self._causes = frozenset(causes)
            self._warning = self._sentence() if causes else None

    def _too_many_alarms(self, before: bool) -> bool:
        count, alarms = len(self._alarms), sum(self._alarms)
        if count < MIN_BLOCKS * self._block:
            return False
        if count not in self._alarm_limits:
            self._alarm_limits[count] = self._alarm_limit(count)
        expected = count * min(1.0, self._promised + self._settings.defect_rate)
        blocks = np.array(self._alarms, dtype=np.float64).reshape(-1, self._block).sum(axis=1).tolist()
        limit = max(self._alarm_limits[count], expected + len(blocks) * block_spread(blocks, self._scores.z))
        return alarms > ((limit + expected) / 2 if before else limit)

    def _alarm_limit(self, count: int) -> int:
        """The number of alarms in `count` frames that chance exceeds with a probability of `_level` at most."""
        normals = len(self._normals)
        false = beta_binomial(count, self._above + 1, max(normals - self._above, 1))
        total = np.convolve(false, binomial(count, self._settings.defect_rate))[: count + 1]
        return int(np.searchsorted(np.cumsum(total), 1 - self._level))

    def _sentence(self) -> str:
        reasons = []
        frames = len(self._scores.values)
        for side in ("higher", "lower"):
            if f"scores {side}" in self._causes:
                quantile = rank(self._normals, median(self._scores.values))
                reasons.append(
                    f"scores are {side} than at calibration (the median of the last {counted(frames, 'frame')} is "
                    f"above {quantile:.0%} of its normal scores)"
                )
            if f"brightness {side}" in self._causes:
                _, shift = _brightness_now(*self._brightness_values(), self._baseline)
                word = "brighter" if side == "higher" else "darker"
                reasons.append(f"frames are {word} by {abs(shift or 0.0):.1f} grey levels")
        if "alarms" in self._causes:
            rate = sum(self._alarms) / len(self._alarms)
            reasons.append(
                f"{rate:.0%} of the frames are abnormal, but the calibration promised at most {self._promised:.1%} "
                "false alarms"
            )
        reason = " and ".join(reasons)
        return f"the line has changed: {reason}; check light, lens and material, or calibrate again"


def _brightness_now(
    newest: Sequence[float], first: Sequence[float], baseline: Sequence[float] | None
) -> tuple[float | None, float | None]:
    """Mean brightness of the newest frames, and its difference from the baseline's mean; grey levels."""
    if baseline is None or not newest:
        return (fmean(first), None) if first else (None, None)
    mean = fmean(newest)
    return mean, mean - fmean(baseline)


def _baseline_std(baseline: Sequence[float] | None) -> float:
    return max(float(np.std(baseline or [0.0])), 0.1)  # the baseline may be of identical frames

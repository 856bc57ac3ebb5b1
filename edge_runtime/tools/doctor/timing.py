"""Repeated timing of one frame."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np


@dataclass(frozen=True)
class Timing:
    """Median, 10th and 90th percentile of `repeats` measurements, in ms."""

    median: float
    p10: float
    p90: float
    repeats: int

    @classmethod
    def of(cls, milliseconds: list[float]) -> Timing:
        """Summarise a list of measurements."""
        p10, median, p90 = (float(v) for v in np.percentile(milliseconds, [10, 50, 90]))
        return cls(median, p10, p90, len(milliseconds))


def timed(work: Callable[[], object], seconds: float, least: int = 5) -> Timing:
    """Run `work` once as a warm-up, then for about `seconds` and at least `least` times; returns the times."""
    work()
    milliseconds: list[float] = []
    start = perf_counter()
    while len(milliseconds) < least or perf_counter() - start < seconds:
        run_start = perf_counter()
        work()
        milliseconds.append(1e3 * (perf_counter() - run_start))
    return Timing.of(milliseconds)

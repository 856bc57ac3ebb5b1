"""How long one frame takes: the whole inspection on the host's clock, the graph on the GPU's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import numpy.typing as npt

UInt8 = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Spread:
    """Median, 10th and 90th percentile of `repeats` measurements, in ms."""

    median: float
    p10: float
    p90: float
    repeats: int

    @classmethod
    def of(cls, milliseconds: list[float]) -> Spread:
        """Of a list of measurements."""
        p10, median, p90 = (float(v) for v in np.percentile(milliseconds, [10, 50, 90]))
        return cls(median, p10, p90, len(milliseconds))


def timed(work: Callable[[], object], seconds: float, least: int = 5) -> Spread:
    """Repeat `work` for about `seconds`, at least `least` times, after one run that is not counted."""
    work()
    taken: list[float] = []
    begun = perf_counter()
    while len(taken) < least or perf_counter() - begun < seconds:
        start = perf_counter()
        work()
        taken.append(1e3 * (perf_counter() - start))
    return Spread.of(taken)

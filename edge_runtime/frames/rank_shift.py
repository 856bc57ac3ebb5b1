"""Whether the newest values of a quantity rank among its normal values as new normal values would."""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Sequence
from statistics import NormalDist, fmean
from typing import Literal

import numpy as np

BLOCKS = 20  # in a window
MIN_BLOCKS = 6  # before the first test

Side = Literal["higher", "lower"]


class RankShift:
    """Tests whether the mean rank of the newest values is further from 1/2 than chance allows.

    Ranks, because scores are heavy-tailed. Ranks are averaged in blocks, because neighbouring frames often resemble
    each other (one part, one roll): then blocks differ more than their frames do.

    baseline  the normal values, sorted
    block     values in a block
    level     probability of a false answer in one test, on each side
    up, down  shift of the mean rank that is tolerated on each side, because of real defects
    """

    def __init__(self, baseline: list[float], block: int, level: float, up: float, down: float) -> None:
        self._baseline, self._block, self._up, self._down = baseline, block, up, down
        self.z = -NormalDist().inv_cdf(level)
        self._ranks: list[float] = []  # in the block that is being filled
        self._means: deque[float] = deque(maxlen=BLOCKS)
        self._side: Side | None = None
        self.values: deque[float] = deque(maxlen=block * BLOCKS)

    def add(self, value: float) -> None:
        """Add a new value."""
        self.values.append(value)
        self._ranks.append(rank(self._baseline, value))
        if len(self._ranks) == self._block:
            self._means.append(fmean(self._ranks))
            self._ranks.clear()

    def side(self) -> Side | None:
        """On which side the values are; None: within chance. A side holds until half of the excess is gone."""
        if len(self._means) < MIN_BLOCKS:
            return None
        shift, chance = fmean(self._means) - 0.5, self._chance()
        above, below = (self._up + chance), (self._down + chance)
        if shift > above * (0.5 if self._side == "higher" else 1.0):
            self._side = "higher"
        elif -shift > below * (0.5 if self._side == "lower" else 1.0):
            self._side = "lower"
        else:
            self._side = None
        return self._side

    def _chance(self) -> float:
        """How far the mean rank of unchanged values may be from 1/2 by chance, on each side."""
        n, m = len(self._baseline), len(self._means) * self._block
        exchangeable = self.z * math.sqrt((m + n + 1) / (12 * m * n))  # the rank-sum test
        return max(exchangeable, math.hypot(block_spread(self._means, self.z), self.z / math.sqrt(12 * n)))


def block_spread(means: Sequence[float], z: float) -> float:
    """How far the mean of `means` may be from its expectation by chance, judged by how much the blocks differ.

    z: the same limit in standard errors, if the standard deviation of the blocks were known.
    """
    free = len(means) - 1
    # Student's t by the expansion of Cornish and Fisher: the standard deviation is only estimated, from a few blocks.
    t = z + (z**3 + z) / (4 * free) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * free**2)
    return t * float(np.std(means, ddof=1)) / math.sqrt(len(means))


def rank(baseline: list[float], value: float) -> float:
    """Share of `baseline` (sorted) below `value`, plus half of the share that equals it."""
    return (bisect_left(baseline, value) + bisect_right(baseline, value)) / (2 * len(baseline))

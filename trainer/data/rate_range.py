"""How far the false-alarm rate of a single calibration may be from the promised one."""

from __future__ import annotations

import math

from scipy.stats import beta


def rate_range(scored: int, false_alarm_rate: float) -> tuple[float, float]:
    """Between which rates the true one of a threshold lies, in 95 of 100 calibrations with `scored` normal images.

    The threshold is the k-th smallest of n scores; the share of new ones above it has the distribution
    Beta(n + 1 − k, k) (Vovk 2012), whose mean is at most the promised rate.
    """
    k = max(1, math.ceil((scored + 1) * (1 - false_alarm_rate) - 1e-9))
    low, high = beta.ppf((0.025, 0.975), scored + 1 - k, k)
    return float(low), float(high)

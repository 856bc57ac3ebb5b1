"""95 % intervals of figures by the bootstrap over test images (Efron & Tibshirani 1993, §13.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt

from latentline.base.strict_yaml import StrictModel
from latentline.scoring.binomial import clopper_pearson

Weights = npt.NDArray[np.float64]
RESAMPLES = 1000
AT_ONCE = 100  # resamples in memory at the same time


class Estimate(StrictModel):
    """A figure and the 2.5 % and 97.5 % quantiles of its resamples; None where a class has a single part.

    When images are perfectly separated, so is every resample: the interval is then too narrow.
    """

    value: float
    low: float | None = None
    high: float | None = None

    def __str__(self) -> str:
        return f"{self.value:.3f}" + ("" if self.low is None else f" [{self.low:.3f}, {self.high:.3f}]")

    @property
    def signed(self) -> str:
        """As text with signs, for a difference."""
        return f"{self.value:+.3f}" + ("" if self.low is None else f" [{self.low:+.3f}, {self.high:+.3f}]")


def resample(kinds: Sequence[str], groups: Sequence[str], seed: int = 0) -> npt.NDArray[np.uint16]:
    """How often each image is drawn, [RESAMPLES, images]; each kind draws as many parts as it has, with replacement.

    groups  the part that each image shows: images of one part are not independent and are drawn together
    """
    rng = np.random.default_rng(seed)
    weights = np.zeros((RESAMPLES, len(kinds)), np.uint16)
    for kind in sorted(set(kinds)):
        members = np.array([index for index, other in enumerate(kinds) if other == kind])
        parts, part_of = np.unique([groups[index] for index in members], return_inverse=True)
        drawn = rng.multinomial(len(parts), np.full(len(parts), 1 / len(parts)), size=RESAMPLES)
        weights[:, members] = drawn[:, part_of]
    return weights


def estimate(value: float, statistic: Callable[[Weights], Weights], weights: npt.NDArray[np.uint16]) -> Estimate:
    """`value` with the interval of `statistic`, a function from weights [n, images] to n values."""
    chunks = [weights[i : i + AT_ONCE].astype(np.float64) for i in range(0, len(weights), AT_ONCE)]
    low, high = np.quantile(np.concatenate([statistic(chunk) for chunk in chunks]), (0.025, 0.975))
    return Estimate(value=value, low=float(low), high=float(high))


def rate(successes: int, count: int) -> Estimate:
    """A rate with its exact interval (Clopper & Pearson 1934); count > 0."""
    low, high = clopper_pearson(successes, count)
    return Estimate(value=successes / count, low=low, high=high)

"""Thresholds of a score, and what they promise: over images, or over the parts that the images show.

Images of one part are alike, so they are not exchangeable with those of another part. A promise about new parts counts
parts: each one weighs as much as any other, however many images show it (hierarchical conformal prediction: Dunn,
Wasserman & Ramdas 2018, arXiv 1809.07441; Lee, Barber & Willett 2023, arXiv 2306.06342). Where every image shows a part
of its own, this is split conformal prediction (Vovk et al. 2005).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from latentline.base.counted import counted
from latentline.base.strict_yaml import StrictModel
from latentline.errors import DatasetError
from latentline.scoring.binomial import beta_interval, binomial

Tail = Literal["exact", "smooth"]
Float = npt.NDArray[np.float64]
FEWEST_SMOOTH = 8  # parts, or images: the upper quarter of fewer is a single one
UPPER_SHARE = 1 / 4  # of the scores, taken for exponential
ROUNDING = 1e-9


class Promise(StrictModel):
    """What a threshold promises: P(score of a new normal image > threshold) <= rate.

    rate       the promised false-alarm rate
    images     normal images behind the threshold
    parts      that these images show
    new_parts  True: the image may show a part that nobody has seen yet; False: only one of these same parts, because
               they are too few to promise more
    tail       exact: from ranks alone, whatever the distribution; smooth: true if the upper quarter of the scores is
               exponentially distributed
    """

    rate: float = Field(gt=0, lt=1)
    images: int = Field(gt=0)
    parts: int = Field(gt=0)
    new_parts: bool
    tail: Tail = "exact"

    @property
    def counted(self) -> int:
        """How many things the promise counts: parts or, where these are too few, images."""
        return self.parts if self.new_parts else self.images

    @property
    def missing_parts(self) -> int:
        """How many more parts a promise about new parts needs behind the threshold."""
        return 0 if self.new_parts else fewest(self.rate, self.tail) - self.parts

    @property
    def helpful(self) -> int:
        """With so many parts, bad luck with them leads to at most twice the promised rate, in 39 of 40 cases."""
        above = 1
        while True:
            count = math.ceil(above / self.rate - ROUNDING) - 1
            if 2 * self.rate >= 1 or binomial(count, 2 * self.rate)[above:].sum() >= 0.975:
                return count
            above += 1

    @property
    def luck(self) -> tuple[float, float] | None:
        """Between which rates the false alarms to come lie, in 95 % of calibrations; None: `smooth` has no such law."""
        if self.tail == "smooth":
            return None
        above = self.counted - _rank(self.counted, self.rate) + 1
        return beta_interval(above, self.counted + 1 - above)

    @property
    def sentence(self) -> str:
        """The promise in words, with what it rests on."""
        of_parts = counted(self.images, "held-out normal image")
        if self.parts < self.images:
            of_parts += f" of {counted(self.parts, 'part')}"
        if self.new_parts:
            new = "a new normal image" if self.parts == self.images else "a normal image of a new part"
        else:
            new = "a new normal image of these same parts"
        text = f"{new} is above the threshold with a probability of at most {self.rate:g}; it rests on {of_parts}"
        if self.tail == "smooth":
            text += ", the upper quarter of whose scores is taken for exponential"
        if not self.new_parts:
            text += f"; for new parts it promises nothing: that needs {counted(self.missing_parts, 'more part')}"
        return text

    @property
    def cost(self) -> str | None:
        """What so few images cost, in words; None: they are enough."""
        if self.counted >= self.helpful:
            return None
        what = "parts" if self.new_parts and self.parts < self.images else "images"
        if self.luck is None:
            return f"{self.counted} {what} make an uncertain threshold; {self.helpful} would help"
        low, high = self.luck
        above = self.counted - _rank(self.counted, self.rate)
        place = "the largest of their scores" if not above else f"near the largest of their scores ({above} above)"
        return (
            f"{self.counted} {what} put the threshold at {place}: by luck, {low:.1%} to {high:.1%} of normal images "
            f"will be false alarms, and one odd image among them hides defects; {self.helpful} {what} would help"
        )


def promise(count: int, parts: int, rate: float, tail: Tail = "exact") -> Promise:
    """What `count` normal images of so many parts can promise at this rate. Raises DatasetError: nothing."""
    needed = fewest(rate, tail)
    if parts >= needed:
        return Promise(rate=rate, images=count, parts=parts, new_parts=True, tail=tail)
    if reason := too_few(count, rate, tail):
        raise DatasetError(reason)
    return Promise(rate=rate, images=count, parts=parts, new_parts=False, tail=tail)


def threshold(scores: Float, parts: Sequence[str], given: Promise) -> float:
    """The lowest threshold that keeps the promise, from the scores [n] of normal images and the part of each."""
    weights = part_weights(parts) if given.new_parts else np.ones(len(scores))
    order = np.argsort(scores, kind="stable")
    if given.tail == "smooth" and (smooth := _smooth(scores[order], weights[order], given.rate)) is not None:
        return smooth
    return _exact(scores[order], weights[order], given.rate)


def conformal_threshold(scores: Float, rate: float) -> float:
    """The exact threshold where each of the images [n] shows a part of its own. Raises DatasetError: too few images."""
    count = len(scores)
    return threshold(scores, [str(i) for i in range(count)], promise(count, count, rate))


def part_weights(parts: Sequence[str]) -> Float:
    """The weight of each image [n]: one by the number of images of its part. They sum to the number of parts."""
    _, numbers, counts = np.unique(np.array(parts, dtype=str), return_inverse=True, return_counts=True)
    return np.asarray(1 / counts[numbers], np.float64)


def fewest(rate: float, tail: Tail = "exact") -> int:
    """The fewest parts, or images, that can promise this rate."""
    ranks = math.ceil(1 / rate - ROUNDING) - 1
    return max(1, ranks if tail == "exact" else min(ranks, FEWEST_SMOOTH))


def too_few(scored: int, rate: float, tail: Tail = "exact") -> str | None:
    """Why this number of normal frames cannot promise the rate, and what to do. None: it can."""
    needed = fewest(rate, tail)
    if scored >= needed:
        return None
    advice = "" if tail == "smooth" or scored < FEWEST_SMOOTH else ", or take the option --threshold smooth"
    return (
        f"a false-alarm rate of {rate:g} needs at least {needed} held-out normal images to set the threshold, and "
        f"{scored} are left for that beside those that standardise the score; hold out more images or allow a rate of "
        f"{1 / (scored + 1):.3g}{advice}"
    )


def _exact(scores: Float, weights: Float, rate: float) -> float:
    """The lowest of the sorted scores below which lies 1 − rate of all weight, +∞ having the weight of one part."""
    below = np.cumsum(weights)
    needed = (weights.sum() + 1) * (1 - rate) - ROUNDING * (weights.sum() + 1)
    return float(scores[min(int(np.searchsorted(below, needed)), len(scores) - 1)])


def _smooth(scores: Float, weights: Float, rate: float) -> float | None:
    """The threshold where the upper m of n parts are exponential above u; None: the rate does not reach up there.

    P(a new score > u) is (m + 1) / (n + 1), and the m excesses, with the sum S, leave P(it is > u + t, if > u) =
    (1 + t / S) ** −m: this is exact for an exponential tail, however few the excesses are.
    """
    count = weights.sum()
    upper = max(2, round(UPPER_SHARE * count))
    reached = (upper + 1) / (count + 1)
    if rate >= reached:
        return None
    start = scores[int(np.searchsorted(np.cumsum(weights), count - upper - ROUNDING))]
    excess = float(weights @ np.maximum(scores - start, 0))
    return float(start + excess * ((reached / rate) ** (1 / upper) - 1))


def _rank(count: int, rate: float) -> int:
    return max(1, math.ceil((count + 1) * (1 - rate) - ROUNDING))

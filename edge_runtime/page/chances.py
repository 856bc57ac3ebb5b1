"""What a threshold would do: the false alarms that it leads to, and the defects that it catches."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from latentline.scoring.binomial import beta_interval, clopper_pearson

_POINTS = 160  # of a curve
_BINS = 60  # of a histogram


@dataclass(frozen=True)
class Chances:
    """At one threshold; rates are in [0, 1], the first two with a 95 % interval.

    false_alarms  a new normal image is above the threshold with at most this probability: (k + 1) / (n + 1), where k of
                  n held-out normal images are above it. None without such images
    catches       share of the labelled defects above it. None without any
    seen          share of the newest frames above it, defects included. None without any
    """

    threshold: float
    false_alarms: tuple[float, float, float] | None
    catches: tuple[float, float, float] | None
    seen: float | None


class ScoreEvidence:
    """Scores by what is known of their images. All arguments may be empty.

    held_out  normal images of the running model's calibration
    newest    the newest frames of this station, whatever they are
    good, defects  frames that somebody labelled
    """

    def __init__(
        self, held_out: Sequence[float], newest: Sequence[float], good: Sequence[float], defects: Sequence[float]
    ) -> None:
        self.held_out, self.newest = sorted(held_out), sorted(newest)
        self.good, self.defects = sorted(good), sorted(defects)

    def at(self, threshold: float) -> Chances:
        """What this threshold would do."""
        return Chances(
            threshold,
            self._false_alarms(threshold),
            _share(self.defects, threshold),
            None if not self.newest else _above(self.newest, threshold) / len(self.newest),
        )

    def curve(self, low: float, high: float) -> list[Chances]:
        """From `low` to `high`."""
        return [self.at(float(value)) for value in np.linspace(low, high, _POINTS)]

    def limits(self, *more: float) -> tuple[float, float]:
        """The range of a diagram around normal scores and `more`; defects may lie far beyond it."""
        normal = [*self.held_out, *self.good] or self.newest
        known = [*normal, *more]
        spread = max(normal) - min(normal) if normal else 0.0
        margin = max(spread, max(known) - min(known)) or 1.0
        return min(known) - margin / 4, max(known) + margin

    def histogram(self, low: float, high: float) -> dict[str, list[float]]:
        """The share of each kind of scores in each bin; `edges` are the lower edges. What lies outside is in none."""
        edges = np.linspace(low, high, _BINS + 1)
        kinds = {"held_out": self.held_out, "newest": self.newest, "good": self.good, "defects": self.defects}
        shares = {
            name: (np.histogram(scores, edges)[0] / max(1, len(scores))).tolist() for name, scores in kinds.items()
        }
        return {"edges": edges[:-1].tolist(), **shares}

    def _false_alarms(self, threshold: float) -> tuple[float, float, float] | None:
        count = len(self.held_out)
        if not count:
            return None
        above = _above(self.held_out, threshold)
        # The law of the rate given so many normal scores above: exact when the threshold is one of them.
        none_below = (clopper_pearson(count, count)[0], 1.0)
        low, high = beta_interval(above + 1, count - above) if above < count else none_below
        return (above + 1) / (count + 1), low, high


def _above(scores: Sequence[float], threshold: float) -> int:
    return len(scores) - bisect_right(scores, threshold)


def _share(scores: Sequence[float], threshold: float) -> tuple[float, float, float] | None:
    if not scores:
        return None
    above = _above(scores, threshold)
    return above / len(scores), *clopper_pearson(above, len(scores))

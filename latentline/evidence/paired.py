"""Two models on the same pictures: counts, rates with intervals, and whether their difference is more than chance."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from latentline.scoring.binomial import binomial

Z = 1.959964  # 97.5 % quantile of the standard normal: intervals are 95 %


@dataclass(frozen=True)
class RateInterval:
    """A rate, or a difference of rates, with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PairedCounts:
    """How many pictures each of two models calls abnormal.

    both, neither       pictures on which they agree
    only_old, only_new  pictures that one of them alone calls abnormal
    """

    both: int = 0
    only_old: int = 0
    only_new: int = 0
    neither: int = 0

    @property
    def count(self) -> int:
        """All pictures."""
        return self.both + self.only_old + self.only_new + self.neither

    @property
    def old(self) -> int:
        """Pictures that the old model calls abnormal."""
        return self.both + self.only_old

    @property
    def new(self) -> int:
        """Pictures that the new model calls abnormal."""
        return self.both + self.only_new

    @property
    def difference(self) -> RateInterval:
        """Rate of the new minus that of the old model, on the same pictures (Bonett & Price 2012). count > 0."""
        size = self.count + 2
        gained, lost = (self.only_new + 1) / size, (self.only_old + 1) / size
        middle, reach = gained - lost, Z * sqrt((gained + lost - (gained - lost) ** 2) / size)
        value = (self.only_new - self.only_old) / self.count
        return RateInterval(value, max(-1.0, min(value, middle - reach)), min(1.0, max(value, middle + reach)))

    @property
    def p_value(self) -> float:
        """Probability of a difference at least as large, were the models equally good (McNemar, exact, two-sided)."""
        changed = self.only_old + self.only_new
        smaller = min(self.only_old, self.only_new)
        return min(1.0, 2 * float(binomial(changed, 0.5)[: smaller + 1].sum()))

    def __add__(self, other: PairedCounts) -> PairedCounts:
        return PairedCounts(
            self.both + other.both,
            self.only_old + other.only_old,
            self.only_new + other.only_new,
            self.neither + other.neither,
        )

    def to_dict(self) -> dict[str, object]:
        """Everything, for JSON; rates only where there are pictures."""
        counts: dict[str, object] = {"pictures": self.count, "old": self.old, "new": self.new}
        counts |= {"only_old": self.only_old, "only_new": self.only_new}
        if not self.count:
            return counts
        rates = {"old_rate": wilson(self.old, self.count), "new_rate": wilson(self.new, self.count)}
        rates["difference"] = self.difference
        return counts | {name: vars(rate) for name, rate in rates.items()} | {"p_value": self.p_value}


def wilson(successes: int, count: int) -> RateInterval:
    """The rate of `successes` in `count` > 0, with its interval (Wilson 1927)."""
    rate, square = successes / count, Z**2
    middle = (rate + square / (2 * count)) / (1 + square / count)
    reach = Z / (1 + square / count) * sqrt(rate * (1 - rate) / count + square / (4 * count**2))
    return RateInterval(rate, max(0.0, min(rate, middle - reach)), min(1.0, max(rate, middle + reach)))

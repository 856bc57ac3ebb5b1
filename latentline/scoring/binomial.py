"""Exact probabilities of counts."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import lgamma

import numpy as np
import numpy.typing as npt

Float64 = npt.NDArray[np.float64]


def binomial(count: int, p: float) -> Float64:
    """P(K = 0 … count) of K ~ Binomial(count, p), 0 <= p <= 1."""
    if p in (0.0, 1.0):
        return np.asarray(np.eye(count + 1)[count if p else 0])
    k = np.arange(count + 1)
    return np.asarray(np.exp(_log_choose(count) + k * np.log(p) + (count - k) * np.log1p(-p)))


def beta_binomial(count: int, a: float, b: float) -> Float64:
    """P(K = 0 … count) of K ~ Binomial(count, p) with p ~ Beta(a, b), both > 0.

    Of n exchangeable values, a − 1 lie above a fixed one among them and b = n + 1 − a others do not: then this is the
    exact law of how many of `count` new values lie above it.
    """
    logs = _log_choose(count) + _log_gamma(count + 1, a) + _log_gamma(count + 1, b)[::-1]
    return np.asarray(np.exp(logs - lgamma(count + a + b) + lgamma(a + b) - lgamma(a) - lgamma(b)))


def clopper_pearson(successes: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Exact confidence interval (low, high) of a probability from `successes` of `count` > 0 trials."""
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else _root(lambda p: float(binomial(count, p)[successes:].sum()) - tail)
    high = 1.0 if successes == count else _root(lambda p: tail - float(binomial(count, p)[: successes + 1].sum()))
    return low, high


def beta_interval(a: int, b: int, confidence: float = 0.95) -> tuple[float, float]:
    """The interval (low, high) that holds a value of Beta(a, b), a and b >= 1, with this probability."""
    tail = (1 - confidence) / 2

    def quantile(q: float) -> float:
        return _root(lambda p: float(binomial(a + b - 1, p)[a:].sum()) - q)

    return quantile(tail), quantile(1 - tail)


def _root(rising: Callable[[float], float]) -> float:
    low, high = 0.0, 1.0
    for _ in range(40):  # halves: 1e-12 is enough for a rate
        middle = (low + high) / 2
        low, high = (low, middle) if rising(middle) > 0 else (middle, high)
    return (low + high) / 2


@lru_cache(maxsize=32)
def _log_choose(count: int) -> Float64:
    """Nobody may write to it: an interval takes it some eighty times."""
    factorials = _log_gamma(count + 1, 1)
    return np.asarray(factorials[-1] - factorials - factorials[::-1])


def _log_gamma(size: int, start: float) -> Float64:
    """log Γ(start), log Γ(start + 1), …"""
    return np.array([lgamma(start + i) for i in range(size)])

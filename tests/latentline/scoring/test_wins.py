"""Wins are counts of pairs: of abnormal and normal images, and of normal images one of which has the made defect."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score

from latentline.scoring.wins import made_wins, wins

LEVELS = st.lists(st.integers(-3, 3), min_size=1, max_size=8)


def column(values: list[int]) -> np.ndarray:
    """Values of one component."""
    return np.array(values, float)[:, None]


@given(LEVELS, LEVELS)
@settings(max_examples=40)
def test_the_mean_of_the_wins_is_the_auroc(normal: list[int], abnormal: list[int]) -> None:
    """With ties, as scikit-learn counts it."""
    found = wins(column(normal), column(abnormal), np.ones(len(normal)))
    truth = [0] * len(normal) + [1] * len(abnormal)
    assert np.isclose(found.mean(), roc_auc_score(truth, normal + abnormal))


@given(LEVELS, LEVELS, st.integers(0, 100))
@settings(max_examples=40)
def test_a_made_defect_wins_on_every_normal_image(normal: list[int], changes: list[int], seed: int) -> None:
    """Each normal image gets the change and is compared with each, as often as both count."""
    shares = np.random.default_rng(seed).uniform(0.1, 1, len(normal))
    found = made_wins(column(normal), column(changes), shares)
    for change, share in zip(changes, found[:, 0], strict=True):
        pairs = [
            (first * second, (low + change > other) + 0.5 * (low + change == other))
            for low, first in zip(normal, shares, strict=True)
            for other, second in zip(normal, shares, strict=True)
        ]
        assert np.isclose(share, sum(w * won for w, won in pairs) / sum(w for w, _ in pairs))


def test_a_part_counts_once() -> None:
    """Two exposures of a part that count half each are as one."""
    once = wins(column([0, 2]), column([1]), np.ones(2))
    twice = wins(column([0, 0, 2]), column([1]), np.array([0.5, 0.5, 1.0]))
    assert np.allclose(once, 0.5) and np.allclose(twice, once)

"""The threshold keeps its promise for finite samples, and the score is a weighted sum of standardised components."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentline.errors import DatasetError
from latentline.scoring.calibrate import FEWEST_STANDARDISING, split_held_out
from latentline.scoring.calibration import Calibration, Component, conformal_threshold


@given(st.integers(1, 300), st.integers(1, 99))
def test_expected_false_alarms_never_exceed_the_promise(n: int, percent: int) -> None:
    """The lowest threshold with P(alarm) = 1 − k / (n + 1) at or below the promise is chosen, in exact fractions."""
    rate = percent / 100
    scores = np.arange(n, dtype=np.float64)
    if n + 1 < Fraction(100, percent):
        with pytest.raises(DatasetError, match=f"there are {n}"):
            conformal_threshold(scores, rate)
        return
    k = int(conformal_threshold(scores, rate)) + 1  # the k-th smallest is k - 1
    assert 1 - Fraction(k, n + 1) <= Fraction(percent, 100)
    assert k == 1 or 1 - Fraction(k - 1, n + 1) > Fraction(percent, 100)  # and it is the lowest such threshold


def test_the_promise_holds_in_simulation() -> None:
    """Over many draws of 40 calibration scores and a new one, the promised 10 % or fewer are alarms, up to chance."""
    rng = np.random.default_rng(0)
    draws = rng.gumbel(size=(20000, 41))
    alarms = np.mean([row[40] > conformal_threshold(row[:40], 0.1) for row in draws])
    assert 0.08 < alarms < 0.106


def test_the_sentence_says_how_many_images_are_needed() -> None:
    """With 98 normal images, a promise of 1 % is refused, and the sentence says that it needs 99."""
    with pytest.raises(DatasetError, match="at least 99 held-out normal images"):
        conformal_threshold(np.zeros(98), 0.01)
    conformal_threshold(np.zeros(99), 0.01)


def test_score_is_the_weighted_sum_of_standardised_components() -> None:
    """The score is Σ weight · (value − mean) / std, without unknown components."""
    calibration = Calibration(
        components=(
            Component(name="a", mean=1, std=2, weight=0.5),
            Component(name="b", mean=0, std=1, weight=2),
        ),
        threshold=1,
        map_threshold=1,
        false_alarm_rate=0.1,
        scored_normals=9,
        standardised_normals=8,
    )
    assert calibration.score({"a": 5, "b": -1, "unused": 9}) == (0.5 * 2 - 2, {"a": 2.0, "b": -1.0})


@given(st.integers(3, 60), st.integers(1, 5), st.integers(0, 9))
def test_no_part_both_standardises_and_sets_the_threshold(count: int, per_group: int, seed: int) -> None:
    """The images of a part either standardise components or set the threshold."""
    names = [str(i) for i in range(count)]
    groups = {name: f"part{int(name) // per_group}" for name in names}
    first, second = split_held_out(names, groups, seed)
    assert sorted(first + second, key=int) == names
    assert not {groups[n] for n in first} & {groups[n] for n in second}
    assert len(first) >= min(count, max(FEWEST_STANDARDISING, count / 3))

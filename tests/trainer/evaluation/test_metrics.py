"""Metrics equal independent evaluations, and their intervals cover."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score

from trainer.evaluation.intervals import RESAMPLES, estimate, rate, resample
from trainer.evaluation.metrics import f1_max, image_auroc, weighted_auroc, weighted_f1_max

scores = st.lists(st.integers(0, 20), min_size=1, max_size=30).map(lambda v: np.array(v, dtype=np.float64))


@given(scores, scores)
def test_image_auroc_is_the_mann_whitney_statistic(normal: np.ndarray, abnormal: np.ndarray) -> None:
    """U / (n · m), ties counted half."""
    expected = mannwhitneyu(abnormal, normal).statistic / (len(normal) * len(abnormal))
    assert image_auroc(normal, abnormal) == pytest.approx(expected)


@given(scores, scores)
def test_f1_max_is_the_best_over_all_thresholds(normal: np.ndarray, abnormal: np.ndarray) -> None:
    """A brute search over every score as threshold finds the same value, and the threshold reaches it."""

    def f1(threshold: float) -> float:
        hits, alarms = (abnormal >= threshold).sum(), (normal >= threshold).sum()
        return float(2 * hits / (hits + alarms + len(abnormal)))

    best, threshold = f1_max(normal, abnormal)
    assert best == pytest.approx(max(f1(t) for t in np.r_[normal, abnormal]))
    assert f1(threshold) == pytest.approx(best)


@given(scores, scores, st.integers(0, 2**32 - 1))
def test_weights_mean_images_taken_so_many_times(normal: np.ndarray, abnormal: np.ndarray, seed: int) -> None:
    """The weighted figures are the plain figures of a sample in which each image stands as often as its weight says."""
    rng = np.random.default_rng(seed)
    values = np.r_[normal, abnormal]
    flags = np.arange(len(values)) >= len(normal)
    weights = rng.integers(0, 4, (3, len(values))).astype(float)
    weights[:, [0, -1]] += 1  # no class may vanish
    for weight, auroc, f1 in zip(
        weights, weighted_auroc(values, flags, weights), weighted_f1_max(values, flags, weights), strict=True
    ):
        sample, classes = np.repeat(values, weight.astype(int)), np.repeat(flags, weight.astype(int))
        assert auroc == pytest.approx(roc_auc_score(classes, sample))
        assert f1 == pytest.approx(f1_max(sample[~classes], sample[classes])[0])


def test_a_resample_draws_as_many_parts_of_each_kind_as_there_are() -> None:
    """Images of one part are drawn together; the number of parts of a kind stays; the seed decides."""
    kinds = ["good"] * 6 + ["scratch"] * 3
    groups = ["a", "a", "b", "b", "c", "d", "x", "y", "y"]
    weights = resample(kinds, groups, seed=1)
    assert weights.shape == (RESAMPLES, 9)
    assert (weights[:, 0] == weights[:, 1]).all() and (weights[:, 7] == weights[:, 8]).all()
    assert (weights[:, [0, 2, 4, 5]].sum(axis=1) == 4).all() and (weights[:, [6, 7]].sum(axis=1) == 2).all()
    assert weights.mean(axis=0) == pytest.approx(1, abs=0.15)
    assert (weights == resample(kinds, groups, seed=1)).all() and (weights != resample(kinds, groups, seed=2)).any()


def test_intervals_cover_the_truth_as_often_as_they_say() -> None:
    """Of 200 draws from two normal distributions one apart, about 95 % of the intervals hold the true AUROC, .760."""
    rng = np.random.default_rng(0)
    flags = np.arange(120) >= 60
    held = 0
    for draw in range(200):
        values = rng.normal(size=120) + flags
        weights = resample(["abnormal" if f else "good" for f in flags], [str(i) for i in range(120)], draw)[:200]
        found = estimate(image_auroc(values[~flags], values[flags]), partial(weighted_auroc, values, flags), weights)
        assert found.low is not None and found.high is not None and found.low < found.value < found.high
        held += found.low <= 0.76025 <= found.high
    assert 180 <= held <= 199


def test_an_interval_is_wider_where_images_show_the_same_parts() -> None:
    """Sixty images of six parts say less than sixty images of sixty."""
    rng = np.random.default_rng(3)
    flags = np.arange(60) >= 30
    values = np.repeat(rng.normal(size=6), 10) + flags
    width = {}
    for name, groups in {"parts": [str(i // 10) for i in range(60)], "images": [str(i) for i in range(60)]}.items():
        weights = resample([str(f) for f in flags], groups)
        found = estimate(0.5, lambda w: weighted_auroc(values, flags, w), weights)
        assert found.low is not None and found.high is not None
        width[name] = found.high - found.low
    assert width["parts"] > 1.5 * width["images"]


def test_a_rate_has_the_exact_interval() -> None:
    """The textbook values of Clopper and Pearson for 4 of 20."""
    assert str(rate(4, 20)) == "0.200 [0.057, 0.437]"

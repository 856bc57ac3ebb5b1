"""Metrics equal independent evaluations."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import mannwhitneyu
from sklearn.metrics import roc_auc_score

from trainer.metrics import PixelAuroc, f1_max, image_auroc

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


def test_pixel_auroc_of_histograms_equals_scikit_learns() -> None:
    """Over several images of different sizes, to 1e-3; None where a class is missing."""
    rng = np.random.default_rng(0)
    counted, values, truths = PixelAuroc(), [], []
    for shape in ((40, 50), (33, 21)):
        mask = rng.random(shape) < 0.1
        plane = (rng.gamma(2, 1, shape) + 1.5 * mask).astype(np.float32)
        counted.add(plane, mask)
        values.append(plane.ravel())
        truths.append(mask.ravel())
    expected = roc_auc_score(np.concatenate(truths), np.concatenate(values))
    assert counted.value() == pytest.approx(expected, abs=1e-3)
    assert PixelAuroc().value() is None

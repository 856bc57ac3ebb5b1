"""What a threshold leads to."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge_runtime.page.chances import ScoreEvidence
from latentline.scoring.thresholds import conformal_threshold, promise

SCORES = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60)


def test_the_stated_rate_is_the_promise_of_a_calibration() -> None:
    """At the threshold that a calibration chose, the stated rate and its interval are what the calibration promises."""
    scores = np.random.default_rng(0).normal(size=99)
    chosen = conformal_threshold(scores, 0.05)
    found = ScoreEvidence(scores.tolist(), [], [], []).at(chosen)
    assert found.false_alarms is not None and found.false_alarms[0] == pytest.approx(0.05)
    assert found.false_alarms[1:] == pytest.approx(promise(99, 99, 0.05).luck)


@given(SCORES, SCORES, st.floats(-2e6, 2e6))
def test_rates_lie_in_their_intervals(normal: list[float], defects: list[float], threshold: float) -> None:
    """Each rate is between 0 and 1, within its interval or at most one image away, and falls as the threshold rises."""
    evidence = ScoreEvidence(normal, [], [], defects)
    found, above = evidence.at(threshold), evidence.at(threshold + 1)
    assert found.false_alarms is not None and found.catches is not None and found.seen is None
    assert 0 <= found.false_alarms[1] <= found.false_alarms[2] <= 1
    assert found.catches[1] - 1e-9 <= found.catches[0] <= found.catches[2] + 1e-9
    assert above.false_alarms is not None and above.false_alarms[0] <= found.false_alarms[0]
    assert above.catches is not None and above.catches[0] <= found.catches[0]


def test_what_is_not_known_is_not_stated() -> None:
    """Without normal scores there is no false-alarm rate, without labels no catches, and a diagram all the same."""
    evidence = ScoreEvidence([], [], [], [])
    low, high = evidence.limits(3.0)
    assert low < 3.0 < high
    assert evidence.at(3.0).false_alarms is None and evidence.at(3.0).catches is None
    assert not any(evidence.histogram(low, high)["held_out"])

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from latentline.evidence.paired import PairedCounts, wilson

COUNTS = st.integers(0, 60)


def test_the_exact_test_gives_the_textbook_numbers() -> None:
    """One change against nine has p = 2 · (1 + 10) / 2^10; no change at all has p = 1."""
    assert PairedCounts(5, 9, 1, 30).p_value == pytest.approx(22 / 1024)
    assert PairedCounts(5, 0, 0, 30).p_value == 1.0


def test_a_rate_has_the_interval_of_wilson() -> None:
    """8 of 40 have [0.105, 0.348], as published tables say."""
    interval = wilson(8, 40)
    assert (interval.low, interval.high) == pytest.approx((0.1050, 0.3476), abs=1e-4)


@given(st.builds(PairedCounts, COUNTS, COUNTS, COUNTS, COUNTS))
def test_exchanging_the_models_turns_the_difference_round(counts: PairedCounts) -> None:
    """Neither model has an advantage by its place, and an interval holds its own value."""
    if not counts.count:
        return
    turned = PairedCounts(counts.both, counts.only_new, counts.only_old, counts.neither)
    assert turned.p_value == pytest.approx(counts.p_value)
    assert turned.difference.low == pytest.approx(-counts.difference.high)
    for rate in (counts.difference, wilson(counts.new, counts.count)):
        assert -1 <= rate.low <= rate.value <= rate.high <= 1

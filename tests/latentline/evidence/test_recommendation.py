from __future__ import annotations

import pytest

from latentline.evidence.paired import PairedCounts
from latentline.evidence.recommendation import recommend
from latentline.evidence.tally import EvidenceTable

SAME = PairedCounts(0, 0, 0, 100)
CAUGHT = PairedCounts(20, 0, 0, 5)


def _table(good: PairedCounts = SAME, defects: PairedCounts = CAUGHT, unlabelled: PairedCounts = SAME) -> EvidenceTable:
    return EvidenceTable(good, defects, unlabelled, {})


@pytest.mark.parametrize(
    ("table", "choice", "words"),
    [
        (_table(good=PairedCounts(0, 12, 1, 87)), "promote", "11 fewer false alarms"),
        (_table(defects=PairedCounts(20, 0, 8, 2)), "promote", "8 fewer misses"),
        (_table(), "keep", "chance"),
        (_table(good=PairedCounts(0, 3, 0, 97)), "keep", "chance"),  # fewer, but by chance
        (_table(PairedCounts(0, 12, 0, 88), PairedCounts(20, 1, 0, 4)), "keep", "1 more miss."),  # at another's cost
        (_table(PairedCounts(0, 0, 1, 99), PairedCounts(20, 0, 8, 2)), "keep", "1 more false alarm."),
        (_table(PairedCounts(0, 9, 0, 0)), "keep", "too few"),
        (_table(defects=PairedCounts(0, 0, 4, 0)), "keep", "too few"),
        (
            _table(PairedCounts(0, 12, 0, 88), unlabelled=PairedCounts(0, 0, 30, 900)),
            "keep",
            "30 pictures without a label",
        ),
    ],
)
def test_a_model_is_promoted_only_when_it_is_better_and_nothing_is_worse(
    table: EvidenceTable, choice: str, words: str
) -> None:
    """Less than that keeps the old one, and the reason says what was missing."""
    recommendation = recommend(table)
    assert recommendation.choice == choice
    assert words in recommendation.reason

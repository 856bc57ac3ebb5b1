"""Whether a new model should take the place of the old one: a rule that anybody can check by hand."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from latentline.base.counted import counted
from latentline.evidence.paired import PairedCounts
from latentline.evidence.tally import EvidenceTable

SIGNIFICANCE = 0.05
FEWEST_GOOD, FEWEST_DEFECTS = 10, 5
RULE = (
    "Only pictures that neither model was trained on count. The new model is recommended when all of this holds: at "
    f"least {FEWEST_GOOD} pictures labelled good and {FEWEST_DEFECTS} labelled as defects are there; it has no more "
    "false alarms and no more misses than the old one; it has fewer of one of them, by more than chance (McNemar's "
    f"exact test, p < {SIGNIFICANCE:g}); and it does not call more of the pictures without a label abnormal, by more "
    "than chance. Otherwise the old one stays."
)


@dataclass(frozen=True)
class Recommendation:
    """promote: the new model should run; keep: the old one. reason: a sentence; rule: by which it was decided."""

    choice: Literal["promote", "keep"]
    reason: str
    rule: str = RULE


def recommend(fresh: EvidenceTable) -> Recommendation:
    """What follows from pictures that neither model was trained on."""
    against = _too_few(fresh) or _worse(fresh) or _alarms(fresh.unlabelled)
    if against is not None:
        return Recommendation("keep", f"Keep the old one: {against}.")
    good, defects = fresh.good, fresh.defects
    gains = []
    if good.new < good.old and good.p_value < SIGNIFICANCE:
        gains.append(f"{counted(good.old - good.new, 'fewer false alarm')} (p = {good.p_value:.2g})")
    if defects.new > defects.old and defects.p_value < SIGNIFICANCE:
        gains.append(f"{counted(defects.new - defects.old, 'fewer miss', 'fewer misses')} (p = {defects.p_value:.2g})")
    if not gains:
        return Recommendation("keep", "Keep the old one: the difference is within what chance would give.")
    return Recommendation("promote", f"Promote the new one: {' and '.join(gains)}, and nothing got worse.")


def _too_few(fresh: EvidenceTable) -> str | None:
    if fresh.good.count >= FEWEST_GOOD and fresh.defects.count >= FEWEST_DEFECTS:
        return None
    return (
        f"{counted(fresh.good.count, 'picture')} labelled good and {fresh.defects.count} labelled as defects, on "
        f"which neither model was trained, are too few to tell (at least {FEWEST_GOOD} and {FEWEST_DEFECTS})"
    )


def _worse(fresh: EvidenceTable) -> str | None:
    worse = []
    if fresh.good.new > fresh.good.old:
        worse.append(counted(fresh.good.new - fresh.good.old, "more false alarm"))
    if fresh.defects.new < fresh.defects.old:
        worse.append(counted(fresh.defects.old - fresh.defects.new, "more miss", "more misses"))
    return f"the new one has {' and '.join(worse)}" if worse else None


def _alarms(unlabelled: PairedCounts) -> str | None:
    if unlabelled.new <= unlabelled.old or unlabelled.p_value >= SIGNIFICANCE:
        return None
    return (
        f"the new one alone calls {counted(unlabelled.only_new, 'picture')} without a label abnormal, the old one "
        f"alone {unlabelled.only_old}; label those, and compare again"
    )

"""Counts what two models say of pictures, one after the other; memory does not grow with their number."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from latentline.evidence.labelled_picture import Label
from latentline.evidence.paired import PairedCounts


@dataclass(frozen=True)
class EvidenceTable:
    """What two models say of some pictures. kinds: of the defects, those without one as ""."""

    good: PairedCounts
    defects: PairedCounts
    unlabelled: PairedCounts
    kinds: dict[str, PairedCounts]

    @property
    def count(self) -> int:
        """All pictures."""
        return self.good.count + self.defects.count + self.unlabelled.count

    def to_dict(self) -> dict[str, object]:
        """For JSON. "good" counts false alarms, "defects" what is caught."""
        return {
            "good": self.good.to_dict(),
            "defects": self.defects.to_dict(),
            "unlabelled": self.unlabelled.to_dict(),
            "kinds": {kind: counts.to_dict() for kind, counts in self.kinds.items()},
        }


@dataclass
class EvidenceTally:
    """Counts pictures for an `EvidenceTable`."""

    _counts: Counter[tuple[Label | None, str, bool, bool]] = field(default_factory=Counter)

    def add(self, old: bool, new: bool, label: Label | None = None, kind: str | None = None) -> None:
        """Count a picture. old, new: whether the model calls it abnormal."""
        self._counts[label, kind or "", old, new] += 1

    @property
    def table(self) -> EvidenceTable:
        """What was counted until now."""
        kinds = sorted({kind for label, kind, _, _ in self._counts if label == "defect"})
        of_kinds = {kind: self._paired("defect", kind) for kind in kinds}
        defects = sum(of_kinds.values(), PairedCounts())
        return EvidenceTable(self._paired("good"), defects, self._paired(None), of_kinds)

    def _paired(self, label: Label | None, kind: str = "") -> PairedCounts:
        verdicts = (True, True), (True, False), (False, True), (False, False)
        return PairedCounts(*(self._counts[label, kind, old, new] for old, new in verdicts))

"""Two tables of scores and the labels of their pictures, become the comparison of two models."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from latentline.evidence.labelled_picture import Label, LabelledPicture
from latentline.evidence.recommendation import Recommendation, recommend
from latentline.evidence.tally import EvidenceTable, EvidenceTally
from latentline.rescoring.scored_picture import ScoredPicture

SHOWN = 48  # changed pictures, the greatest changes


@dataclass(frozen=True)
class ComparedModel:
    """One of the two models.

    threshold     of the anomaly score, by which its verdicts are
    trained_on    how many of the pictures it was trained on; None: its package does not say what it was trained on
    """

    name: str
    sha256: str
    threshold: float
    trained_on: int | None = None


@dataclass(frozen=True)
class ChangedPicture:
    """A picture of which the models say different things. margin: score minus threshold, positive where abnormal."""

    picture: LabelledPicture
    old_margin: float
    new_margin: float
    trained_on: bool

    @property
    def weight(self) -> tuple[bool, float]:
        """Larger for what people should see first: labelled pictures, then great changes."""
        return self.picture.label is not None, abs(self.new_margin - self.old_margin)

    @property
    def what(self) -> str:
        """What has changed, in a few words."""
        now = self.new_margin > 0
        if self.picture.label is None:
            return "now abnormal" if now else "now normal"
        if self.picture.label == "good":
            return "false alarm, new" if now else "false alarm, gone"
        return "caught, new" if now else "missed, new"


@dataclass(frozen=True)
class ModelComparison:
    """What two models say of the same pictures.

    fresh        pictures that neither was trained on; trained: the others, which say little
    unreadable   pictures without a score, by either model
    changes      how many verdicts changed, by what changed; changed: the first of these pictures
    """

    old: ComparedModel
    new: ComparedModel
    fresh: EvidenceTable
    trained: EvidenceTable
    unreadable: int
    changes: dict[str, int]
    changed: tuple[ChangedPicture, ...]
    recommendation: Recommendation

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "old": asdict(self.old),
            "new": asdict(self.new),
            "fresh": self.fresh.to_dict(),
            "trained_on": self.trained.to_dict(),
            "unreadable": self.unreadable,
            "changes": self.changes,
            "changed": [_changed(picture) for picture in self.changed],
            "recommendation": asdict(self.recommendation),
        }


@dataclass(frozen=True)
class ScoredSide:
    """A model's scores of the pictures, in their order.

    threshold  by which its verdicts are
    training   short hashes of the images that it was trained on; None: unknown
    """

    name: str
    sha256: str
    threshold: float
    scores: Iterable[ScoredPicture]
    training: Collection[str] | None


def compare_scores(pictures: Sequence[LabelledPicture], old: ScoredSide, new: ScoredSide) -> ModelComparison:
    """Compare two models by their scores of `pictures`. Raises ValueError when a table is one of other pictures."""
    fresh, trained = EvidenceTally(), EvidenceTally()
    seen = Counter[str]()
    changes = Counter[str]()
    first: list[tuple[tuple[bool, float], int, ChangedPicture]] = []
    for number, (picture, before, after) in enumerate(zip(pictures, old.scores, new.scores, strict=True)):
        if before.score is None or after.score is None:
            seen["unreadable"] += 1
            continue
        of_old, of_new = (
            side.training is not None and row.pixels in side.training for side, row in ((old, before), (new, after))
        )
        seen.update(old=of_old, new=of_new)
        margins = before.score - old.threshold, after.score - new.threshold
        tally = trained if of_old or of_new else fresh
        tally.add(margins[0] > 0, margins[1] > 0, picture.label, picture.kind)
        if (margins[0] > 0) != (margins[1] > 0):
            changed = ChangedPicture(picture, *margins, of_old or of_new)
            changes[changed.what] += 1
            entry = (changed.weight, -number, changed)
            (heapq.heappush if len(first) < SHOWN else heapq.heappushpop)(first, entry)
    models = (
        ComparedModel(side.name, side.sha256, side.threshold, None if side.training is None else seen[name])
        for name, side in (("old", old), ("new", new))
    )
    shown = tuple(changed for _, _, changed in sorted(first, reverse=True))
    return ModelComparison(
        next(models),
        next(models),
        fresh.table,
        trained.table,
        seen["unreadable"],
        dict(sorted(changes.items())),
        shown,
        recommend(fresh.table),
    )


def label_text(label: Label | None, kind: str | None) -> str:
    """A label in words."""
    return "no label" if label is None else kind or label


def _changed(changed: ChangedPicture) -> dict[str, Any]:
    picture = changed.picture
    return {
        "path": picture.file.name,
        "label": picture.label,
        "kind": picture.kind,
        "what": changed.what,
        "old_margin": changed.old_margin,
        "new_margin": changed.new_margin,
        "trained_on": changed.trained_on,
    }

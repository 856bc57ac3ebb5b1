"""A comparison of two packages that lies beside them: what `latentline-export compare` wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from latentline.evidence.paired import PairedCounts
from latentline.evidence.tally import EvidenceTable
from latentline.evidence.text_table import HEAD, rows_of

ENDING = ".comparison"  # of its folder
_MOST_BYTES = 16 << 20


@dataclass(frozen=True)
class KeptComparison:
    """What the page shows of a comparison.

    old, new    sha256 of the models
    rows        as in the report, with `HEAD` above them; of pictures that neither model was trained on
    recommended whether the new model is recommended; reason: a sentence
    """

    old: str
    new: str
    rows: tuple[tuple[str, ...], ...]
    recommended: bool
    reason: str
    head: tuple[str, ...] = HEAD


def read_comparisons(folder: Path) -> dict[str, KeptComparison]:
    """The comparisons in `folder`, by the sha256 of the new model. What is none, or broken, is left out."""
    found = (_read(path) for path in sorted(folder.glob(f"*{ENDING}/comparison.json")))
    return {comparison.new: comparison for comparison in found if comparison is not None}


def _read(path: Path) -> KeptComparison | None:
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(_MOST_BYTES))
        said = content["recommendation"]
        return KeptComparison(
            str(content["old"]["sha256"]),
            str(content["new"]["sha256"]),
            tuple(rows_of(_table(content["fresh"]))),
            said["choice"] == "promote",
            str(said["reason"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, ArithmeticError):
        return None


def _table(content: Mapping[str, Any]) -> EvidenceTable:
    kinds = {str(kind): _counts(counts) for kind, counts in content["kinds"].items()}
    return EvidenceTable(
        good=_counts(content["good"]),
        defects=_counts(content["defects"]),
        unlabelled=_counts(content["unlabelled"]),
        kinds=kinds,
    )


def _counts(content: Mapping[str, Any]) -> PairedCounts:
    pictures, old, only_old, only_new = (int(content[name]) for name in ("pictures", "old", "only_old", "only_new"))
    return PairedCounts(old - only_old, only_old, only_new, pictures - old - only_new)

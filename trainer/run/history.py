"""metrics.jsonl of a run: a line for each step that was recorded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from latentline.base.atomic import write_text
from latentline.errors import CheckpointError
from latentline.scoring.coverage import Coverage
from trainer.loops.training import StepReport


class FitCoverage(Coverage):
    """Coverage at a checkpoint; `progress` of the training that teaches to reconstruct, from 0 to 1."""

    progress: float = Field(ge=0, le=1)


@dataclass(frozen=True)
class Record:
    """A recorded step.

    diversity  of the generator's samples; None where it was not measured
    health     a sentence for each sign of a failed training
    coverage   of held-out normal tiles; None where it was not measured
    """

    report: StepReport
    diversity: float | None = None
    health: tuple[str, ...] = ()
    coverage: FitCoverage | None = None


def write_history(path: Path, records: Sequence[Record]) -> None:
    """Write all records; the file is replaced in one step."""
    write_text(path, "".join(json.dumps(_fields(record)) + "\n" for record in records))


def read_history(path: Path, images: int) -> list[Record]:
    """Records of the first `images`; a resumed run repeats what came after its checkpoint. Raises CheckpointError."""
    try:
        return [r for r in map(_record, path.read_text(encoding="utf-8").splitlines()) if r.report.images <= images]
    except (OSError, ValueError, TypeError, KeyError):
        raise CheckpointError(
            f"{path}: missing or broken, but the checkpoint needs it; restore it, or start in a new folder"
        ) from None


def _fields(record: Record) -> dict[str, Any]:
    return {
        **asdict(record.report),
        "diversity": record.diversity,
        "coverage": None if record.coverage is None else record.coverage.model_dump(),
        "health": list(record.health),
    }


def _record(line: str) -> Record:
    fields = json.loads(line)
    diversity, health, coverage = fields.pop("diversity"), tuple(fields.pop("health")), fields.pop("coverage", None)
    measured = None if coverage is None else FitCoverage.model_validate(coverage)
    return Record(StepReport(**fields), diversity, health, measured)

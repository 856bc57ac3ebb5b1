"""metrics.jsonl of a run: a line for each step that was recorded."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from latentline.base.atomic import write_text
from latentline.errors import CheckpointError
from trainer.loops.training import StepReport


@dataclass(frozen=True)
class Record:
    """A recorded step.

    diversity  of the generator's samples; None where it was not measured
    health     a sentence for each sign of a failed training
    """

    report: StepReport
    diversity: float | None = None
    health: tuple[str, ...] = ()


def write_history(path: Path, records: Sequence[Record]) -> None:
    """Write all records; the file is replaced in one step."""
    lines = [
        json.dumps({**asdict(r.report), "diversity": r.diversity, "health": list(r.health)}) + "\n" for r in records
    ]
    write_text(path, "".join(lines))


def read_history(path: Path, images: int) -> list[Record]:
    """Records of the first `images`; a resumed run repeats what came after its checkpoint. Raises CheckpointError."""
    try:
        return [r for r in map(_record, path.read_text(encoding="utf-8").splitlines()) if r.report.images <= images]
    except (OSError, ValueError, TypeError, KeyError):
        raise CheckpointError(
            f"{path}: missing or broken, but the checkpoint needs it; restore it, or start in a new folder"
        ) from None


def _record(line: str) -> Record:
    fields = json.loads(line)
    diversity, health = fields.pop("diversity"), tuple(fields.pop("health"))
    return Record(StepReport(**fields), diversity, health)

"""metrics.jsonl of a run: a line for each report that is kept."""

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
    """A step that was logged.

    diversity  of the generator's samples, where it was measured (health.py)
    health     a sentence for each thing that looked wrong
    """

    report: StepReport
    diversity: float | None = None
    health: tuple[str, ...] = ()


def write_history(path: Path, records: Sequence[Record]) -> None:
    """Replace the file in one step."""
    lines = [
        json.dumps({**asdict(r.report), "diversity": r.diversity, "health": list(r.health)}) + "\n" for r in records
    ]
    write_text(path, "".join(lines))


def read_history(path: Path, images: int) -> list[Record]:
    """Records up to so many images: what came after its checkpoint, a killed run does again. Raises CheckpointError."""
    try:
        return [r for r in map(_record, path.read_text(encoding="utf-8").splitlines()) if r.report.images <= images]
    except (OSError, ValueError, TypeError, KeyError):
        raise CheckpointError(
            f"{path}: the file is missing or broken; it belongs to the checkpoint beside it"
        ) from None


def _record(line: str) -> Record:
    fields = json.loads(line)
    diversity, health = fields.pop("diversity"), tuple(fields.pop("health"))
    return Record(StepReport(**fields), diversity, health)

"""The lines of results.jsonl: everything measured of one training, or of one baseline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from pydantic import TypeAdapter

from bench.detection.reconstruction.contrast import Contrast
from bench.detection.reconstruction.samples import SampleSpread
from latentline.base.atomic import write_text
from latentline.base.strict_yaml import StrictModel
from latentline.scoring.coverage import Coverage
from trainer.evaluation.intervals import Estimate
from trainer.evaluation.report import EvaluationReport


class SearchMeasurement(StrictModel):
    """One way to search one model.

    coverage             of held-out normal tiles; None where it cannot be measured
    milliseconds_a_tile  on one thread, in batches, beside whatever else the machine did
    maps                 evaluation of the maps alone, by kind of map
    """

    coverage: Coverage | None
    contrast: Contrast
    milliseconds_a_tile: float
    maps: dict[str, EvaluationReport]


class ModelMeasurement(StrictModel):
    """One training.

    limit       most test images of each kind; None: all
    minutes     of training
    verdict     image AUROC of D's verdict alone; None without a D, or without normal test images
    samples     None for a plain autoencoder
    searches    by name of the search
    conditions  date, machine, versions and command of the measurement
    """

    method: str
    dataset: str
    seed: int
    latent_size: int
    images_shown: int
    minutes: float
    limit: int | None
    verdict: Estimate | None
    samples: SampleSpread | None
    searches: dict[str, SearchMeasurement]
    conditions: dict[str, str]


class BaselineMeasurement(StrictModel):
    """A detector without a model, on the test images of the trainings with the same seed."""

    baseline: str
    dataset: str
    seed: int
    report: EvaluationReport
    conditions: dict[str, str]


Measurement = ModelMeasurement | BaselineMeasurement
_LINE: TypeAdapter[Measurement] = TypeAdapter(Measurement)


def write_lines(path: Path, measurements: Sequence[Measurement]) -> None:
    """One measurement a line."""
    write_text(path, "".join(measurement.model_dump_json() + "\n" for measurement in measurements))


def read_lines(path: Path) -> list[Measurement]:
    """What `write_lines` wrote."""
    return [_LINE.validate_json(line) for line in path.read_text(encoding="utf-8").splitlines()]

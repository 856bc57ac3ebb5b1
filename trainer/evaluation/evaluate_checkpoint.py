"""`latentline-train evaluate`: calibrate a checkpoint with the reference search and evaluate it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from latentline.errors import CheckpointError, ConfigError
from latentline.inspection.host_reconstructor import HostReconstructor
from latentline.inspection.inspector import Inspector
from latentline.scoring.calibration import FALSE_ALARM_RATE
from latentline.search.tiler import TILES_TOGETHER, FrameTiler
from trainer.checkpoint import load_checkpoint
from trainer.data.held_out import read_held_out
from trainer.data.sources import open_source
from trainer.evaluation.accumulator import Subject
from trainer.evaluation.calibrate_held_out import calibrate_held_out
from trainer.evaluation.evaluate import evaluate, limited
from trainer.evaluation.report import EvaluationReport
from trainer.reference.searcher import ReferenceSearcher


def evaluate_checkpoint(
    path: Path,
    out: Path | None = None,
    data: Path | None = None,
    iterations: int | None = None,
    limit: int | None = None,
    false_alarm_rate: float = FALSE_ALARM_RATE,
) -> EvaluationReport:
    """Evaluate a run or checkpoint folder into `out`, by default `evaluation` in the run.

    data, iterations  replace the configuration's; limit: at most so many test images of each kind, seeded
    Raises CheckpointError, ConfigError and DatasetError.
    """
    checkpoint = load_checkpoint(path)
    config = checkpoint.config
    if config.schedule.encoder_images and checkpoint.encoder is None:
        raise CheckpointError(f"{path}: its training has not come to the encoder yet; go on with fit --resume")
    if iterations and not config.method.is_gan:
        raise ConfigError(f"method {config.method.kind} has no search, so leave out --iterations")
    if iterations == 0 and checkpoint.encoder is None:
        raise ConfigError(f"{path}: it has no encoder, and a search of 0 iterations needs one; give 1 or more")
    search = config.search.model_copy(update={} if iterations is None else {"iterations": iterations})
    source = open_source(config.data if data is None else config.data.model_copy(update={"root": data.resolve()}))
    tiler = FrameTiler(config.preprocessing, config.network.resolution, search.overlap)
    parts = limited(checkpoint.split, limit, config.schedule.seed)
    searcher = ReferenceSearcher(checkpoint, search)
    held_out = read_held_out(source, parts, config.schedule.seed)
    found = calibrate_held_out(searcher, tiler, config, held_out, false_alarm_rate)
    ahead = frames_ahead(tiler, held_out.scored[0])
    reconstructor = HostReconstructor(searcher, tiler, found.statistics, ahead)
    subject = Subject(config.name, config.method.kind, reconstructor.name, search.iterations)
    return evaluate(Inspector(reconstructor, found.calibration), subject, source, parts, out or default_out(path))


def frames_ahead(tiler: FrameTiler, frame: npt.NDArray[np.uint8]) -> int:
    """How many frames such as this make a batch worth searching together."""
    return max(1, TILES_TOGETHER // len(tiler.tile(frame).tiles))


def default_out(path: Path) -> Path:
    """Where the evaluation of a run, or of its checkpoint folder, is written."""
    return (path.parent if path.resolve().name == "checkpoint" else path) / "evaluation"

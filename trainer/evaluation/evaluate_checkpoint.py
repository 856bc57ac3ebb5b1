"""`latentline-train evaluate`: calibrate a checkpoint with the reference search and evaluate it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt

from latentline.inspection.host_reconstructor import HostReconstructor
from latentline.inspection.inspector import Inspector
from latentline.scoring.calibration import FALSE_ALARM_RATE
from latentline.search.tiler import TILES_TOGETHER, FrameTiler
from trainer.checkpoint import load_checkpoint, search_config
from trainer.coverage import CoverageMeter
from trainer.data.held_out import read_held_out
from trainer.data.sources import open_source
from trainer.evaluation.accumulator import Subject
from trainer.evaluation.calibrate_held_out import calibrate_held_out
from trainer.evaluation.evaluate import evaluate, limited
from trainer.evaluation.report import EvaluationReport
from trainer.pictures.tiles import TileViewer
from trainer.reference.searcher import ReferenceSearcher


def evaluate_checkpoint(
    path: Path,
    out: Path | None = None,
    data: Path | None = None,
    iterations: int | None = None,
    limit: int | None = None,
    false_alarm_rate: float = FALSE_ALARM_RATE,
) -> EvaluationReport:
    """Evaluate a run or checkpoint folder into `out`, by default into `evaluation` of the run.

    data, iterations  replace the configuration's data root and search iterations
    limit             at most this many test images of each kind, chosen by the configuration's seed
    false_alarm_rate  that the threshold promises
    Raises CheckpointError, ConfigError, DatasetError and ImageError.
    """
    checkpoint = load_checkpoint(path)
    config = checkpoint.config
    search = search_config(path, checkpoint, iterations)
    source = open_source(config.data, data)
    tiler = FrameTiler(config.preprocessing, config.network.resolution, search.overlap)
    split = limited(checkpoint.split, limit, config.schedule.seed)
    searcher = ReferenceSearcher(checkpoint, search)
    held_out = read_held_out(source, split, config.schedule.seed)
    calibrated = calibrate_held_out(searcher, tiler, config, held_out, false_alarm_rate)
    ahead = frames_ahead(tiler, held_out.scored[0])
    reconstructor = HostReconstructor(searcher, tiler, calibrated.statistics, ahead)
    coverage = CoverageMeter(source, checkpoint.split, config).measure_search(searcher, search.iterations)
    subject = Subject(config.name, config.method.kind, reconstructor.name, search.iterations, coverage)
    inspector = Inspector(reconstructor, calibrated.calibration)
    viewer = TileViewer.of_checkpoint(checkpoint, search.iterations)
    return evaluate(inspector, subject, source, split, out or default_out(path), viewer=viewer)


def frames_ahead(tiler: FrameTiler, frame: npt.NDArray[np.uint8]) -> int:
    """How many frames like this one fill a batch of tiles."""
    return max(1, TILES_TOGETHER // len(tiler.tile(frame).tiles))


def default_out(path: Path) -> Path:
    """The folder `evaluation` of a run, given the run or its checkpoint folder."""
    return (path.parent if path.resolve().name == "checkpoint" else path) / "evaluation"

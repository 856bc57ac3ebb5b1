"""`latentline-train evaluate`: calibrate a checkpoint with the reference search and evaluate it."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import numpy.typing as npt

from latentline.base.places import check_folder
from latentline.inspection.host_reconstructor import HostReconstructor
from latentline.inspection.inspector import Inspector
from latentline.inspection.reconstructor import Reconstructor
from latentline.scoring.calibrate import Calibrated
from latentline.scoring.calibration import FALSE_ALARM_RATE
from latentline.scoring.thresholds import Tail
from latentline.search.tiler import TILES_TOGETHER, FrameTiler
from latentline.trunk.reconstructor import TrunkReconstructor
from trainer.checkpoint import Checkpoint, load_checkpoint, search_iterations, with_searched_tiles
from trainer.config import TrainConfig
from trainer.coverage import CoverageMeter
from trainer.data.held_out import HeldOut, read_held_out
from trainer.data.source import ImageSource
from trainer.data.sources import open_source
from trainer.data.split import Split
from trainer.evaluation.accumulator import Subject
from trainer.evaluation.calibrate_held_out import calibrate_held_out, check_enough
from trainer.evaluation.copies import seen_images
from trainer.evaluation.evaluate import check_test_images, evaluate, limited
from trainer.evaluation.kept_calibration import CalibrationTask
from trainer.evaluation.kept_promise import log_promise
from trainer.evaluation.other_images import warn_of_other_images
from trainer.evaluation.report import EvaluationReport
from trainer.pictures.tiles import TileViewer
from trainer.reference.searcher import ReferenceSearcher
from trainer.settings.search import Iterations, TilesSetting
from trainer.trunk.extractor import TorchTrunk
from trainer.trunk.fit import FittedTrunk, fit_trunk
from trainer.trunk.module import check_trunk_weights, load_trunk

log = logging.getLogger(__name__)


def evaluate_checkpoint(
    path: Path,
    out: Path | None = None,
    data: Path | None = None,
    iterations: Iterations | None = None,
    limit: int | None = None,
    false_alarm_rate: float = FALSE_ALARM_RATE,
    tail: Tail = "exact",
    fresh: bool = False,
    tiles: TilesSetting | None = None,
) -> EvaluationReport:
    """Evaluate a run or checkpoint folder into `out`, by default into `evaluation` of the run.

    A search that starts at an encoder's z is compared with none, on the same test images.

    data, iterations, tiles  replace the configuration's data root, search iterations and searched tiles
    limit             at most this many test images of each kind, chosen by the configuration's seed
    false_alarm_rate  that the threshold promises
    tail              what the threshold assumes of the largest scores
    fresh             measure anew what an earlier evaluation or export has kept in the run folder
    Raises CheckpointError, ConfigError, DatasetError and ImageError, and BackendError when a trunk's weights are
    missing.
    """
    out = out or default_out(path)
    checkpoint = with_searched_tiles(load_checkpoint(path), tiles)
    check_folder(out)
    config = checkpoint.config
    wanted = search_iterations(path, checkpoint, iterations)
    check_trunk_weights(config.trunk)
    source = open_source(config.data, config.preprocessing, data)
    warn_of_other_images(source, checkpoint)
    split = limited(checkpoint.split, limit, config.schedule.seed)
    held_out = read_held_out(source, split, config.schedule.seed)
    check_enough(held_out, false_alarm_rate, tail)
    tested = check_test_images(source, split)
    size, cut = config.network.resolution, config.search
    tiler = FrameTiler(config.preprocessing, size, cut.overlap, cut.most_tiles)
    trunk = _trunk(config, source, checkpoint.split)
    task = CalibrationTask(path, config, held_out, wanted, false_alarm_rate, fresh, tail, trunk)
    measured = task.run(lambda n: _searcher(checkpoint, n), tiler)
    config, search, calibrated = measured.config, measured.search, measured.calibrated
    searcher, tiler = _searcher(checkpoint, search.iterations), measured.tiler(tiler)
    if calibrated.calibration.promise is not None:
        log_promise(calibrated.calibration.promise, config)
    inspector = _inspector(searcher, tiler, calibrated, held_out, trunk)
    without_search = None
    if search.iterations and checkpoint.encoder is not None:
        log.info("calibrating without the search too, and inspecting the test images twice, to say what it gives")
        bare = _searcher(checkpoint, 0)
        again = calibrate_held_out(bare, tiler, config, held_out, false_alarm_rate, tail, trunk)
        without_search = _inspector(bare, tiler, again, held_out, trunk)
    coverage = CoverageMeter(source, checkpoint.split, config).measure_search(searcher, search.iterations)
    choices = search.choice, measured.map_choice, tiler.most
    seen = seen_images(checkpoint, held_out)
    subject = Subject(config.name, config.method.kind, searcher.name, search.iterations, coverage, *choices, seen)
    viewer = TileViewer.of_checkpoint(checkpoint, search.iterations)
    return evaluate(inspector, subject, source, split, out, without_search, viewer, tested)


def _searcher(checkpoint: Checkpoint, iterations: int) -> ReferenceSearcher:
    return ReferenceSearcher(checkpoint, checkpoint.config.search, iterations)


def _trunk(config: TrainConfig, source: ImageSource, split: Split) -> FittedTrunk | None:
    if not config.trunk.wanted or config.search.score == "paper":
        return None
    module, network = load_trunk(config.trunk)
    return fit_trunk(TorchTrunk(module, network), network, source, split, config.schedule.seed)


def _inspector(
    searcher: ReferenceSearcher,
    tiler: FrameTiler,
    calibrated: Calibrated,
    held_out: HeldOut,
    trunk: FittedTrunk | None,
) -> Inspector:
    ahead = frames_ahead(tiler, held_out.scored[0])
    reconstructor: Reconstructor = HostReconstructor(searcher, tiler, calibrated.statistics, ahead)
    if trunk is not None and calibrated.map_scales.scales:
        reconstructor = TrunkReconstructor(reconstructor, trunk.maps, calibrated.map_scales)
    return Inspector(reconstructor, calibrated.calibration)


def frames_ahead(tiler: FrameTiler, frame: npt.NDArray[np.uint8]) -> int:
    """How many frames like this one fill a batch of tiles."""
    return max(1, TILES_TOGETHER // len(tiler.tile(frame).tiles))


def default_out(path: Path) -> Path:
    """The folder `evaluation` of a run, given the run or its checkpoint folder."""
    return (path.parent if path.resolve().name == "checkpoint" else path) / "evaluation"

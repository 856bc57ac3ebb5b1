"""`search.map: auto`: the kind of map that tells defects from normal frames best, on held-out images.

Beside the networks every kind costs a station little, so the best figures decide, however small the difference.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

import numpy as np
from tqdm import tqdm

from latentline.scoring.map_choice import MapChoice, MapTrial
from latentline.search.searched_frame import MapKind
from latentline.search.searcher import Searcher
from latentline.search.tiler import FrameTiler
from trainer.config import TrainConfig
from trainer.data.held_out import HeldOut
from trainer.evaluation.judged_maps import JudgedMaps, judge_maps, search_validation
from trainer.evaluation.metrics import weighted_auroc
from trainer.evaluation.validation_frames import ValidationFrame, validation_frames

KINDS: tuple[MapKind, ...] = ("residual", "l2", "ssim")
MOST_TILES = 400  # of all frames
MAX_STEPS = 40_000  # of the search over all tiles: as long as a calibration with ten iterations
MAX_VALUES = 2**24  # of tiles, held in memory after their search with all that it found
log = logging.getLogger(__name__)


def with_chosen_map(
    config: TrainConfig, searcher: Searcher, iterations: int, tiler: FrameTiler, held_out: HeldOut
) -> tuple[TrainConfig, MapChoice | None]:
    """The configuration with the kind of map that `auto` finds, and why, with a line in the log; a given kind stays.

    iterations  of the searcher, by which its tiles are budgeted
    The paper's score has a map of its own, so `auto` measures nothing for it. Raises CheckpointError for a broken
    model.
    """
    if config.search.map != "auto":
        return config, None
    if config.search.score == "paper":
        return _with(config, KINDS[0]), None
    values = config.network.resolution**2 * config.preprocessing.channels
    most_tiles = min(MOST_TILES, MAX_STEPS // (iterations + 1), MAX_VALUES // values)
    given = validation_frames(held_out, tiler, config.schedule.seed, most_tiles)
    frames = given.frames
    with tqdm(total=given.tiles, unit="tile", desc="comparing kinds of maps", delay=2) as bar:
        searched = list(search_validation(searcher, frames, bar.update))
    trials = [_trial(kind, judge_maps(iter(searched), frames, kind), frames) for kind in KINDS]
    abnormal = sum(frame.abnormal for frame in frames)
    choice = MapChoice(
        trials=tuple(sorted(trials, key=lambda trial: -trial.merit)),
        normals=len(frames) - abnormal,
        abnormals=0 if given.synthetic else abnormal,
        synthetic=abnormal if given.synthetic else 0,
    )
    log.info("anomaly map: %s", choice.sentence)
    return _with(config, choice.trials[0].map), choice


def _with(config: TrainConfig, kind: MapKind) -> TrainConfig:
    return config.model_copy(update={"search": config.search.model_copy(update={"map": kind})})


def _trial(kind: MapKind, judged: JudgedMaps, frames: Sequence[ValidationFrame]) -> MapTrial:
    abnormal = np.array([frame.abnormal for frame in frames])
    return MapTrial(
        map=kind,
        image_auroc=float(weighted_auroc(judged.scores, abnormal, np.ones((1, len(frames))))[0]),
        pixel_auroc=None if judged.pixels is None else float(judged.pixels.auroc(_one_of_each(frames))[0]),
    )


def _one_of_each(frames: Sequence[ValidationFrame]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.ones((1, sum(frame.mask is not None for frame in frames)))

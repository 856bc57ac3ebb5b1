"""`search.map: auto`: the kind of map that tells defects from normal frames best, on held-out images.

All kinds cost a station about the same, so the best figures decide, however small the difference.
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
MOST_TILES = 400  # of all frames, held in memory after their search
log = logging.getLogger(__name__)


def chosen_map(
    searcher: Searcher, tiler: FrameTiler, config: TrainConfig, held_out: HeldOut
) -> tuple[MapKind, MapChoice | None]:
    """The configuration's kind of map, or what `auto` finds with this searcher, and why, with a line in the log.

    The paper's score has a map of its own, so `auto` measures nothing for it. Raises CheckpointError for a broken
    model.
    """
    if config.search.map != "auto":
        return config.search.map, None
    if config.search.score == "paper":
        return KINDS[0], None
    given = validation_frames(held_out, tiler, config.schedule.seed, MOST_TILES)
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
    return choice.trials[0].map, choice


def _trial(kind: MapKind, judged: JudgedMaps, frames: Sequence[ValidationFrame]) -> MapTrial:
    abnormal = np.array([frame.abnormal for frame in frames])
    return MapTrial(
        map=kind,
        image_auroc=float(weighted_auroc(judged.scores, abnormal, np.ones((1, len(frames))))[0]),
        pixel_auroc=None if judged.pixels is None else float(judged.pixels.auroc(_one_of_each(frames))[0]),
    )


def _one_of_each(frames: Sequence[ValidationFrame]) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return np.ones((1, sum(frame.mask is not None for frame in frames)))

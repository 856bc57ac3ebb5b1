"""`search.iterations: auto`: measure a few searches on held-out images, and take the shortest that is as good as any.

Figures are of the maps alone. The discriminator's verdict on a frame does not depend on the search, and would hide what
the search does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from tqdm import tqdm

from latentline.scoring.search_choice import SearchCandidate, SearchChoice
from latentline.search.searched_frame import MapKind
from latentline.search.searcher import Searcher
from latentline.search.tiler import FrameTiler
from trainer.config import TrainConfig
from trainer.data.held_out import HeldOut
from trainer.evaluation.judged_maps import judge_maps, search_validation, warm_up
from trainer.evaluation.search_rule import FrameLabels, JudgedSearch, choose
from trainer.evaluation.validation_frames import (
    FEWEST_PARTS,
    ValidationFrame,
    ValidationFrames,
    normal_parts,
    validation_frames,
)
from trainer.settings.search import Iterations

FROM_ENCODER, FROM_RANDOM = (0, 3, 10, 30), (10, 30, 100)  # iterations
MAX_STEPS = 40_000  # of all candidates over all tiles: as long as a calibration with ten iterations
MAX_VALUES = 2**26  # of tiles in memory
OpenSearcher = Callable[[SearchCandidate], Searcher]
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ChosenSearch:
    """The iterations of a search; `choice` says why, where `auto` measured them."""

    iterations: int
    choice: SearchChoice | None = None


def chosen_search(
    iterations: Iterations, open_searcher: OpenSearcher, tiler: FrameTiler, config: TrainConfig, held_out: HeldOut
) -> ChosenSearch:
    """The number `iterations`, or what `auto` finds, with a progress bar and a line in the log.

    open_searcher  gives a searcher for a candidate; the caller closes it
    With too few held-out images `auto` is 0 with an encoder, else 100. Raises CheckpointError for a broken model.
    """
    if iterations != "auto":
        return ChosenSearch(iterations)
    if not config.method.is_gan:
        return ChosenSearch(config.fallback_iterations)
    parts = len(set(normal_parts(held_out)))
    if parts < FEWEST_PARTS:
        log.warning(
            "search: n = %d, not measured: to compare searches, auto needs %d parts among the held-out normal images "
            "that standardise the score, and has %d; hold out more images or set search.iterations to a number",
            config.fallback_iterations,
            FEWEST_PARTS,
            parts,
        )
        return ChosenSearch(config.fallback_iterations)
    numbers = FROM_ENCODER if config.schedule.encoder_images else FROM_RANDOM
    choice = choose_search([SearchCandidate(iterations=n) for n in numbers], open_searcher, tiler, config, held_out)
    log.info("search: %s (%s)", choice.sentence, choice.frames)
    return ChosenSearch(choice.chosen.iterations, choice)


def choose_search(
    candidates: Sequence[SearchCandidate],
    open_searcher: OpenSearcher,
    tiler: FrameTiler,
    config: TrainConfig,
    held_out: HeldOut,
) -> SearchChoice:
    """Measure the candidates on the map of the configuration, the shortest search first, and choose.

    Raises CheckpointError for a broken model.
    """
    steps = sum(_steps(candidate) for candidate in candidates)
    values = config.network.resolution**2 * config.preprocessing.channels
    most_tiles = min(MAX_STEPS // steps, MAX_VALUES // values)
    given = validation_frames(held_out, tiler, config.schedule.seed, most_tiles)
    frames = given.frames
    warm_up(open_searcher(candidates[0]), frames)
    with tqdm(total=given.tiles * steps, unit="step", desc="comparing searches", delay=2) as bar:
        measured = [_measure(c, open_searcher(c), frames, config.search.map_kind, bar.update) for c in candidates]
    return choose(measured, _labels(given), config.schedule.seed)


def _steps(candidate: SearchCandidate) -> int:
    """Steps of a tile. What comes before and after a search takes about as long as one."""
    return candidate.iterations + 1


def _labels(given: ValidationFrames) -> FrameLabels:
    frames = given.frames
    return FrameLabels(
        abnormal=np.array([f.abnormal for f in frames]),
        parts=tuple(f.part for f in frames),
        counted=np.array([f.mask is not None for f in frames]),
        synthetic=given.synthetic,
    )


def _measure(
    candidate: SearchCandidate,
    searcher: Searcher,
    frames: Sequence[ValidationFrame],
    map: MapKind,
    advance: Callable[[int], object],
) -> JudgedSearch:
    steps = _steps(candidate)
    searched = search_validation(searcher, frames, lambda tiles: advance(steps * tiles))
    found = judge_maps(searched, frames, map)
    return JudgedSearch(candidate, found.scores, found.pixels, found.milliseconds)

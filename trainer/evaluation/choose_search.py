"""`search.iterations: auto`: measure a few searches on held-out images, and take the shortest that is as good as any.

Figures are of the maps alone. The discriminator's verdict on a frame does not depend on the search, and would hide what
the search does.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import numpy.typing as npt
from tqdm import tqdm

from latentline.scoring.calibrate import COARSE, SCALES, SMALLEST_STD, check_finite, pixel_statistics
from latentline.scoring.maps import PixelStatistics
from latentline.scoring.search_choice import SearchCandidate, SearchChoice
from latentline.search.searched_frame import MapKind, SearchedFrame, search_frames
from latentline.search.searcher import Searcher
from latentline.search.tiler import TILES_TOGETHER, FrameTiler
from trainer.config import TrainConfig
from trainer.data.held_out import HeldOut
from trainer.evaluation.pixel_metrics import PixelCounts
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
            "that standardise the score, and there are %d; hold out more images or set search.iterations to a number",
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
    """Measure the candidates, the shortest search first, and choose. Raises CheckpointError for a broken model."""
    steps = sum(_steps(candidate) for candidate in candidates)
    values = config.network.resolution**2 * config.preprocessing.channels
    most_tiles = min(MAX_STEPS // steps, MAX_VALUES // values)
    given = validation_frames(held_out, tiler, config.schedule.seed, most_tiles)
    frames = given.frames
    # the first search of a batch is slower, whatever it searches
    search_frames(open_searcher(candidates[0]), [frame.tiled for frame in next(_batches(frames))])
    with tqdm(total=given.tiles * steps, unit="step", desc="comparing searches", delay=2) as bar:
        measured = [_measure(c, open_searcher(c), frames, config.search.map, bar.update) for c in candidates]
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
    normal, abnormal = (
        _search(searcher, [f for f in frames if f.abnormal == side], _steps(candidate), advance)
        for side in (False, True)
    )
    normal_frames = list(normal)
    check_finite(normal_frames)
    statistics = _fine(pixel_statistics(normal_frames, SCALES, map))
    peaks, pixels, milliseconds = [], PixelCounts(), 0.0
    for frame, searched in zip(frames, chain(normal_frames, abnormal), strict=True):
        maps = statistics.maps(searched)
        peaks.append(list(statistics.peaks(maps).values()))
        milliseconds += searched.milliseconds["search"]
        if frame.mask is not None:
            pixels.add(maps.max(axis=0), frame.mask)
    return JudgedSearch(
        candidate,
        _scores(np.array(peaks, np.float64), len(normal_frames)),
        pixels.curves() if pixels.complete else None,
        milliseconds / sum(len(frame.tiled.tiles) for frame in frames),
    )


def _search(
    searcher: Searcher, frames: Sequence[ValidationFrame], steps: int, advance: Callable[[int], object]
) -> Iterator[SearchedFrame]:
    """Each frame after its search; small ones are searched together."""
    for batch in _batches(frames):
        for searched in search_frames(searcher, [frame.tiled for frame in batch]):
            advance(steps * len(searched.tiles))
            yield searched


def _fine(statistics: PixelStatistics) -> PixelStatistics:
    """Without the patch head's map and the coarse ones, which weigh nothing in a score unless images ask for them."""
    alone = replace(statistics, patch_statistics=None)
    return alone.only([name for name in alone.names if not name.endswith(COARSE)])


def _scores(peaks: npt.NDArray[np.float64], normals: int) -> npt.NDArray[np.float64]:
    """Scores [N] of frames from the peaks of their maps [N, maps]: the mean, standardised on the first `normals`."""
    mean, std = peaks[:normals].mean(axis=0), np.maximum(peaks[:normals].std(axis=0), SMALLEST_STD)
    return np.asarray(((peaks - mean) / std).mean(axis=1))


def _batches(frames: Sequence[ValidationFrame]) -> Iterator[list[ValidationFrame]]:
    """The frames in order, as many together as fill a batch of tiles."""
    waiting: list[ValidationFrame] = []
    for frame in frames:
        waiting.append(frame)
        if sum(len(f.tiled.tiles) for f in waiting) >= TILES_TOGETHER:
            yield waiting
            waiting = []
    if waiting:
        yield waiting

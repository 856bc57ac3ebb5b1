"""What maps of one kind tell about validation frames, without anything of the discriminator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain

import numpy as np
import numpy.typing as npt

from latentline.scoring.calibrate import check_finite
from latentline.scoring.compared_frames import SMALLEST_STD
from latentline.scoring.maps import PixelStatistics
from latentline.scoring.pixel_statistics import COARSE, SCALES, pixel_statistics
from latentline.search.searched_frame import MapKind, SearchedFrame, search_frames
from latentline.search.searcher import Searcher
from latentline.search.tiler import TILES_TOGETHER
from trainer.evaluation.pixel_metrics import PixelCounts, PixelCurves
from trainer.evaluation.validation_frames import ValidationFrame


@dataclass(frozen=True)
class JudgedMaps:
    """Maps of one kind on the N validation frames.

    scores        [N] larger is more abnormal
    pixels        histograms of the maps of the frames whose pixels are known; None: no figure of pixels
    milliseconds  of the search, a tile
    """

    scores: npt.NDArray[np.float64]
    pixels: PixelCurves | None
    milliseconds: float


def search_validation(
    searcher: Searcher, frames: Sequence[ValidationFrame], advance: Callable[[int], object]
) -> Iterator[SearchedFrame]:
    """Each frame after its search; small ones are searched together. `advance` is told each frame's tiles."""
    for batch in _batches(frames):
        for searched in search_frames(searcher, [frame.tiled for frame in batch]):
            advance(len(searched.tiles))
            yield searched


def warm_up(searcher: Searcher, frames: Sequence[ValidationFrame]) -> None:
    """Search the first batch: the first search is slower, whatever it searches."""
    search_frames(searcher, [frame.tiled for frame in next(_batches(frames))])


def judge_maps(searched: Iterator[SearchedFrame], frames: Sequence[ValidationFrame], kind: MapKind) -> JudgedMaps:
    """Judge frames after their search: first the normal ones, which standardise the maps, then the abnormal ones.

    Raises CheckpointError where a reconstruction is not finite.
    """
    normal = [next(searched) for frame in frames if not frame.abnormal]
    check_finite(normal)
    statistics = _fine(pixel_statistics(normal, SCALES, kind))
    peaks, pixels, milliseconds = [], PixelCounts(), 0.0
    for frame, found in zip(frames, chain(normal, searched), strict=True):
        maps = statistics.maps(found)
        peaks.append(list(statistics.peaks(maps).values()))
        milliseconds += found.milliseconds["search"]
        if frame.mask is not None:
            pixels.add(maps.max(axis=0), frame.mask)
    return JudgedMaps(
        _scores(np.array(peaks, np.float64), len(normal)),
        pixels.curves() if pixels.complete else None,
        milliseconds / sum(len(frame.tiled.tiles) for frame in frames),
    )


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

"""Calibrate a searcher on held-out normal frames.

A third of the frames fixes means, standard deviations, pixel statistics and, with abnormal validation frames, weights.
The other frames, which had no part in that, fix the thresholds. So a new normal frame is exchangeable with the frames
behind the threshold, or its part with theirs, and the promise of `thresholds` holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from latentline.errors import CheckpointError, DatasetError
from latentline.scoring.calibration import FALSE_ALARM_RATE, Calibration, Component, Validation
from latentline.scoring.compared_frames import PAPER, ComparedFrames, PartLabels, Values, compared_frames
from latentline.scoring.components import frame_components
from latentline.scoring.frame_maps import FrameMaps, MapScales, RawMaps
from latentline.scoring.held_out import FEWEST_STANDARDISING, too_few_to_standardise
from latentline.scoring.maps import PATCH, PixelStatistics
from latentline.scoring.pixel_statistics import SCALES, pixel_statistics
from latentline.scoring.thresholds import Tail, promise, threshold
from latentline.search.searched_frame import MapKind, SearchedFrame
from latentline.search.searcher import Searcher
from latentline.search.tiler import FrameTiler
from latentline.vision.images import mean_grey

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
ScoreKind = Literal["calibrated", "paper"]
MapWatcher = Callable[[PixelStatistics, Float], None]  # statistics and maps [K, h, w] of a frame, as they name them


def _unwatched(_: PixelStatistics, __: Float) -> None:
    """Nobody wants the maps of a frame."""


@dataclass(frozen=True)
class Calibrated:
    """A calibration and the pixel statistics it belongs to, with the frames behind the threshold.

    normal_scores      [n] their anomaly scores
    normal_brightness  [n] their mean grey levels, in the same order
    map_scales         of those maps beside the search that have a weight
    """

    calibration: Calibration
    statistics: PixelStatistics
    normal_scores: npt.NDArray[np.float64]
    normal_brightness: npt.NDArray[np.float64]
    map_scales: MapScales = field(default_factory=lambda: MapScales({}))


@dataclass(frozen=True)
class Weighed:
    """A score without thresholds (they are 0), and the frames behind it; None for the paper's score."""

    calibrated: Calibrated
    compared: ComparedFrames | None


def calibrate(
    searcher: Searcher,
    tiler: FrameTiler,
    standardising: Iterable[UInt8],
    scored: Iterable[UInt8],
    false_alarm_rate: float,
    *,
    map: MapKind = "residual",
    score: ScoreKind = "calibrated",
    validation: Iterable[UInt8] = (),
    synthetic: Iterable[UInt8] = (),
    shown: Iterable[UInt8] = (),
    weights: Values | None = None,
    parts: PartLabels = (None, None),
    scored_parts: Sequence[str] | None = None,
    tail: Tail = "exact",
    beside: FrameMaps | None = None,
) -> Calibrated:
    """Search both sets of normal frames, and fix everything that a station needs to score a frame.

    map        which difference of frame and reconstruction the anomaly map shows
    score      calibrated, or paper: L'(ẑ) alone
    validation, synthetic  abnormal frames, real and synthetic, that training did not see: they fix the weights;
               synthetic frame i was made from standardising frame i, beginning again after the last
    shown      made from the same frames, with the kinds of defects that a discriminator was trained on
    weights    of components where there is no abnormal frame; None: all alike, without the coarse maps
    parts      the part that each frame shows, of `standardising` and of `validation`; None: each its own
    scored_parts  the same of `scored`; the thresholds promise something about new parts where these are enough
    tail       what the thresholds assume of the largest scores
    beside     maps of whole frames that join those of the search, where enough abnormal frames say that they help;
               the paper's score has none
    Raises DatasetError when there are too few frames to standardise (8) or for the promised rate, CheckpointError when
    the model is broken.
    """
    weighed = weigh(
        searcher,
        tiler,
        standardising,
        map=map,
        score=score,
        validation=validation,
        synthetic=synthetic,
        shown=shown,
        weights=weights,
        parts=parts,
        beside=beside,
    )
    return with_thresholds(searcher, tiler, weighed.calibrated, scored, false_alarm_rate, scored_parts, tail, beside)


def weigh(
    searcher: Searcher,
    tiler: FrameTiler,
    standardising: Iterable[UInt8],
    *,
    map: MapKind = "residual",
    score: ScoreKind = "calibrated",
    validation: Iterable[UInt8] = (),
    synthetic: Iterable[UInt8] = (),
    shown: Iterable[UInt8] = (),
    weights: Values | None = None,
    parts: PartLabels = (None, None),
    beside: FrameMaps | None = None,
    watch: MapWatcher = _unwatched,
) -> Weighed:
    """A score without thresholds: means, standard deviations, pixel statistics and weights; all else as in `calibrate`.

    watch  gets the maps of each frame, all that there are before weights choose: of the normal frames, the validation
           frames, and the synthetic ones
    """
    raw_maps = _nothing if beside is None or score == "paper" else beside.raw_maps
    pairs = [(found, raw_maps(frame)) for frame, found in tiler.search_each(searcher, standardising)]
    searched = [found for found, _ in pairs]
    if len(searched) < FEWEST_STANDARDISING:
        raise DatasetError(too_few_to_standardise(len(searched)))
    check_finite(searched)
    scales = MapScales.of([raw for _, raw in pairs])
    compared = None
    if score == "paper":
        statistics, components, why = _paper(searched)
    else:
        statistics = pixel_statistics(searched, SCALES, map)

        def values(found: SearchedFrame, raw: RawMaps, watch: MapWatcher = watch) -> Values:
            maps = statistics.maps(found)
            watch(statistics, maps)
            return frame_components(found, maps, statistics) | scales.values(raw)

        normal = [values(found, raw) for found, raw in pairs]
        real, made = (
            [values(found, raw_maps(frame)) for frame, found in tiler.search_each(searcher, frames)]
            for frames in (validation, synthetic)
        )
        seen = [values(found, raw_maps(frame), _unwatched) for frame, found in tiler.search_each(searcher, shown)]
        compared = compared_frames(normal, real, made, weights, parts, frozenset(scales.scales), seen)
        components, why = compared.weighted()
        looked = any(found.look is not None for found in searched)
        statistics = statistics.only(_mapped(components, statistics, why, looked))
    provisional = Calibration(
        components=components,
        threshold=0.0,
        map_threshold=0.0,
        false_alarm_rate=FALSE_ALARM_RATE,
        scored_normals=1,
        standardised_normals=len(searched),
        validation=why,
    )
    beside_scales = scales.only({component.name for component in components})
    return Weighed(Calibrated(provisional, statistics, np.empty(0), np.empty(0), beside_scales), compared)


def with_thresholds(
    searcher: Searcher,
    tiler: FrameTiler,
    weighted: Calibrated,
    scored: Iterable[UInt8],
    false_alarm_rate: float,
    parts: Sequence[str] | None = None,
    tail: Tail = "exact",
    beside: FrameMaps | None = None,
) -> Calibrated:
    """The score of `weighted` with thresholds from `scored`, normal frames that had no part in it, by this searcher.

    parts  that these frames show, `tail` and `beside`: as in `calibrate`
    Raises DatasetError when there are too few frames for the promised rate.
    """
    statistics, scales = weighted.statistics, weighted.map_scales
    scores, peaks, brightness = [], [], []
    for frame, result in tiler.search_each(searcher, scored):
        maps = statistics.maps(result)
        raw = {} if beside is None or not scales.scales else beside.raw_maps(frame)
        values = frame_components(result, maps, statistics) | scales.values(raw)
        scores.append(weighted.calibration.score(values)[0])
        peaks.append(max(float(maps.max()), scales.peak(raw)))
        brightness.append(mean_grey(frame))
    normal_scores = np.array(scores, dtype=np.float64)
    shown = [str(i) for i in range(len(scores))] if parts is None else list(parts)
    promised = promise(len(scores), len(set(shown)), false_alarm_rate, tail)
    update = {
        "threshold": threshold(normal_scores, shown, promised),
        "map_threshold": threshold(np.array(peaks), shown, promised),
        "false_alarm_rate": false_alarm_rate,
        "scored_normals": len(scores),
        "promise": promised,
    }
    calibration = weighted.calibration.model_copy(update=update)
    return Calibrated(calibration, statistics, normal_scores, np.array(brightness), scales)


def _nothing(_: UInt8) -> RawMaps:
    """The maps beside a search that has none beside it."""
    return {}


def check_finite(searched: Sequence[SearchedFrame]) -> None:
    """Raise CheckpointError when a reconstruction of these normal frames is not finite."""
    if not all(np.isfinite(e.result.reconstruction).all() for e in searched):
        raise CheckpointError(
            "the model's reconstructions of normal images are not finite; it is broken: train it again"
        )


def _paper(searched: Sequence[SearchedFrame]) -> tuple[PixelStatistics, tuple[Component, ...], None]:
    """The paper's score: L'(ẑ) unscaled, beside a map of |x − G(ẑ)| that is not pooled."""
    if searched[0].result.loss is None:
        raise DatasetError("score paper is the loss of a GAN's search, and this model has none; use score calibrated")
    statistics = pixel_statistics(searched, (0.0,), "residual")
    return replace(statistics, patch_statistics=None), (Component(name=PAPER, mean=0.0, std=1.0, weight=1.0),), None


def _mapped(
    components: Sequence[Component], statistics: PixelStatistics, why: Validation | None, looked: bool
) -> set[str]:
    """The maps that a station computes: those in the score, and at least one pooled map, to locate defects.

    looked  some tiles are not searched; there the patch head's map alone shows anything, whatever the score makes of it
    """
    scored = {c.name for c in components} & set(statistics.names)
    pooled = [name for name in statistics.names if name != PATCH]
    if not scored & set(pooled):
        alone = {} if why is None else why.component_auroc
        scored.add(max(pooled, key=lambda name: alone.get(name, 0.0)))
    return scored | {PATCH} if looked else scored

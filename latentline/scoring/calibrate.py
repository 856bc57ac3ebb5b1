"""Calibrate a searcher on held-out normal frames.

A third of the frames fixes means, standard deviations, pixel statistics and, with abnormal validation frames, weights.
The other frames, which had no part in that, fix the thresholds. So a new normal frame is exchangeable with the frames
behind the threshold, or its part with theirs, and the promise of `thresholds` holds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from latentline.errors import CheckpointError, DatasetError
from latentline.scoring.calibration import FALSE_ALARM_RATE, Calibration, Component, Validation
from latentline.scoring.components import frame_components
from latentline.scoring.frame_maps import FrameMaps, MapScales, RawMaps
from latentline.scoring.maps import PATCH, PixelStatistics, pool
from latentline.scoring.thresholds import Tail, promise, threshold, too_few
from latentline.scoring.weights import FEWEST_ABNORMAL, choose_weights, unseen_scores
from latentline.search.searched_frame import MapKind, SearchedFrame
from latentline.search.searcher import Searcher
from latentline.search.tiler import FrameTiler
from latentline.vision.images import mean_grey

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
Values = Mapping[str, float]
ScoreKind = Literal["calibrated", "paper"]
PartLabels = tuple[Sequence[str] | None, Sequence[str] | None]
MapWatcher = Callable[[PixelStatistics, Float], None]  # statistics and maps [K, h, w] of a frame, as they name them

SCALES = (1.0, 2.0, 4.0, 8.0, 16.0)  # px
COARSE = ("_8px", "_16px")  # no weight unless validation images ask for one: these scales cost a station the most time
STANDARDISING_SHARE = 1 / 3
FEWEST_STANDARDISING = 8
SMALLEST_STD = 0.2
PIXEL_SMOOTHING = 2.0  # px; a few dozen frames are too few for statistics of each pixel alone
EDGE = 2  # px
BLIND = 1e6  # model range; residuals are below 2
PAPER = "loss"


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
class ComparedFrames:
    """The components of the frames that fix the weights.

    mean, std  of each component's raw value on normal frames
    given      the weight of each where there are no abnormal frames
    values     [frames, K] standardised, of normal, abnormal and made frames
    parts      that the normal and the abnormal frames show
    """

    mean: Values
    std: Values
    given: Values
    values: tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.float64]]
    parts: PartLabels

    def weighted(self) -> tuple[tuple[Component, ...], Validation | None]:
        """The components with a weight, and the evidence for it."""
        weights, why = choose_weights(self.given, *self.values, self.parts)
        found = (Component(name=n, mean=self.mean[n], std=self.std[n], weight=w) for n, w in weights.items())
        return tuple(found), why

    def scores(self) -> npt.NDArray[np.float64]:
        """The score of each frame [N] with weights that were found without its part: normal, abnormal, made."""
        return np.concatenate(unseen_scores(self.given, *self.values, self.parts))


@dataclass(frozen=True)
class Weighed:
    """A score without thresholds (they are 0), and the frames behind it; None for the paper's score."""

    calibrated: Calibrated
    compared: ComparedFrames | None


def split_held_out(names: Sequence[str], groups: Mapping[str, str], seed: int) -> tuple[list[str], list[str]]:
    """Split held-out names into (standardising, scored), by whole parts and seeded.

    The first gets a third of the names, at least the 8 that standardising needs.
    groups  part by name; a name without one is a part of its own
    """
    rng = np.random.default_rng(seed)
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(groups.get(name, name), []).append(name)
    keys = sorted(members)
    standardising: list[str] = []
    order = [keys[i] for i in rng.permutation(len(keys))]
    while order and len(standardising) < max(FEWEST_STANDARDISING, STANDARDISING_SHARE * len(names)):
        standardising += members[order.pop()]
    return sorted(standardising), sorted(n for key in order for n in members[key])


def too_few_normals(standardising: int, scored: int, false_alarm_rate: float, tail: Tail = "exact") -> str | None:
    """Why these numbers of normal frames are too few to calibrate with, and what to do. None: they are enough."""
    if standardising < FEWEST_STANDARDISING:
        return _too_few_to_standardise(standardising)
    return too_few(scored, false_alarm_rate, tail)


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
    weights: Values | None = None,
    parts: PartLabels = (None, None),
    scored_parts: Sequence[str] | None = None,
    tail: Tail = "exact",
    beside: FrameMaps | None = None,
) -> Calibrated:
    """Search both sets of normal frames, and fix everything that a station needs to score a frame.

    map        which difference of frame and reconstruction the anomaly map shows
    score      calibrated, or paper: L'(ẑ) alone
    validation, synthetic  abnormal frames, real and synthetic, that training did not see: they fix the weights
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
    weights: Values | None = None,
    parts: PartLabels = (None, None),
    beside: FrameMaps | None = None,
    watch: MapWatcher = lambda statistics, maps: None,
) -> Weighed:
    """A score without thresholds: means, standard deviations, pixel statistics and weights; all else as in `calibrate`.

    watch  gets the maps of each frame, all that there are before weights choose: of the normal frames, the validation
           frames, and the synthetic ones
    """
    raw_maps = _nothing if beside is None or score == "paper" else beside.raw_maps
    pairs = [(found, raw_maps(frame)) for frame, found in tiler.search_each(searcher, standardising)]
    searched = [found for found, _ in pairs]
    if len(searched) < FEWEST_STANDARDISING:
        raise DatasetError(_too_few_to_standardise(len(searched)))
    check_finite(searched)
    scales = MapScales.of([raw for _, raw in pairs])
    compared = None
    if score == "paper":
        statistics, components, why = _paper(searched)
    else:
        statistics = pixel_statistics(searched, SCALES, map)

        def values(found: SearchedFrame, raw: RawMaps) -> Values:
            maps = statistics.maps(found)
            watch(statistics, maps)
            return frame_components(found.result, maps, statistics) | scales.values(raw)

        normal = [values(found, raw) for found, raw in pairs]
        real, made = (
            [values(found, raw_maps(frame)) for frame, found in tiler.search_each(searcher, frames)]
            for frames in (validation, synthetic)
        )
        compared = _compared(normal, real, made, weights, parts, frozenset(scales.scales))
        components, why = compared.weighted()
        statistics = statistics.only(_mapped(components, statistics, why))
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
        values = frame_components(result.result, maps, statistics) | scales.values(raw)
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


def _too_few_to_standardise(count: int) -> str:
    return (
        f"calibration needs at least {FEWEST_STANDARDISING} normal images to standardise the score, "
        f"and has {count}; hold out more images"
    )


def _paper(searched: Sequence[SearchedFrame]) -> tuple[PixelStatistics, tuple[Component, ...], None]:
    """The paper's score: L'(ẑ) unscaled, beside a map of |x − G(ẑ)| that is not pooled."""
    if searched[0].result.loss is None:
        raise DatasetError("score paper is the loss of a GAN's search, and this model has none; use score calibrated")
    statistics = pixel_statistics(searched, (0.0,), "residual")
    return replace(statistics, patch_statistics=None), (Component(name=PAPER, mean=0.0, std=1.0, weight=1.0),), None


def _compared(
    normal: Sequence[Values],
    real: Sequence[Values],
    synthetic: Sequence[Values],
    wanted: Values | None,
    parts: PartLabels,
    unproven: frozenset[str],
) -> ComparedFrames:
    """The components, standardised on the normal frames, and the weights that they have without abnormal ones.

    Raw values are logarithms and logits. A component whose standard deviation is below 0.2 hardly ever changes by a
    fifth of itself; standardised by that, it would outvote all others with changes of no consequence.

    unproven  components that have no weight where abnormal frames are too few to weigh them by
    """
    names = [name for name in normal[0] if name != PAPER]
    mean, std = ({n: float(f([v[n] for v in normal])) for n in names} for f in (np.mean, np.std))
    std = {name: max(value, SMALLEST_STD) for name, value in std.items()}
    low, high, made = (
        np.array([[(v[n] - mean[n]) / std[n] for n in names] for v in some], np.float64).reshape(-1, len(names))
        for some in (normal, real, synthetic)
    )
    given = {name: 0.0 if name.endswith(COARSE) else 1.0 for name in names}
    if wanted is not None:
        given = {name: wanted.get(name, 0.0) for name in names}
    if len(set(parts[1] or range(len(real)))) + len(made) < FEWEST_ABNORMAL:
        given = {name: 0.0 if name in unproven else weight for name, weight in given.items()}
    return ComparedFrames(mean, std, given, (low, high, made), parts)


def _mapped(components: Sequence[Component], statistics: PixelStatistics, why: Validation | None) -> set[str]:
    """The maps that a station computes: those in the score, and at least one pooled map, to locate defects."""
    scored = {c.name for c in components} & set(statistics.names)
    pooled = [name for name in statistics.names if name != PATCH]
    if not scored & set(pooled):
        alone = {} if why is None else why.component_auroc
        scored.add(max(pooled, key=lambda name: alone.get(name, 0.0)))
    return scored


def pixel_statistics(searched: Sequence[SearchedFrame], scales: tuple[float, ...], kind: MapKind) -> PixelStatistics:
    """Statistics of the difference at each tile pixel, and of its pooled maps."""
    differences = np.concatenate([e.difference(kind) for e in searched])  # [N, C, S, S]
    mean = _smooth(differences.mean(axis=0))
    variance = _smooth(np.square(differences - mean).mean(axis=0))
    std = _ignore_edge(np.sqrt(variance) + np.float32(1e-3))
    unscaled = PixelStatistics(mean, std, scales, np.ones(len(scales), np.float32), kind, _patch_statistics(searched))
    squares = np.stack([_mean_square(unscaled.planes(e), e) for e in searched])
    rms = np.sqrt(squares.mean(axis=0))[: len(scales)].astype(np.float32) + np.float32(1e-6)
    return replace(unscaled, pooled_std=rms)


def _mean_square(planes: Float, searched: SearchedFrame) -> Float:
    """Of each plane [N, h, w] where something was searched, [N]."""
    squares, share = np.square(planes), searched.searched_share()
    return np.asarray(squares.mean(axis=(1, 2)) if share is None else squares[:, share > 0].mean(axis=1))


def _ignore_edge(std: Float) -> Float:
    """Standard deviations [C, S, S] that ignore a tile's outermost pixels.

    Those are reconstructed worst. Inside a frame a neighbouring tile covers them; at the border of the frame none does,
    and the false alarms there cost more than two pixels are worth (magnetic tile, on the images that it was chosen on:
    AUROC of the 1 px map 0.82 instead of 0.76).
    """
    blind = np.full_like(std, BLIND)
    blind[:, EDGE:-EDGE, EDGE:-EDGE] = std[:, EDGE:-EDGE, EDGE:-EDGE]
    return blind


def _patch_statistics(searched: Sequence[SearchedFrame]) -> tuple[float, float] | None:
    patch_maps = [patch_map.ravel() for patch_map in (e.patch_map() for e in searched) if patch_map is not None]
    if not patch_maps:
        return None
    values = np.concatenate(patch_maps)
    return float(values.mean()), float(values.std()) + 1e-6


def _smooth(planes: Float) -> Float:
    return np.ascontiguousarray(pool(planes.transpose(1, 2, 0).astype(np.float32), PIXEL_SMOOTHING).transpose(2, 0, 1))

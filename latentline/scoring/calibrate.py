"""Calibrate a searcher on held-out normal frames.

A third of the frames fixes means, standard deviations, pixel statistics and, with abnormal validation frames, weights;
the others, untouched by that, fix the thresholds. So a new normal frame is exchangeable with the frames behind the
threshold, and the promise of `conformal_threshold` holds exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import numpy.typing as npt

from latentline.errors import CheckpointError, DatasetError
from latentline.scoring.calibration import Calibration, Component, Validation, conformal_threshold, too_few
from latentline.scoring.components import frame_components
from latentline.scoring.maps import PATCH, PixelStatistics, pool
from latentline.scoring.weights import weigh
from latentline.search.searched_frame import MapKind, SearchedFrame
from latentline.search.searcher import Searcher
from latentline.search.tiler import FrameTiler
from latentline.vision.images import mean_grey

Float = npt.NDArray[np.float32]
UInt8 = npt.NDArray[np.uint8]
Values = Mapping[str, float]
ScoreKind = Literal["calibrated", "paper"]
Parts = tuple[Sequence[str] | None, Sequence[str] | None]

SCALES = (1.0, 2.0, 4.0, 8.0, 16.0)  # px
COARSE = ("_8px", "_16px")  # without a weight until validation images ask for them: the station's time goes with scale
STANDARDISING_SHARE = 1 / 3
FEWEST_STANDARDISING = 8
SMALLEST_STD = 0.2
PIXEL_SMOOTHING = 2.0  # px; a few dozen frames are too few to know each pixel alone
EDGE = 2  # px
BLIND = 1e6  # model range; residuals are below 2
PAPER = "loss"


@dataclass(frozen=True)
class Calibrated:
    """Calibration, pixel statistics, and scores and mean grey levels of the frames behind the threshold (in order)."""

    calibration: Calibration
    statistics: PixelStatistics
    normal_scores: npt.NDArray[np.float64]
    normal_brightness: npt.NDArray[np.float64]


def share_out(names: Sequence[str], groups: Mapping[str, str], seed: int) -> tuple[list[str], list[str]]:
    """Split names into (standardising, scored) by whole groups, seeded: a third, or as many as standardising takes."""
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


def shortage(standardising: int, scored: int, false_alarm_rate: float) -> str | None:
    """Why so many normal frames are too few to calibrate with, and what to do; None where they are enough."""
    if standardising < FEWEST_STANDARDISING:
        return _too_few_to_standardise(standardising)
    return too_few(scored, false_alarm_rate)


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
    parts: Parts = (None, None),
) -> Calibrated:
    """Search both sets of normal frames and fix everything a station needs to judge a frame.

    map        which difference of frame and reconstruction makes the anomaly map
    score      calibrated, or paper: L'(ẑ) alone
    validation, synthetic  abnormal frames, real and made, that nothing was trained on: they fix the weights
    weights    of components, before any abnormal frame is seen (without any: the weights); None: all alike
    parts      which part each frame shows, of `standardising` and of `validation`; None: each a part of its own
    Raises DatasetError when there are too few frames to standardise (8) or for the promised rate, CheckpointError when
    the model is broken.
    """
    searched = [seen for _, seen in tiler.search_each(searcher, standardising)]
    if len(searched) < FEWEST_STANDARDISING:
        raise DatasetError(_too_few_to_standardise(len(searched)))
    if not all(np.isfinite(e.result.reconstruction).all() for e in searched):
        raise CheckpointError(
            "the model's reconstructions of normal images are not finite; it is broken: train it again"
        )
    if score == "paper":
        statistics, components, why = _paper(searched)
    else:
        statistics = pixel_statistics(searched, SCALES, map)
        normal = [_values(e, statistics) for e in searched]
        real, made = (
            [_values(seen, statistics) for _, seen in tiler.search_each(searcher, frames)]
            for frames in (validation, synthetic)
        )
        components, why = _weighted(normal, real, made, weights, parts)
        statistics = statistics.only(_shown(components, statistics, why))
    provisional = Calibration(
        components=components,
        threshold=0.0,
        map_threshold=0.0,
        false_alarm_rate=false_alarm_rate,
        scored_normals=1,
        standardised_normals=len(searched),
        validation=why,
    )
    scores, peaks, brightness = [], [], []
    for frame, seen in tiler.search_each(searcher, scored):
        maps = statistics.maps(seen)
        scores.append(provisional.score(frame_components(seen.result, maps, statistics))[0])
        peaks.append(float(maps.max()))
        brightness.append(mean_grey(frame))
    normal_scores = np.array(scores, dtype=np.float64)
    update = {
        "threshold": conformal_threshold(normal_scores, false_alarm_rate),
        "map_threshold": conformal_threshold(np.array(peaks), false_alarm_rate),
        "scored_normals": len(scores),
    }
    return Calibrated(provisional.model_copy(update=update), statistics, normal_scores, np.array(brightness))


def _too_few_to_standardise(count: int) -> str:
    return (
        f"calibration needs at least {FEWEST_STANDARDISING} normal images to standardise the score, "
        f"and has {count}; hold out more images"
    )


def _paper(searched: Sequence[SearchedFrame]) -> tuple[PixelStatistics, tuple[Component, ...], None]:
    """L'(ẑ) as it is, beside a map of |x − G(ẑ)| that is not pooled."""
    if searched[0].result.loss is None:
        raise DatasetError("score paper is the loss of a GAN's search, and this model has none; use score calibrated")
    statistics = pixel_statistics(searched, (0.0,), "residual")
    return replace(statistics, patch_statistics=None), (Component(name=PAPER, mean=0.0, std=1.0, weight=1.0),), None


def _weighted(
    normal: Sequence[Values],
    real: Sequence[Values],
    synthetic: Sequence[Values],
    wanted: Values | None,
    parts: Parts,
) -> tuple[tuple[Component, ...], Validation | None]:
    """Components with a weight, standardised on the normal frames.

    Raw values are logarithms and logits, so a standard deviation below 0.2 says that a component hardly ever changes
    by a fifth of itself: such a one would outvote all others with changes of no consequence.
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
    weights, why = weigh(given, low, high, made, parts)
    return tuple(Component(name=n, mean=mean[n], std=std[n], weight=w) for n, w in weights.items()), why


def _shown(components: Sequence[Component], statistics: PixelStatistics, why: Validation | None) -> set[str]:
    """Names of the maps that a station makes: those of the score, and one pooled in any case, to say where."""
    scored = {c.name for c in components} & set(statistics.names)
    pooled = [name for name in statistics.names if name != PATCH]
    if not scored & set(pooled):
        alone = {} if why is None else why.component_auroc
        scored.add(max(pooled, key=lambda name: alone.get(name, 0.0)))
    return scored


def pixel_statistics(searched: Sequence[SearchedFrame], scales: tuple[float, ...], kind: MapKind) -> PixelStatistics:
    """Mean and standard deviation of the difference per tile pixel, and of its pooled maps."""
    differences = np.concatenate([e.difference(kind) for e in searched])  # [N, C, S, S]
    mean = _smooth(differences.mean(axis=0))
    variance = _smooth(np.square(differences - mean).mean(axis=0))
    std = _blind_at_the_edge(np.sqrt(variance) + np.float32(1e-3))
    unscaled = PixelStatistics(mean, std, scales, np.ones(len(scales), np.float32), kind, _patch_statistics(searched))
    squares = np.stack([np.square(unscaled.planes(e)).mean(axis=(1, 2)) for e in searched])
    rms = np.sqrt(squares.mean(axis=0))[: len(scales)].astype(np.float32) + np.float32(1e-6)
    return replace(unscaled, pooled_std=rms)


def _blind_at_the_edge(std: Float) -> Float:
    """Standard deviations [C, S, S] that make nothing of a tile's outermost pixels.

    Those are reconstructed worst. Inside a frame neighbouring tiles know better; at its border none does, and the false
    alarms there cost more than two pixels are worth (magnetic tile, images that chose it: AUROC of the 1 px map from
    0.76 to 0.82).
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


def _values(searched: SearchedFrame, statistics: PixelStatistics) -> dict[str, float]:
    return frame_components(searched.result, statistics.maps(searched), statistics)

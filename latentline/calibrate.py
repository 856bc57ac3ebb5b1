"""Calibrate a searcher on held-out normal frames.

A third of the frames fixes means, standard deviations and pixel statistics; the others, untouched by that, fix the
thresholds. So a new normal frame is exchangeable with the frames behind the threshold, and the promise of
`conformal_threshold` holds exactly.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from latentline.calibration import Calibration, Component, conformal_threshold
from latentline.errors import DatasetError
from latentline.evidence import (
    Evidence,
    PixelStatistics,
    Viewer,
    frame_components,
    pool,
    residual_name,
)
from latentline.images import mean_grey
from latentline.searcher import Searcher

SCALES = (1.0, 2.0, 4.0)  # px
STANDARDISING_SHARE = 1 / 3
PIXEL_SMOOTHING = 2.0  # px; a few dozen frames are too few to know each pixel alone
DEFAULT_WEIGHTS: Mapping[str, float] = {
    **{residual_name(scale): 1 / len(SCALES) for scale in SCALES},
    "feature": 1.0,
    "d_reconstruction": 1.0,
    "d_frame": 1.0,
}


@dataclass(frozen=True)
class Calibrated:
    """Calibration, pixel statistics, and scores and mean grey levels of the frames behind the threshold (in order)."""

    calibration: Calibration
    statistics: PixelStatistics
    normal_scores: npt.NDArray[np.float64]
    normal_brightness: npt.NDArray[np.float64]


def share_out(names: Sequence[str], groups: Mapping[str, str], seed: int) -> tuple[list[str], list[str]]:
    """Split names into (standardising, scored) by whole groups, seeded."""
    rng = np.random.default_rng(seed)
    members: dict[str, list[str]] = {}
    for name in names:
        members.setdefault(groups.get(name, name), []).append(name)
    keys = sorted(members)
    standardising: list[str] = []
    order = [keys[i] for i in rng.permutation(len(keys))]
    while order and len(standardising) < STANDARDISING_SHARE * len(names):
        standardising += members[order.pop()]
    return sorted(standardising), sorted(n for key in order for n in members[key])


def calibrate(
    searcher: Searcher,
    viewer: Viewer,
    standardising: Iterable[npt.NDArray[np.uint8]],
    scored: Iterable[npt.NDArray[np.uint8]],
    false_alarm_rate: float,
    weights: Mapping[str, float] = DEFAULT_WEIGHTS,
) -> Calibrated:
    """Search both sets of normal frames and fix everything a station needs to judge a frame.

    Raises DatasetError when there are too few frames to standardise (8) or for the promised rate.
    """
    evidence = [viewer.search(searcher, frame) for frame in standardising]
    if len(evidence) < 8:
        raise DatasetError(
            f"calibration needs at least 8 normal images to standardise the score, and has {len(evidence)}"
        )
    statistics = pixel_statistics(evidence, SCALES)
    raw = [_values(e, statistics) for e in evidence]
    components = tuple(
        _component(name, [r[name] for r in raw], weight) for name, weight in weights.items() if weight > 0
    )
    draft = Calibration(
        components=components,
        threshold=0.0,
        map_threshold=0.0,
        false_alarm_rate=false_alarm_rate,
        scored_normals=1,
        standardised_normals=len(evidence),
    )
    scores, peaks, brightness = [], [], []
    for frame in scored:
        seen = viewer.search(searcher, frame)
        maps = statistics.maps(seen)
        scores.append(draft.score(frame_components(seen.result, maps, SCALES))[0])
        peaks.append(float(maps.max()))
        brightness.append(mean_grey(frame))
    normal_scores = np.array(scores, dtype=np.float64)
    update = {
        "threshold": conformal_threshold(normal_scores, false_alarm_rate),
        "map_threshold": conformal_threshold(np.array(peaks), false_alarm_rate),
        "scored_normals": len(scores),
    }
    return Calibrated(draft.model_copy(update=update), statistics, normal_scores, np.array(brightness))


def pixel_statistics(evidence: Sequence[Evidence], scales: tuple[float, ...]) -> PixelStatistics:
    """Mean and standard deviation of the residual per tile pixel, and of its pooled maps."""
    residuals = np.concatenate([e.residual for e in evidence])  # [N, C, S, S]
    mean = _smooth(residuals.mean(axis=0))
    variance = _smooth(np.square(residuals - mean).mean(axis=0))
    std = np.sqrt(variance) + np.float32(1e-3)
    unscaled = PixelStatistics(mean, std, scales, np.ones(len(scales), np.float32))
    squares = np.stack([np.square(unscaled.maps(e)).mean(axis=(1, 2)) for e in evidence])
    return PixelStatistics(mean, std, scales, np.sqrt(squares.mean(axis=0)).astype(np.float32) + np.float32(1e-6))


def _smooth(planes: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    return np.ascontiguousarray(pool(planes.transpose(1, 2, 0).astype(np.float32), PIXEL_SMOOTHING).transpose(2, 0, 1))


def _values(evidence: Evidence, statistics: PixelStatistics) -> dict[str, float]:
    return frame_components(evidence.result, statistics.maps(evidence), statistics.scales)


def _component(name: str, values: list[float], weight: float) -> Component:
    return Component(name=name, mean=float(np.mean(values)), std=float(np.std(values)) + 1e-6, weight=weight)

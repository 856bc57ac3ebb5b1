"""Fit a verdict: the direction from normal to abnormal features, in the space where normal ones have the covariance 1.

A linear discriminant in closed form. Each known part counts once, however many of its patches are abnormal. How much
the spread of the defects themselves turns the direction is chosen by parts that were left out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from pydantic import Field

from latentline.base.strict_yaml import StrictModel
from latentline.scoring.frame_maps import largest
from latentline.trunk.statistics import TrunkStatistics, verdict_map

Float = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

FEWEST_PARTS = 5  # abnormal; what fewer have in common cannot be told from chance
FOLDS = 5
RIDGES = (1.0, 10.0, 100.0, None)  # in units of a normal patch's variance; None: the mean difference itself
INSIDE = 0.25  # masked share of a position from which on it is abnormal; half the largest share where a defect is small


@dataclass(frozen=True)
class KnownDefect:
    """The features of one known-abnormal image.

    features  [C, h, w]
    share     [h, w] masked share of each position; None: there is no mask, so the whole image counts
    part      that it shows
    """

    features: Float
    share: Float | None
    part: str


class VerdictFit(StrictModel):
    """What a verdict was fitted to.

    images, parts  known-abnormal ones
    masks          whether their masks said which patches are abnormal; False: the verdict is on whole images
    ridge          added to the variance of the defects, in units of a normal patch's; None: their spread is ignored
    auroc          image AUROC on parts that were left out, against normal training images that were left out
    """

    images: int = Field(gt=0)
    parts: int = Field(gt=0)
    masks: bool
    ridge: float | None = Field(gt=0)
    auroc: float = Field(ge=0, le=1)


def verdict_obstacle(known: Sequence[KnownDefect]) -> str | None:
    """Why these known defects allow no verdict, in one sentence. None: they do."""
    parts = len({defect.part for defect in known})
    if parts >= FEWEST_PARTS:
        return None
    return (
        f"the trunk has no verdict, only a distance: a verdict needs known-abnormal training images of at least "
        f"{FEWEST_PARTS} parts, and has {len(known)} of {parts}"
    )


def fit_verdict(
    known: Sequence[KnownDefect], judging: TrunkStatistics, normal: Sequence[Float], statistics: TrunkStatistics
) -> tuple[TrunkStatistics, VerdictFit]:
    """`statistics` with the direction of the known defects, which are of at least 5 parts.

    judging, normal  a Gaussian, and features [C, h, w] of normal images that it was not fitted to, to choose the ridge
    """
    masked = [defect for defect in known if defect.share is not None]
    masks = len({defect.part for defect in masked}) >= FEWEST_PARTS
    used = masked if masks else list(known)
    judged = [_Whitened.of(defect, judging, masks) for defect in used]
    others = [judging.whitened(features) for features in normal]
    tried = [(_left_out_auroc(judged, others, ridge, masks), index) for index, ridge in enumerate(RIDGES)]
    auroc, index = max(tried)
    direction = _direction([_Whitened.of(defect, statistics, masks) for defect in used], RIDGES[index])
    fit = VerdictFit(images=len(used), parts=len({d.part for d in used}), masks=masks, ridge=RIDGES[index], auroc=auroc)
    return replace(statistics, direction=direction, located=masks), fit


@dataclass(frozen=True)
class _Whitened:
    """One known image: its whitened features [C, h, w], and the mean [C] of the abnormal ones."""

    white: Float
    mean: Float64
    part: str

    @classmethod
    def of(cls, defect: KnownDefect, statistics: TrunkStatistics, masks: bool) -> _Whitened:
        white = statistics.whitened(defect.features)
        inside = np.ones(white.shape[1:], np.bool_)
        if masks:
            assert defect.share is not None
            inside = defect.share >= min(INSIDE, float(defect.share.max()) / 2)
        return cls(white, white[:, inside].mean(axis=1, dtype=np.float64), defect.part)


def _direction(known: Sequence[_Whitened], ridge: float | None) -> Float:
    """(S + ridge)⁻¹ m of length 1, with mean m and covariance S of the parts."""
    parts: dict[str, list[Float64]] = {}
    for defect in known:
        parts.setdefault(defect.part, []).append(defect.mean)
    means = np.stack([np.mean(some, axis=0) for some in parts.values()])
    mean = means.mean(axis=0)
    if ridge is None:
        found = mean
    else:
        centred = means - mean
        # (ridge + A'A/n)⁻¹ m = (m − A' (n ridge + AA')⁻¹ A m) / ridge: a system of as many rows as there are parts
        inner = np.linalg.solve(ridge * len(means) * np.eye(len(means)) + centred @ centred.T, centred @ mean)
        found = mean - centred.T @ inner
    return np.asarray(found / max(float(np.linalg.norm(found)), 1e-12), np.float32)


def _left_out_auroc(known: Sequence[_Whitened], normal: Sequence[Float], ridge: float | None, located: bool) -> float:
    """P(the verdict on a known image is larger than on a normal one), for directions fitted without its part."""
    parts = sorted({defect.part for defect in known})
    wins, pairs = 0.0, 0
    for fold in range(FOLDS):
        held = set(parts[fold::FOLDS])
        left_out = [defect for defect in known if defect.part in held]
        direction = _direction([defect for defect in known if defect.part not in held], ridge)
        low = np.array([largest(verdict_map(white, direction, located)) for white in normal])
        high = np.array([largest(verdict_map(defect.white, direction, located)) for defect in left_out])
        difference = high[:, None] - low[None, :]
        wins += float(np.sum((difference > 0) + 0.5 * (difference == 0)))
        pairs += difference.size
    return wins / pairs

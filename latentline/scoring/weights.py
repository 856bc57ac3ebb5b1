"""Weights of score components, from what each tells of validation images.

What a component tells is how many standard deviations it sets abnormal images apart from normal ones. One that is no
better than chance gets no weight. For components that are independent, normally distributed and equally wide, weights
in this proportion are the best there are. Members of a family (`d_`, `residual_`, `trunk_` …: what stands before the
first _) are alike, so a family weighs as much as its best member, shared by what each member tells.

Nothing is fitted jointly: on our data sets no regression, no largest value and no sum of tail probabilities was better
on images that had no part in it, and each was far worse somewhere. All images of one part count as one image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from latentline.scoring.calibration import Validation
from latentline.scoring.thresholds import part_weights

Float = npt.NDArray[np.float64]
Side = tuple[Float, npt.NDArray[np.str_]]  # standardised components [images, K] and the part of each image [images]

FEWEST_ABNORMAL = 5  # parts; fewer are no basis for weights
DOUBT = 0.5  # standard errors of an AUROC, by which a component is taken for worse than it looks
SMALLEST_SHARE = 0.03  # of all weight; a component below it is not worth computing
FOLDS = 5


def choose_weights(
    given: Mapping[str, float],
    normal: Float,
    real: Float,
    synthetic: Float,
    parts: tuple[Sequence[str] | None, Sequence[str] | None] = (None, None),
) -> tuple[dict[str, float], Validation | None]:
    """Weights of the components that keep one, sum 1, and the evidence for them (None without abnormal images).

    given  weight of each component where abnormal images show fewer than 5 parts, or nothing tells them from normal
           ones; at least 0, some above
    normal, real, synthetic  [images, len(given)] standardised components; the last two of abnormal images
    parts  the part that each image shows, of `normal` and of `real`; None: each its own
    """
    names, kept = tuple(given), np.array(list(given.values())) / sum(given.values())
    low, known, made = _side(normal, parts[0]), _side(real, parts[1]), _side(synthetic, None)
    found = _weights(names, low, (known, made))
    weights = kept if found is None else found
    chosen = {name: float(weight) for name, weight in zip(names, weights, strict=True) if weight > 0}
    abnormal = np.concatenate([real, synthetic])
    if not len(abnormal):
        return chosen, None
    scores = _cross_validated(names, kept, low, (known, made))
    return chosen, Validation(
        normals=len(normal),
        abnormals=len(real),
        synthetic=len(synthetic),
        component_auroc={name: auroc(normal[:, i], abnormal[:, i]) for i, name in enumerate(names)},
        given_auroc=auroc(normal @ kept, abnormal @ kept),
        fitted_auroc=None if found is None else auroc(scores[0], np.concatenate(scores[1:])),
        dropped=tuple(name for name in names if name not in chosen),
    )


def unseen_scores(
    given: Mapping[str, float],
    normal: Float,
    real: Float,
    synthetic: Float,
    parts: tuple[Sequence[str] | None, Sequence[str] | None] = (None, None),
) -> list[Float]:
    """Scores of the normal, real and synthetic images, each by weights that were found without its part.

    Arguments are those of `choose_weights`.
    """
    kept = np.array(list(given.values())) / sum(given.values())
    sides = _side(normal, parts[0]), _side(real, parts[1]), _side(synthetic, None)
    return _cross_validated(tuple(given), kept, sides[0], sides[1:])


def separation(normal: Float, abnormal: Float, lows: Float, highs: Float, doubt: float = DOUBT) -> float:
    """How many standard deviations apart the classes surely are, at least 0: of their AUROC less `doubt` errors.

    Each image has the share of its part in `lows` or `highs`, so that the standard error (Hanley & McNeil 1982) counts
    parts. Classes without an overlap count as if half a part had one.
    """
    low, high = lows.sum(), highs.sum()
    difference = abnormal[:, None] - normal[None, :]
    area = float(highs @ ((difference > 0) + 0.5 * (difference == 0)) @ lows / (low * high))
    variance = area * (1 - area) + (high - 1) * (area / (2 - area) - area**2)
    variance += (low - 1) * (2 * area**2 / (1 + area) - area**2)
    error = float(np.sqrt(max(variance, 0.0) / (low * high)))
    sure = min(area - doubt * error, 1 - 1 / (2 * max(low, high)))
    return float(np.sqrt(2)) * NormalDist().inv_cdf(sure) if sure > 0.5 else 0.0


def auroc(normal: Float, abnormal: Float) -> float:
    """P(an abnormal value is larger than a normal one), ties counting half."""
    difference = abnormal[:, None] - normal[None, :]
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def _weights(names: Sequence[str], normal: Side, abnormal: Sequence[Side]) -> Float | None:
    """Weights [K], sum 1; None where abnormal images are of too few parts, or no component tells anything.

    Real and made defects count the same, however many there are of each; a kind of fewer than 5 parts joins the other.
    """
    if any(_count(side) < FEWEST_ABNORMAL for side in abnormal):
        abnormal = [_joined(abnormal)]
    if _count(abnormal[0]) < FEWEST_ABNORMAL:
        return None
    told = _told(normal, abnormal, DOUBT)
    if not told.any():  # rather what looks best than everything alike
        told = _told(normal, abnormal, 0.0)
    if not told.any():
        return None
    families = np.array([name.partition("_")[0] for name in names])
    weights = np.zeros(len(names))
    for family in sorted(set(families)):
        members = families == family
        if told[members].any():
            weights[members] = told[members] * told[members].max() / told[members].sum()
    kept = np.where(weights >= SMALLEST_SHARE * weights.sum(), weights, 0)
    return np.asarray(kept / kept.sum())


def _told(normal: Side, abnormal: Sequence[Side], doubt: float) -> Float:
    """What each component tells [K]: the mean over the kinds of abnormal images."""
    lows = part_weights(list(normal[1]))
    separations = [
        [separation(normal[0][:, i], x[:, i], lows, part_weights(list(parts)), doubt) for i in range(x.shape[1])]
        for x, parts in abnormal
    ]
    return np.asarray(np.mean(separations, axis=0), np.float64)


def _side(images: Float, parts: Sequence[str] | None) -> Side:
    return images, np.arange(len(images)).astype(str) if parts is None else np.array(parts, dtype=str)


def _joined(sides: Sequence[Side]) -> Side:
    """Images of both kinds as one kind; no part is of both."""
    names = [np.char.add(f"{i} ", parts) for i, (_, parts) in enumerate(sides)]
    return np.concatenate([x for x, _ in sides]), np.concatenate(names)


def _count(side: Side) -> int:
    return len(set(side[1]))


def _cross_validated(names: Sequence[str], kept: Float, normal: Side, abnormal: Sequence[Side]) -> list[Float]:
    """Scores of each side, each image scored by weights that were found without its part."""
    sides = [normal if _count(normal) > 1 else _side(normal[0], None), *abnormal]  # of a single part nothing is left
    folds = [np.unique(parts, return_inverse=True)[1] % FOLDS for _, parts in sides]
    scores = [np.zeros(len(x)) for x, _ in sides]
    for fold in range(FOLDS):
        rest = [(x[f != fold], parts[f != fold]) for (x, parts), f in zip(sides, folds, strict=True)]
        found = _weights(names, rest[0], rest[1:])
        for (x, _), f, score in zip(sides, folds, scores, strict=True):
            score[f == fold] = x[f == fold] @ (kept if found is None else found)
    return scores

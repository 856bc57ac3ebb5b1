"""Weights of score components, from what each tells of validation images.

What a component tells is how many standard deviations it sets abnormal images apart from normal ones. One that is no
better than chance gets no weight. For components that are independent, normally distributed and equally wide, weights
in this proportion are the best there are. Members of a family (`d_`, `residual_`, `trunk_` …: what stands before the
first _) are alike, so a family weighs as much as its best member, shared by what each member tells.

A made defect is compared with the image that it was put on: `made_wins`. Nothing is fitted jointly: on our data sets
no regression, no largest value and no sum of tail probabilities was better on images that had no part in it, and each
was far worse somewhere. All images of one part count as one image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from latentline.scoring.calibration import Validation
from latentline.scoring.carried import told_of_made
from latentline.scoring.thresholds import part_weights
from latentline.scoring.wins import made_wins, wins

Float = npt.NDArray[np.float64]
Side = tuple[Float, npt.NDArray[np.str_]]  # a row of K numbers for each image, and the part of each image [images]

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
    shown: Float | None = None,
) -> tuple[dict[str, float], Validation | None]:
    """Weights of the components that keep one, sum 1, and the evidence for them (None without abnormal images).

    given  weight of each component where abnormal images show fewer than 5 parts, or nothing tells them from normal
           ones; at least 0, some above
    normal, real, synthetic  [images, len(given)] standardised components; the last two of abnormal images, of which
           synthetic image i was made from normal image i, beginning again after the last
    parts  the part that each image shows, of `normal` and of `real`; None: each its own
    shown  as `synthetic`, with defects of the kinds that a discriminator was trained on; None: of no kind
    """
    names, kept = tuple(given), np.array(list(given.values())) / sum(given.values())
    low, known, made = _side(normal, parts[0]), _side(real, parts[1]), _made_sides(normal, synthetic, shown)
    found = _weights(names, low, known, made)
    weights = kept if found is None else found
    chosen = {name: float(weight) for name, weight in zip(names, weights, strict=True) if weight > 0}
    abnormal = np.concatenate([real, synthetic])
    if not len(abnormal):
        return chosen, None
    scores = _cross_validated(names, kept, low, known, (synthetic, shown))
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
    shown: Float | None = None,
) -> list[Float]:
    """Scores of the normal, real and synthetic images, each by weights that were found without its part.

    Arguments are those of `choose_weights`.
    """
    kept = np.array(list(given.values())) / sum(given.values())
    sides = _side(normal, parts[0]), _side(real, parts[1])
    return _cross_validated(tuple(given), kept, *sides, (synthetic, shown))


def separation(won: Float, highs: Float, low: float, doubt: float = DOUBT) -> float:
    """How many standard deviations abnormal images surely lie above normal ones, at least 0.

    It is that of their AUROC less `doubt` standard errors.

    won    [n] P(each abnormal image is larger than a normal one)
    highs  [n] the share of each in its part, so that the standard error (Hanley & McNeil 1982) counts parts
    low    parts of the normal images
    Classes without an overlap count as if half a part had one.
    """
    high = highs.sum()
    area = float(highs @ won / high)
    variance = area * (1 - area) + (high - 1) * (area / (2 - area) - area**2)
    variance += (low - 1) * (2 * area**2 / (1 + area) - area**2)
    error = float(np.sqrt(max(variance, 0.0) / (low * high)))
    sure = min(area - doubt * error, 1 - 1 / (2 * max(low, high)))
    return float(np.sqrt(2)) * NormalDist().inv_cdf(sure) if sure > 0.5 else 0.0


def auroc(normal: Float, abnormal: Float) -> float:
    """P(an abnormal value is larger than a normal one), ties counting half."""
    difference = abnormal[:, None] - normal[None, :]
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def _weights(names: Sequence[str], normal: Side, known: Side, made: tuple[Side, Side]) -> Float | None:
    """Weights [K], sum 1; None where abnormal images are of too few parts, or no component tells anything.

    made  the changes that the made defects are, of kinds that no training is shown and of the others
    Real and made defects count the same, however many there are of each; a kind of fewer than 5 parts joins the other.
    """
    families, shares = [name.partition("_")[0] for name in names], part_weights(list(normal[1]))
    unseen, shown = ((made_wins(normal[0], changes, shares), parts) for changes, parts in made)
    won = [(wins(normal[0], known[0], shares), known[1]), unseen]
    if any(_count(side) < FEWEST_ABNORMAL for side in won):
        won = [_joined(won)]
    if _count(won[0]) < FEWEST_ABNORMAL:
        return None
    for doubt in (DOUBT, 0.0):  # rather what looks best than everything alike
        told = [_told(side, shares.sum(), doubt) for side in won]
        if _count(shown):
            told[-1] = told_of_made(families, told[-1], _told(shown, shares.sum(), doubt))
        mean = np.mean(told, axis=0)
        if mean.any():
            return _shared(families, mean)
    return None


def _shared(families: Sequence[str], told: Float) -> Float:
    """Weights [K], sum 1, from what each component tells [K]."""
    weights, of = np.zeros(len(told)), np.array(families)
    for family in sorted(set(families)):
        members = of == family
        if told[members].any():
            weights[members] = told[members] * told[members].max() / told[members].sum()
    kept = np.where(weights >= SMALLEST_SHARE * weights.sum(), weights, 0)
    return np.asarray(kept / kept.sum())


def _told(won: Side, low: float, doubt: float) -> Float:
    """What each component tells [K]; `low` as in `separation`."""
    highs = part_weights(list(won[1]))
    return np.array([separation(column, highs, low, doubt) for column in won[0].T])


def _sources(normals: int, made: int) -> npt.NDArray[np.intp]:
    """From which normal image each made one comes."""
    return np.arange(made) % normals


def _made_sides(normal: Float, synthetic: Float, shown: Float | None) -> tuple[Side, Side]:
    """What made defects of both sorts add to the images that they were put on."""
    made = (synthetic, synthetic[:0] if shown is None else shown)
    first, second = (_side(x - normal[_sources(len(normal), len(x))], None) for x in made)
    return first, second


def _side(images: Float, parts: Sequence[str] | None) -> Side:
    return images, np.arange(len(images)).astype(str) if parts is None else np.array(parts, dtype=str)


def _joined(sides: Sequence[Side]) -> Side:
    """Images of both kinds as one kind; no part is of both."""
    names = [np.char.add(f"{i} ", parts) for i, (_, parts) in enumerate(sides)]
    return np.concatenate([x for x, _ in sides]), np.concatenate(names)


def _count(side: Side) -> int:
    return len(set(side[1]))


def _cross_validated(
    names: Sequence[str], kept: Float, normal: Side, known: Side, made: tuple[Float, Float | None]
) -> list[Float]:
    """Scores of normal, real and synthetic images, each scored by weights that were found without its part.

    made  the synthetic images, and `shown`
    """
    low = normal if _count(normal) > 1 else _side(normal[0], None)  # of a single part nothing is left
    changes = _made_sides(low[0], *made)
    folds = [np.unique(parts, return_inverse=True)[1] % FOLDS for _, parts in (low, known)]
    folds += [folds[0][_sources(len(low[0]), len(x))] for x, _ in changes]
    images = (low[0], known[0], made[0])
    scores = [np.zeros(len(x)) for x in images]
    for fold in range(FOLDS):
        sides = zip((low, known, *changes), folds, strict=True)
        rest = [(x[f != fold], parts[f != fold]) for (x, parts), f in sides]
        found = _weights(names, rest[0], rest[1], (rest[2], rest[3]))
        for x, f, score in zip(images, folds, scores, strict=False):
            score[f == fold] = x[f == fold] @ (kept if found is None else found)
    return scores

"""Fit the weights of score components to validation images. Needs SciPy, so a station does not import it.

A logistic regression of normal against abnormal on the standardised components. Weights are not negative: a component
that is not larger for abnormal frames is noise. A Gaussian prior, `FREEDOM` times the mean weight wide, keeps weights
near given ones: few images move them little, many images move them far, and there is no strength to tune. All images of
one part together count as one image. Deterministic.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from latentline.scoring.calibration import Validation

Float = npt.NDArray[np.float64]
Labels = npt.NDArray[np.int64]

FEWEST_ABNORMAL = 5  # parts; fewer are no basis for weights
FREEDOM = 2.0  # on magnetic tile 1 moves too little with 30 abnormal images, and 4 is no better
STEEPEST = 10.0  # width of the prior of the slope, which would be infinite for images that separate perfectly
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

    given  prior weight of each component, at least 0, some above
    normal, real, synthetic  [images, len(given)] standardised components; the last two of abnormal images
    parts  the part that each image shows, of `normal` and of `real`; None: each its own
    """
    labels = _labels(parts[0], len(normal)), _labels(parts[1], len(real))
    made = np.arange(len(synthetic)) + 1 + labels[1].max(initial=-1)
    groups = labels[0], np.concatenate([labels[1], made])
    names, start = tuple(given), np.array(list(given.values())) / sum(given.values())
    abnormal = np.concatenate([real, synthetic])
    weights = fit_weights(normal, abnormal, start, groups)
    chosen = {name: float(weight) for name, weight in zip(names, weights, strict=True) if weight > 0}
    if not len(abnormal):
        return chosen, None
    return chosen, Validation(
        normals=len(normal),
        abnormals=len(real),
        synthetic=len(synthetic),
        component_auroc={name: auroc(normal[:, i], abnormal[:, i]) for i, name in enumerate(names)},
        given_auroc=auroc(normal @ start, abnormal @ start),
        fitted_auroc=_cross_validated_auroc(normal, abnormal, start, groups) if _enough(groups) else None,
        dropped=tuple(name for name in names if name not in chosen),
    )


def fit_weights(normal: Float, abnormal: Float, start: Float, groups: tuple[Labels, Labels] | None = None) -> Float:
    """Weights [K], sum 1, near `start` [K], sum 1; `start` itself when fewer than 5 parts are abnormal.

    normal, abnormal  [images, K] standardised components. Each side counts as many images as the smaller has parts.
    groups            the part of each image, by number; None: each its own
    """
    groups = groups or (np.arange(len(normal)), np.arange(len(abnormal)))
    if not _enough(groups):
        return start
    x = np.concatenate([normal, abnormal])
    sign = np.repeat([-1.0, 1.0], [len(normal), len(abnormal)])
    shares = [_shares(side) for side in groups]
    fewer = min(side.sum() for side in shares)
    count = np.concatenate([side * fewer / side.sum() for side in shares])

    def cost(parameters: Float) -> tuple[float, Float]:
        """−log posterior and its gradient, at intercept, slope of the score, and weights in units of their mean."""
        intercept, slope, weights = parameters[0], parameters[1], parameters[2:]
        score = x @ weights / len(start)
        margin = sign * (slope * score + intercept)
        away = (weights - start * len(start)) / FREEDOM
        pull = -count * sign * np.exp(-np.logaddexp(0, margin))
        value = count @ np.logaddexp(0, -margin) + 0.5 * away @ away + 0.5 * (slope / STEEPEST) ** 2
        by_weight = slope * (pull @ x) / len(start) + away / FREEDOM
        return float(value), np.concatenate([[pull.sum(), pull @ score + slope / STEEPEST**2], by_weight])

    first = np.concatenate([[0.0, 1.0], start * len(start)])
    bounds = [(None, None), *[(0.0, None)] * (1 + len(start))]
    found = np.asarray(minimize(cost, first, jac=True, method="L-BFGS-B", bounds=bounds).x)[2:]
    kept = np.where(found >= SMALLEST_SHARE * found.sum(), found, 0)
    return np.asarray(kept / kept.sum()) if kept.any() else start


def auroc(normal: Float, abnormal: Float) -> float:
    """P(an abnormal value is larger than a normal one), ties counting half."""
    difference = abnormal[:, None] - normal[None, :]
    return float(np.mean((difference > 0) + 0.5 * (difference == 0)))


def _labels(parts: Sequence[str] | None, count: int) -> Labels:
    """A number for each part, in the order of the names."""
    return np.arange(count) if parts is None else np.unique(np.array(parts, dtype=str), return_inverse=True)[1]


def _shares(groups: Labels) -> Float:
    """The share of each image in its part. The shares add up to the number of parts."""
    return np.asarray(1 / np.bincount(groups)[groups], np.float64)


def _enough(groups: tuple[Labels, Labels]) -> bool:
    return len(np.unique(groups[1])) >= FEWEST_ABNORMAL


def _cross_validated_auroc(normal: Float, abnormal: Float, start: Float, groups: tuple[Labels, Labels]) -> float:
    """AUROC of the score with each image scored by weights that were fitted without its part."""
    scores = np.zeros(len(normal)), np.zeros(len(abnormal))
    for fold in range(FOLDS):
        held, out = (side % FOLDS == fold for side in groups)
        weights = fit_weights(normal[~held], abnormal[~out], start, (groups[0][~held], groups[1][~out]))
        scores[0][held], scores[1][out] = normal[held] @ weights, abnormal[out] @ weights
    return auroc(*scores)

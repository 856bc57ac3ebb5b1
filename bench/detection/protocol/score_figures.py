"""AUROC and F1-max of one value on a test set, and their means over several test sets, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from trainer.evaluation.figures import ImageFigures
from trainer.evaluation.intervals import Estimate
from trainer.evaluation.metrics import f1_max, weighted_auroc, weighted_f1_max
from trainer.evaluation.report import GOOD, Scores

Float = npt.NDArray[np.float64]
SCORE = "score"  # names the anomaly score where a component could stand


@dataclass(frozen=True)
class ScoreFigures:
    """Figures of one value (the score or a component) on one test set.

    aurocs, f1_maxima  the same figures of each resample; the intervals are their quantiles
    """

    auroc: Estimate
    f1_max: Estimate
    aurocs: Float
    f1_maxima: Float


def score_figures(scores: Scores, value: str = SCORE) -> ScoreFigures | None:
    """Figures of `value` (as in `values_of`); None when an image has no such value."""
    images, values = ImageFigures.of(scores.images), values_of(scores, value)
    if values is None:
        return None
    abnormal, weights = images.abnormal, images.weights.astype(np.float64)
    return ScoreFigures(
        images.auroc(values),
        images.estimate(f1_max(values[~abnormal], values[abnormal])[0], weighted_f1_max, values),
        weighted_auroc(values, abnormal, weights),
        weighted_f1_max(values, abnormal, weights),
    )


def auroc_by_kind(scores: Scores, value: str = SCORE) -> dict[str, Estimate]:
    """Image AUROC of all test images ("all"), and of each kind of defect against all normal ones."""
    images, values = ImageFigures.of(scores.images), values_of(scores, value)
    if values is None:
        return {}
    kinds = [kind for kind in scores.kinds if kind != GOOD]
    return {"all": images.auroc(values), **{kind: images.auroc(values, kind) for kind in kinds}}


def values_of(scores: Scores, value: str) -> Float | None:
    """The values [N] of all images: of the score, or of the raw component `value`.

    A name that ends in "_" means the first component whose name begins so. None when an image has no such value.
    """
    images = list(scores.images.values())
    if value == SCORE:
        return np.array([image.score for image in images])
    if value.endswith("_"):
        value = next((name for name in images[0].components if name.startswith(value)), value)
    return None if any(value not in i.components for i in images) else np.array([i.components[value] for i in images])


def mean_over_sets(sets: Mapping[str, ScoreFigures], figure: str) -> Estimate:
    """Mean of "auroc" or "f1_max" over the sets; the interval is of the means of their resamples.

    Each set is resampled by itself. The interval does not cover that other sets could have been chosen.
    """
    resampled = {"auroc": [j.aurocs for j in sets.values()], "f1_max": [j.f1_maxima for j in sets.values()]}[figure]
    means = np.mean(resampled, axis=0)
    value = float(np.mean([getattr(j, figure).value for j in sets.values()]))
    low, high = np.quantile(means, (0.025, 0.975))
    return Estimate(value=value, low=float(low), high=float(high))


def paired_gain(better: Mapping[str, ScoreFigures], worse: Mapping[str, ScoreFigures]) -> Estimate:
    """Mean gain in AUROC over the sets that both have. Resamples are paired: both draw the same images."""
    shared = [name for name in better if name in worse]
    gains = np.mean([better[name].aurocs - worse[name].aurocs for name in shared], axis=0)
    value = float(np.mean([better[name].auroc.value - worse[name].auroc.value for name in shared]))
    low, high = np.quantile(gains, (0.025, 0.975))
    return Estimate(value=value, low=float(low), high=float(high))

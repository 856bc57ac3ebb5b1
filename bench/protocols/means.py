"""A figure of several test sets, and the mean over them with its interval."""

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
SCORE = "score"  # the name of the score among the components


@dataclass(frozen=True)
class Judged:
    """One test set judged by one value: its figures, and those of the resamples behind the intervals."""

    auroc: Estimate
    f1_max: Estimate
    aurocs: Float
    f1_maxima: Float


def judged(scores: Scores, value: str = SCORE) -> Judged | None:
    """Figures of `value`, as in `values_of`; None where an image has no such value."""
    images, values = ImageFigures.of(scores.images), values_of(scores, value)
    if values is None:
        return None
    abnormal, weights = images.abnormal, images.weights.astype(np.float64)
    return Judged(
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
    """The score, or a raw component by name or, ending in "_", the first whose name begins so; [N] or None."""
    images = list(scores.images.values())
    if value == SCORE:
        return np.array([image.score for image in images])
    if value.endswith("_"):
        value = next((name for name in images[0].components if name.startswith(value)), value)
    return None if any(value not in i.components for i in images) else np.array([i.components[value] for i in images])


def mean_of(sets: Mapping[str, Judged], figure: str) -> Estimate:
    """Mean of "auroc" or "f1_max" over the sets; the interval is of the means of their resamples.

    The sets are resampled independently of one another; that there might have been other sets is not in it.
    """
    resampled = {"auroc": [j.aurocs for j in sets.values()], "f1_max": [j.f1_maxima for j in sets.values()]}[figure]
    means = np.mean(resampled, axis=0)
    value = float(np.mean([getattr(j, figure).value for j in sets.values()]))
    low, high = np.quantile(means, (0.025, 0.975))
    return Estimate(value=value, low=float(low), high=float(high))


def paired_gain(better: Mapping[str, Judged], worse: Mapping[str, Judged]) -> Estimate:
    """Mean gain in AUROC over the sets that both have; their resamples draw the same images."""
    shared = [name for name in better if name in worse]
    gains = np.mean([better[name].aurocs - worse[name].aurocs for name in shared], axis=0)
    value = float(np.mean([better[name].auroc.value - worse[name].auroc.value for name in shared]))
    low, high = np.quantile(gains, (0.025, 0.975))
    return Estimate(value=value, low=float(low), high=float(high))

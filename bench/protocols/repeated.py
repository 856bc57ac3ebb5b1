"""Means over trainings that differ by seed, and so by split: the interval is over the parts of all their test images.

A resample draws parts once for all trainings, for these share most of them; what a training's own chance adds is in the
mean, and shrinks with their number.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainer.evaluation.intervals import Estimate, Weights, estimate, resample
from trainer.evaluation.metrics import weighted_auroc
from trainer.evaluation.report import GOOD, Scores


def mean_auroc(trainings: Sequence[Scores], less: Sequence[Scores] | None = None) -> Estimate:
    """Mean image AUROC; with `less` (one for each, of the same images) that of the differences."""
    others: Sequence[Scores | None] = less or [None] * len(trainings)
    parts = sorted({(image.kind, image.group) for scores in trainings for image in scores.images.values()})
    place = {part: index for index, part in enumerate(parts)}
    sides = [_Side(scores, other, place) for scores, other in zip(trainings, others, strict=True)]

    def statistic(weights: Weights) -> Weights:
        return np.mean([side.auroc(weights) for side in sides], axis=0)

    value = float(statistic(np.ones((1, len(parts))))[0])
    return estimate(value, statistic, resample(*map(list, zip(*parts, strict=True))))


class _Side:
    """One training's scores, and where the part of each image stands among all."""

    def __init__(self, scores: Scores, less: Scores | None, place: dict[tuple[str, str], int]) -> None:
        images = scores.images
        if less is not None and less.images.keys() != images.keys():
            raise ValueError("differences are of the same images")
        self._parts = np.array([place[image.kind, image.group] for image in images.values()])
        self._abnormal = np.array([image.kind != GOOD for image in images.values()])
        self._ours = np.array([image.score for image in images.values()])
        self._theirs = None if less is None else np.array([less.images[name].score for name in images])

    def auroc(self, weights: Weights) -> Weights:
        """[n] of parts taken so many times each, weights [n, parts]."""
        taken = weights[:, self._parts]
        ours = weighted_auroc(self._ours, self._abnormal, taken)
        return ours if self._theirs is None else ours - weighted_auroc(self._theirs, self._abnormal, taken)

"""Means over trainings with different seeds, and so different splits, with intervals over the parts in their tests.

Each resample draws parts once for all trainings, because the trainings share most parts. The interval does not cover
the chance of the training itself; the mean reduces it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from trainer.evaluation.intervals import Estimate, Weights, estimate, resample
from trainer.evaluation.metrics import weighted_auroc
from trainer.evaluation.report import GOOD, Scores


def mean_auroc(trainings: Sequence[Scores], less: Sequence[Scores] | None = None) -> Estimate:
    """Mean image AUROC of the trainings; with `less`, one for each training on the same images, the mean difference.

    Raises ValueError when a pair has different images.
    """
    others: Sequence[Scores | None] = less or [None] * len(trainings)
    parts = sorted({(image.kind, image.group) for scores in trainings for image in scores.images.values()})
    place = {part: index for index, part in enumerate(parts)}
    trainings_scores = [_SeedScores(scores, other, place) for scores, other in zip(trainings, others, strict=True)]

    def statistic(weights: Weights) -> Weights:
        mean: Weights = np.mean([training.auroc(weights) for training in trainings_scores], axis=0)
        return mean

    value = float(statistic(np.ones((1, len(parts))))[0])
    return estimate(value, statistic, resample([kind for kind, _ in parts], [group for _, group in parts]))


class _SeedScores:
    """Scores of one training, and the index of each image's part among all parts."""

    def __init__(self, scores: Scores, less: Scores | None, place: dict[tuple[str, str], int]) -> None:
        images = scores.images
        if less is not None and less.images.keys() != images.keys():
            raise ValueError("a difference needs the same images on both sides")
        self._parts = np.array([place[image.kind, image.group] for image in images.values()])
        self._abnormal = np.array([image.kind != GOOD for image in images.values()])
        self._ours = np.array([image.score for image in images.values()])
        self._theirs = None if less is None else np.array([less.images[name].score for name in images])

    def auroc(self, weights: Weights) -> Weights:
        """AUROC [n] of n resamples; weights [n, parts] say how often each part was drawn."""
        taken = weights[:, self._parts]
        ours = weighted_auroc(self._ours, self._abnormal, taken)
        return ours if self._theirs is None else ours - weighted_auroc(self._theirs, self._abnormal, taken)

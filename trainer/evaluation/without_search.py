"""Compare two evaluations of the same test images: after a search, and without one."""

from __future__ import annotations

from trainer.evaluation.accumulator import EvaluationAccumulator
from trainer.evaluation.compare import difference
from trainer.evaluation.intervals import Estimate
from trainer.evaluation.search_gain import SearchGain


def search_gain(searched: EvaluationAccumulator, without: EvaluationAccumulator) -> SearchGain:
    """What the search gave: image and pixel AUROC of `searched` minus those of `without`, and seconds per image."""
    return SearchGain(
        image_auroc=difference(without.scores(), searched.scores()).value,
        pixel_auroc=_pixel_gain(searched, without),
        seconds_with=searched.seconds / len(searched.scores().images),
        seconds_without=without.seconds / len(without.scores().images),
    )


def _pixel_gain(searched: EvaluationAccumulator, without: EvaluationAccumulator) -> Estimate | None:
    ours, theirs = searched.pixel_figures(), without.pixel_figures().whole
    if theirs is None or searched.counted != without.counted:
        return None
    return ours.estimate(lambda curves, weights: curves.auroc(weights) - theirs.auroc(weights))

"""The rule of `tune`: the fastest setting within the budget that detects as well as any there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from latentline.scoring.tuning import Outcome, RangedFigure, TunedSetting, TuningTrial
from trainer.evaluation.judged_score import JudgedScore
from trainer.evaluation.search_rule import FrameLabels, PairedFigures, image_auroc_of, resampled

EQUAL = 0.005  # of an AUROC


@dataclass(frozen=True)
class TriedSetting:
    """A setting with its median time of a frame; judged: None where it is far above the budget."""

    setting: TunedSetting
    milliseconds: float
    judged: JudgedScore | None


def choose_setting(tried: Sequence[TriedSetting], labels: FrameLabels, budget: float, seed: int) -> list[TuningTrial]:
    """All settings, the fastest first, with their figures; at least one is within the budget.

    Chosen is the fastest one within the budget that is as good as the best there in image AUROC and in pixel AUROC;
    where none is in both, image AUROC decides.
    """
    ordered = sorted(tried, key=lambda t: (t.milliseconds, t.setting.iterations, t.setting.overlap))
    affordable = [t for t in ordered if t.judged is not None and t.milliseconds <= budget]
    scores = [t.judged.scores for t in affordable if t.judged is not None]
    images = PairedFigures([image_auroc_of(s, labels) for s in scores], resampled(labels, seed))
    curves = [t.judged.pixels for t in affordable if t.judged is not None and t.judged.pixels is not None]
    pixels = PairedFigures([c.auroc for c in curves], resampled(labels, seed, labels.counted)) if curves else None
    alike = [i for i in range(len(affordable)) if _as_good(images, i)]
    good = [i for i in alike if pixels is None or _as_good(pixels, i)] or alike
    trials = []
    for index, found in enumerate(affordable):
        outcome: Outcome = "chosen" if index == good[0] else "slower" if index in good else "worse"
        trials.append(
            TuningTrial(
                setting=found.setting,
                milliseconds=found.milliseconds,
                image_auroc=RangedFigure.model_validate(dict(images.interval(index))),
                pixel_auroc=None if pixels is None else pixels.values[index],
                image_gain=images.gain(index, images.best),
                pixel_gain=None if pixels is None else pixels.gain(index, pixels.best),
                outcome=outcome,
            )
        )
    above = [t for t in ordered if t not in affordable]
    return [*trials, *(_over(t, labels, seed) for t in above)]


def _as_good(figures: PairedFigures, index: int) -> bool:
    """Whether a setting is at most 0.005 below the best, and not below it beyond noise.

    Noise alone would not do: with few images nearly everything passes, and the fastest would always win.
    """
    return figures.values[index] >= figures.values[figures.best] - EQUAL and not figures.is_worse(index)


def _over(found: TriedSetting, labels: FrameLabels, seed: int) -> TuningTrial:
    """A setting above the budget, with its image AUROC where it was near enough to be judged."""
    auroc = None
    if found.judged is not None:
        images = PairedFigures([image_auroc_of(found.judged.scores, labels)], resampled(labels, seed))
        auroc = RangedFigure.model_validate(dict(images.interval(0)))
    return TuningTrial(
        setting=found.setting, milliseconds=found.milliseconds, image_auroc=auroc, outcome="over the budget"
    )

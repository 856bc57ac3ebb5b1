"""Trials that nobody has run."""

from __future__ import annotations

from trainer.choose.trial import Trial
from trainer.evaluation.intervals import Estimate
from trainer.evaluation.report import EvaluationReport


def trial_of(method: str, image: float, pixel: float, seconds: float) -> Trial:
    """A whole trial at 128 px with these figures; `seconds` an image."""
    report = EvaluationReport(
        name=method,
        method=method,
        backend="reference",
        iterations=0,
        normal_images=20,
        abnormal_images={"made-spot": 20},
        pixel_images=20,
        image_auroc=Estimate(value=image),
        image_auroc_by_defect={},
        component_auroc={},
        f1_max=None,
        f1_max_threshold=None,
        pixel_auroc=Estimate(value=pixel),
        pixel_auroc_by_defect={},
        aupro=None,
        aupro_by_defect={},
        confusion=None,
        seconds_per_image=seconds,
    )
    return Trial(method=method, height=128, share=1, minutes=1, evaluation=0.5, least=0.75, tiles=4, report=report)

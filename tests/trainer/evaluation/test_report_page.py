"""What the first sentences of a report advise."""

import pytest

from trainer.evaluation.intervals import Estimate
from trainer.evaluation.report import Confusion, EvaluationReport
from trainer.evaluation.report_page import outcome

FOUND = Estimate(value=1.0, low=1.0, high=1.0)
LOST = Estimate(value=0.505, low=0.19, high=0.791)


def _report(detected: int, auroc: float, by_defect: dict[str, Estimate]) -> EvaluationReport:
    """Fourteen abnormal images, of which `detected` are found, and fifteen normal ones without a false alarm."""
    found = Confusion(
        threshold=1.0,
        promised_false_alarm_rate=0.05,
        accepted=15,
        false_alarms=0,
        detected=detected,
        missed=14 - detected,
        false_alarm_rate=None,
        detection_rate=None,
    )
    return EvaluationReport(
        name="screws",
        method="pca",
        backend="reference",
        iterations=0,
        normal_images=15,
        abnormal_images=dict.fromkeys(by_defect, 7),
        pixel_images=0,
        image_auroc=Estimate(value=auroc),
        image_auroc_by_defect=by_defect,
        component_auroc={},
        f1_max=None,
        f1_max_threshold=None,
        pixel_auroc=None,
        pixel_auroc_by_defect={},
        aupro=None,
        aupro_by_defect={},
        confusion=found,
        seconds_per_image=0.01,
    )


@pytest.mark.parametrize(
    "detected,auroc,by_defect,advice",
    [
        (14, 1.0, {"burr": FOUND, "dent": FOUND}, "go on with `latentline-export package`"),
        (8, 0.75, {"burr": FOUND, "dent": LOST}, "hardly tells dent (image AUROC 0.505 [0.190, 0.791]) from normal"),
        (2, 0.6, {"burr": LOST, "dent": LOST}, "does not tell them apart"),
        (2, 0.99, {"burr": FOUND, "dent": FOUND}, "it is the threshold that misses them"),
    ],
    ids=["all is well", "one kind is lost", "most are lost", "the threshold misses"],
)
def test_the_advice_follows_what_was_found(
    detected: int, auroc: float, by_defect: dict[str, Estimate], advice: str
) -> None:
    """Nobody is sent on to the export with a kind of defect that is found no better than by chance."""
    said = outcome(_report(detected, auroc, by_defect))
    assert said is not None and advice in said
    assert ("latentline-train choose" in said) == ("does not tell" in said or "hardly tells" in said)

"""Tables of detectors over several seeds: means with their spread, every seed, kinds of defect."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.detection.protocol.comparison import report_cells
from bench.detection.protocol.seed_means import mean_auroc
from bench.detection.protocol.tables import Cell, Table
from trainer.evaluation.intervals import Estimate
from trainer.evaluation.report import EvaluationReport, Scores

LEGEND = (
    "Brackets: 95 % intervals over the parts in the test images (bootstrap); of rates exact ones, over images. ±: the "
    "standard deviation over the seeds, each with its own split, known-abnormal images and weights."
)
Rows = Mapping[str, "Sequence[DetectorResult]"]


@dataclass(frozen=True)
class DetectorResult:
    """What one detector, a model or a baseline, did with one seed.

    known             known-abnormal images that it was shown, those for the weights of the score included
    training_seconds  None: not known
    reference         scores of the squared pooled input on the same images, for the gain; None: the gain is of no use
    """

    seed: int
    known: int
    report: EvaluationReport
    scores: Scores
    training_seconds: float | None
    reference: Scores | None = None


class SeedMean(Estimate):
    """A mean over seeds with the standard deviation over them; None for a single seed."""

    spread: float | None = None

    def __str__(self) -> str:
        text = f"{self.value:.3f}" + ("" if self.spread is None else f" ± {self.spread:.3f}")
        return text + ("" if self.low is None else f" [{self.low:.3f}, {self.high:.3f}]")


def seed_tables(rows: Rows) -> list[Table]:
    """Means over the seeds; every seed; means of each kind of defect, where there are several."""
    means, each, kinds = Table("means over seeds"), Table("every seed"), Table("means by kind of defect")
    for name, results in rows.items():
        means.add(name, _means(results))
        kinds.add(name, _kind_means(results))
        for result in results:
            cells = {"known": str(result.known), **report_cells(result.report, result.training_seconds)}
            each.add(f"{name}, seed {result.seed}", cells)
    several = any(len(r.report.abnormal_images) > 1 for results in rows.values() for r in results)
    return [means, each, kinds] if several else [means, each]


def _means(results: Sequence[DetectorResult]) -> dict[str, Cell]:
    reports = [result.report for result in results]
    confusions = [report.confusion for report in reports if report.confusion is not None]
    training = [result.training_seconds for result in results if result.training_seconds is not None]
    return {
        "seeds": ", ".join(str(result.seed) for result in results),
        "known": ", ".join(dict.fromkeys(str(result.known) for result in results)),
        "image AUROC": _image_auroc(results),
        "F1-max": _mean(reports, lambda report: report.f1_max),
        "pixel AUROC": _mean(reports, lambda report: report.pixel_auroc),
        "AUPRO": _mean(reports, lambda report: report.aupro),
        "false alarms": mean_of([c.false_alarm_rate for c in confusions]),
        "promised": confusions[0].promised_false_alarm_rate if confusions else None,
        "detected": mean_of([c.detection_rate for c in confusions]),
        "training, min": float(np.mean(training)) / 60 if training else None,
        "ms an image": 1e3 * float(np.mean([report.seconds_per_image for report in reports])),
        "gain on pooled input, squared": _gain(results),
    }


def _kind_means(results: Sequence[DetectorResult]) -> dict[str, Cell]:
    cells: dict[str, Cell] = {}
    reports = [result.report for result in results]
    for title, figure in (("AUROC", "image_auroc_by_defect"), ("AUPRO", "aupro_by_defect")):
        for kind in sorted({kind for report in reports for kind in getattr(report, figure)}):
            cells[f"{title} {kind}"] = mean_of([getattr(report, figure).get(kind) for report in reports])
    return cells


def _mean(
    reports: Sequence[EvaluationReport], figure: Callable[[EvaluationReport], Estimate | None]
) -> SeedMean | None:
    return mean_of([figure(report) for report in reports])


def mean_of(estimates: Sequence[Estimate | None], interval: Estimate | None = None) -> SeedMean | None:
    """Mean and spread of the estimates that there are, with the ends of `interval`; None where there is none."""
    values = [estimate.value for estimate in estimates if estimate is not None]
    if not values:
        return None
    ends = {} if interval is None else {"low": interval.low, "high": interval.high}
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return SeedMean(value=float(np.mean(values)), spread=spread, **ends)


def _image_auroc(results: Sequence[DetectorResult]) -> SeedMean | None:
    estimates = [result.report.image_auroc for result in results]
    if None in estimates:
        return None
    return mean_of(estimates, mean_auroc([result.scores for result in results]))


def _gain(results: Sequence[DetectorResult]) -> Estimate | None:
    """Mean gain in image AUROC on the squared pooled input: what the model adds to its own statistic."""
    references = [result.reference for result in results if result.reference is not None]
    if len(references) < len(results) or any(result.report.image_auroc is None for result in results):
        return None
    return mean_auroc([result.scores for result in results], references)

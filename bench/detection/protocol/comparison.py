"""Methods side by side on the same test images, with the baselines below them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from bench.baselines.choice import all_baselines
from bench.baselines.evaluation import BaselineResults, baseline_results
from bench.detection.protocol.jobs import Job, finished_jobs
from bench.detection.protocol.options import budget_notes
from bench.detection.protocol.tables import Cell, Table, write_tables
from trainer.evaluation.compare import difference
from trainer.evaluation.report import EvaluationReport, Scores


def compare_methods(headline: str, jobs: Mapping[str, Job], options: argparse.Namespace) -> str:
    """Finish the jobs, evaluate the baselines on the images of the first one, write the tables and return them.

    All jobs must have the same test images.
    """
    done = finished_jobs(jobs, options.workers, report_only=options.report_only)
    first = next(iter(jobs.values())).config
    baselines, missing = baseline_results(first, options.out, all_baselines().all, options.limit)
    reports: dict[str, EvaluationReport] = {}
    figures, kinds = Table("figures"), Table("by kind of defect")
    for name, job in done.items():
        reports[name], scores = job.results()
        figures.add(name, report_cells(reports[name], job.training_seconds()))
        figures.add(name, {"images shown": f"{job.images_shown():,}", **_gains(scores, baselines)})
    for name, found in baselines.items():
        reports[f"no model: {name}"] = found.report
        figures.add(f"no model: {name}", report_cells(found.report, found.training_seconds))
    for name, report in reports.items():
        kinds.add(name, {f"AUROC {kind}": value for kind, value in report.image_auroc_by_defect.items()})
        kinds.add(name, {f"AUPRO {kind}": value for kind, value in report.aupro_by_defect.items()})
    notes = {**budget_notes(options), **({"left out": "; ".join(missing)} if missing else {})}
    notes["budget"] = "the table has the images shown; within one schedule all phases are shortened by the same factor"
    several = any(len(report.abnormal_images) > 1 for report in reports.values())
    return write_tables(options.out, headline, notes, [figures, kinds] if several else [figures])


def report_cells(report: EvaluationReport, training_seconds: float | None = None) -> dict[str, Cell]:
    """The columns of a table of methods."""
    confusion = report.confusion
    return {
        "image AUROC": report.image_auroc,
        "F1-max": report.f1_max,
        "pixel AUROC": report.pixel_auroc,
        "AUPRO": report.aupro,
        "false alarms": None if confusion is None else confusion.false_alarm_rate,
        "promised": None if confusion is None else confusion.promised_false_alarm_rate,
        "detected": None if confusion is None else confusion.detection_rate,
        "training, min": None if training_seconds is None else training_seconds / 60,
        "ms an image": 1e3 * report.seconds_per_image,
        "1 − D(x) alone, image AUROC": report.component_auroc.get("d_frame"),
        "L' alone, image AUROC": report.component_auroc.get("loss"),
        "n": str(report.iterations) if report.iterations else None,
    }


def _gains(scores: Scores, baselines: Mapping[str, BaselineResults]) -> dict[str, Cell]:
    """Image AUROC minus that of each pooled input, on the same images: what the model adds to its own statistic."""
    inputs = {name: found.scores for name, found in baselines.items() if name.startswith("pooled")}
    return {f"gain on {name}": difference(theirs, scores).value for name, theirs in inputs.items()}

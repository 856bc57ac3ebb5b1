"""Methods side by side on the same test images, with the baselines below them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping

from bench.baselines.evaluation import ALL, EvaluationResults, baseline_results
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
    baselines, missing = baseline_results(first, options.out, ALL, options.limit)
    rows: dict[str, tuple[EvaluationReport, Scores, Job | None]] = {}
    rows |= {name: (*job.results(), job) for name, job in done.items()}
    rows |= {f"no model: {name}": (*results, None) for name, results in baselines.items()}
    figures, kinds = Table("figures"), Table("by kind of defect")
    for name, (report, scores, job) in rows.items():
        figures.add(name, {**report_cells(report, job), **({} if job is None else _gains(scores, baselines))})
        kinds.add(name, {f"AUROC {kind}": value for kind, value in report.image_auroc_by_defect.items()})
        kinds.add(name, {f"AUPRO {kind}": value for kind, value in report.aupro_by_defect.items()})
    notes = {**budget_notes(options), **({"left out": "; ".join(missing)} if missing else {})}
    notes["budget"] = "the table has the images shown; within one schedule all phases are shortened by the same factor"
    several = any(len(report.abnormal_images) > 1 for report, _, _ in rows.values())
    return write_tables(options.out, headline, notes, [figures, kinds] if several else [figures])


def report_cells(report: EvaluationReport, job: Job | None = None) -> dict[str, Cell]:
    """The columns of a table of methods."""
    return {
        "image AUROC": report.image_auroc,
        "F1-max": report.f1_max,
        "pixel AUROC": report.pixel_auroc,
        "AUPRO": report.aupro,
        "1 − D(x) alone, image AUROC": report.component_auroc.get("d_frame"),
        "L' alone, image AUROC": report.component_auroc.get("loss"),
        "n": str(report.iterations),
        "images shown": None if job is None else f"{job.images_shown():,}",
        "training, min": None if job is None else job.training_seconds() / 60,
        "s an image": report.seconds_per_image,
    }


def _gains(scores: Scores, baselines: Mapping[str, EvaluationResults]) -> dict[str, Cell]:
    """Image AUROC minus that of each pooled input, on the same images: what the model adds to its own statistic."""
    inputs = {name: results[1] for name, results in baselines.items() if name.startswith("pooled")}
    return {f"gain on {name}": difference(theirs, scores).value for name, theirs in inputs.items()}

"""What the command lines of the benches have in common."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Literal

from baselines.base import Baseline, judge
from baselines.feature_knn import FeatureKnn
from baselines.patch_pca import PatchPca
from baselines.pooled import PooledInput

from latentline.base.arguments import count
from latentline.errors import BackendError
from protocols.runs import Job, finish_all
from protocols.tables import Cell, Table, write_tables
from trainer.config import TrainConfig
from trainer.evaluation.compare import difference
from trainer.evaluation.report import EvaluationReport, Scores, read_results

Maker = Callable[[TrainConfig], Baseline]
Results = tuple[EvaluationReport, Scores]


def _pooled(kind: Literal["residual", "l2"]) -> Maker:
    return lambda config: PooledInput(kind, config.network.resolution, config.search.overlap)


PLAIN: tuple[Maker, ...] = (_pooled("residual"), _pooled("l2"), lambda _: PatchPca())
ALL: tuple[Maker, ...] = (*PLAIN, lambda _: FeatureKnn())


def parser(doc: str | None) -> argparse.ArgumentParser:
    """DATA, OUT and the budget; what a bench asks beside comes after."""
    made = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("data", type=Path, help="root of the images")
    made.add_argument("out", type=Path, help="folder for runs and results; finished runs in it are kept")
    made.add_argument("--images", type=count, help="budget of a training, in images shown (default: the YAML's)")
    made.add_argument("--iterations", type=count, help="of the search (default: the YAML's)")
    made.add_argument("--limit", type=count, help="at most so many test images of each kind, seeded")
    made.add_argument("--seed", type=count, default=0, help="of trainings and splits (0)")
    made.add_argument("--workers", type=count, default=2, help="runs at a time, one thread each (2)")
    made.add_argument("--report-only", action="store_true", help="tables of the runs that are finished")
    return made


def finished(jobs: dict[str, Job], options: argparse.Namespace) -> dict[str, Job]:
    """Finish all jobs, or with --report-only none; gives those with results."""
    if not options.report_only:
        finish_all(list(jobs.values()), options.workers)
    return {name: job for name, job in jobs.items() if job.finished}


def baseline_results(
    config: TrainConfig, out: Path, makers: Sequence[Maker], limit: int | None = None
) -> tuple[dict[str, Results], list[str]]:
    """Results of baselines on the images of `config`, and a sentence for each that cannot run here.

    Kept in folders under `out`, others for another limit, and read from there the next time.
    """
    place = out / ("baselines" if limit is None else f"baselines-{limit}")
    results: dict[str, Results] = {}
    missing: list[str] = []
    for make in makers:
        try:
            baseline = make(config)
        except BackendError as error:
            missing.append(str(error))
            continue
        folder = place / folder_name(baseline)
        if not (folder / "scores.json").is_file():
            judge(baseline, config, folder, limit)
        results[baseline.name] = read_results(folder)
    return results, missing


def folder_name(baseline: Baseline) -> str:
    """Of its evaluation."""
    return baseline.name.replace(",", "").replace(" ", "-")


def budget(options: argparse.Namespace) -> dict[str, str]:
    """What the command line changed, for the notes of a table."""
    images = "the configuration's" if options.images is None else f"{options.images} images a training"
    test = "all test images" if options.limit is None else f"at most {options.limit} test images of each kind, seeded"
    return {"budget": images, "test": test, "seed": str(options.seed)}


def changed(options: argparse.Namespace, **more: object) -> dict[str, object]:
    """Changes that the command line makes to every configuration, by dotted key ("__" in `more` stands for the dot)."""
    given = {name.replace("__", "."): value for name, value in more.items()}
    return {"data.root": str(options.data.resolve()), "schedule.seed": options.seed, **given}


def gains(scores: Scores, plain: Mapping[str, Results]) -> dict[str, Cell]:
    """Image AUROC less that of each pooled input, on the same images: what a model adds to its own statistic."""
    inputs = {name: results[1] for name, results in plain.items() if name.startswith("pooled")}
    return {f"gain on {name}": difference(theirs, scores).value for name, theirs in inputs.items()}


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


def compare_methods(headline: str, jobs: dict[str, Job], options: argparse.Namespace) -> str:
    """Finish the jobs, judge the baselines on the images of the first, write and give the tables.

    All jobs must be tested on the same images.
    """
    done = finished(jobs, options)
    first = next(iter(jobs.values())).config
    baselines, missing = baseline_results(first, options.out, ALL, options.limit)
    rows = {name: (*job.results(), job) for name, job in done.items()}
    rows |= {f"no model: {name}": (*results, None) for name, results in baselines.items()}
    figures, kinds = Table("figures"), Table("by kind of defect")
    for name, (report, scores, job) in rows.items():
        figures.add(name, {**report_cells(report, job), **({} if job is None else gains(scores, baselines))})
        kinds.add(name, {f"AUROC {kind}": value for kind, value in report.image_auroc_by_defect.items()})
        kinds.add(name, {f"AUPRO {kind}": value for kind, value in report.aupro_by_defect.items()})
    notes = {**budget(options), **({"left out": "; ".join(missing)} if missing else {})}
    notes["budget"] = "images shown stand in the table; of one YAML's schedule all lengths shrink alike"
    several = any(len(report.abnormal_images) > 1 for report, _, _ in rows.values())
    return write_tables(options.out, headline, notes, [figures, kinds] if several else [figures])

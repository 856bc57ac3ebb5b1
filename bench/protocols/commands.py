"""What the command lines of the benches have in common."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from baselines.base import Baseline, judge
from baselines.patch_pca import PatchPca
from baselines.pooled import PooledInput

from latentline.arguments import count
from latentline.errors import BackendError
from protocols.runs import Job, finish_all
from trainer.config import TrainConfig
from trainer.report import Report, read_results


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


def baseline_reports(config: TrainConfig, out: Path) -> tuple[dict[str, Report], list[str]]:
    """Reports of all baselines on the images of `config`, and a sentence for each that cannot run here.

    Kept in folders under `out`, and read from there the next time.
    """
    reports: dict[str, Report] = {}
    missing: list[str] = []
    for make in _makers():
        try:
            baseline = make()
        except BackendError as error:
            missing.append(str(error))
            continue
        folder = out / baseline.name.replace(" ", "-")
        done = (folder / "scores.json").is_file()
        reports[baseline.name] = read_results(folder)[0] if done else judge(baseline, config, folder)
    return reports, missing


def _makers() -> Sequence[type[Baseline]]:
    from baselines.feature_knn import FeatureKnn

    return (PooledInput, PatchPca, FeatureKnn)

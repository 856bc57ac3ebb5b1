"""Does a model beat the baselines with other seeds too? Each seed has its own split, known-abnormal images and weights.

python -m bench.detection.seeds DATA OUT [--dataset NAME] [--method NAME] [--seeds N …] [--images N]

Each row compares one training with the baselines on the same test images. The last row is the mean; its interval is
over the parts in the test images of all seeds.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from bench.baselines.evaluation import WITHOUT_NETWORK, EvaluationResults, baseline_results
from bench.detection.methods import DATASETS, METHODS, configuration
from bench.detection.protocol.comparison import report_cells
from bench.detection.protocol.jobs import Job, finished_jobs
from bench.detection.protocol.options import budget_notes, option_parser
from bench.detection.protocol.seed_means import mean_auroc
from bench.detection.protocol.tables import Cell, Table, write_tables
from latentline.errors import ConfigError, run_command
from trainer.evaluation.compare import difference

WITH_NORMAL_TESTS = tuple(name for name in DATASETS if name != "nanotwice")  # the others have no image AUROC


@dataclass(frozen=True)
class SeedResults:
    """Results of one training, and of the baselines on its test images."""

    job: Job
    results: EvaluationResults
    baselines: dict[str, EvaluationResults]

    def cells(self) -> dict[str, Cell]:
        """A row of the table."""
        row: dict[str, Cell] = report_cells(self.results[0], self.job)
        for name, (report, scores) in self.baselines.items():
            row |= {name: report.image_auroc, f"gain on {name}": difference(scores, self.results[1]).value}
        return row


def table(seeds: dict[str, SeedResults]) -> Table:
    """A row for each seed, and one for the means."""
    result = Table("seeds")
    for name, seed in seeds.items():
        result.add(name, seed.cells())
    ours = [seed.results[1] for seed in seeds.values()]
    mean: dict[str, Cell] = {"image AUROC": mean_auroc(ours)}
    for name in next(iter(seeds.values())).baselines:
        theirs = [seed.baselines[name][1] for seed in seeds.values()]
        mean |= {name: mean_auroc(theirs), f"gain on {name}": mean_auroc(ours, theirs)}
    result.add("mean", mean)
    return result


def main() -> int:
    """Measure and print."""
    parser = option_parser(__doc__)
    parser.add_argument("--dataset", choices=WITH_NORMAL_TESTS, default="magnetic_tile")
    parser.add_argument("--method", choices=METHODS, default="noisy_anogan")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of trainings and splits (0 1 2)")
    options = parser.parse_args()
    jobs: dict[str, Job] = {}
    for seed in options.seeds:
        folder = options.out / f"seed-{seed}"
        own = argparse.Namespace(**{**vars(options), "seed": seed})
        jobs[f"seed {seed}"] = Job(folder / options.method, configuration(options.method, own), options.limit)
    seeds: dict[str, SeedResults] = {}
    for name, job in finished_jobs(jobs, options.workers, report_only=options.report_only).items():
        baselines, _ = baseline_results(job.config, job.folder.parent, WITHOUT_NETWORK, options.limit)
        seeds[name] = SeedResults(job, job.results(), baselines)
    if not seeds:
        raise ConfigError(f"{options.out}: no training is finished; leave out --report-only")
    notes = {**budget_notes(options), "seed": ", ".join(str(seed) for seed in options.seeds)}
    print(write_tables(options.out, f"{options.method} on {options.dataset}, several seeds", notes, [table(seeds)]))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))

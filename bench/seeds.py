"""Does what a model adds hold for other seeds? Trainings with a split, known-abnormal images and weights of their own.

python bench/seeds.py DATA OUT [--dataset magnetic_tile|fabric] [--method NAME] [--seeds N …] [--images N]

Each seed's row stands beside the statistic of its own input with nothing reconstructed, on the same test images; the
last row is the mean, and its interval is over the parts of all test images together.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from methods import DATASETS, METHODS, configuration
from protocols.commands import PLAIN, Results, baseline_results, budget, finished, parser, report_cells
from protocols.repeated import mean_auroc
from protocols.runs import Job
from protocols.tables import Cell, Table, write_tables

from latentline.errors import ConfigError, run_command
from trainer.evaluation.compare import difference


@dataclass(frozen=True)
class Seed:
    """One training's results, and those of the baselines on its test images."""

    job: Job
    results: Results
    plain: dict[str, Results]

    def cells(self) -> dict[str, Cell]:
        """A row."""
        made: dict[str, Cell] = report_cells(self.results[0], self.job)
        for name, (report, scores) in self.plain.items():
            made |= {name: report.image_auroc, f"gain on {name}": difference(scores, self.results[1]).value}
        return made


def table(seeds: dict[str, Seed]) -> Table:
    """A row a seed, and their means."""
    made = Table("seeds")
    for name, seed in seeds.items():
        made.add(name, seed.cells())
    ours = [seed.results[1] for seed in seeds.values()]
    mean: dict[str, Cell] = {"image AUROC": mean_auroc(ours)}
    for name in next(iter(seeds.values())).plain:
        theirs = [seed.plain[name][1] for seed in seeds.values()]
        mean |= {name: mean_auroc(theirs), f"gain on {name}": mean_auroc(ours, theirs)}
    made.add("mean", mean)
    return made


def main() -> int:
    """Measure and print."""
    made = parser(__doc__)
    made.add_argument("--dataset", choices=DATASETS, default="magnetic_tile")
    made.add_argument("--method", choices=METHODS, default="noisy_anogan")
    made.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2], help="of trainings and splits (0 1 2)")
    options = made.parse_args()
    jobs: dict[str, Job] = {}
    for seed in options.seeds:
        folder = options.out / f"seed-{seed}"
        own = argparse.Namespace(**{**vars(options), "seed": seed})
        jobs[f"seed {seed}"] = Job(folder / options.method, configuration(options.method, own), options.limit)
    seeds: dict[str, Seed] = {}
    for name, job in finished(jobs, options).items():
        plain, _ = baseline_results(job.config, job.folder.parent, PLAIN, options.limit)
        seeds[name] = Seed(job, job.results(), plain)
    if not seeds:
        raise ConfigError(f"{options.out}: no seed is finished; leave out --report-only")
    notes = {**budget(options), "seed": ", ".join(str(seed) for seed in options.seeds)}
    print(write_tables(options.out, f"{options.method} on {options.dataset}, several seeds", notes, [table(seeds)]))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))

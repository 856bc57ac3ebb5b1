"""Contaminated "normal" images of magnetic tiles: does it help to know them as abnormal, also for other defects?

python bench/contamination.py DATA OUT [--levels 0 0.05 0.1] [--images N] [--iterations N] [--report-only]

At each level so many abnormal images, as a fraction of the training images, are taken for normal by AnoGAN; the same
images are known abnormal to Noisy-AnoGAN (from 15 parts on, a third of them weights the score). Same network, search
and number of images shown; those of Noisy-AnoGAN include its verdict, so that the game and the encoder get fewer of
them. Both are tested on the same images (exposures of one physical tile stay together, so an image or two may be known
and not contaminate). At level 0 AnoGAN sees normal images alone, and Noisy-AnoGAN beside them those of the lowest other
level.

All contaminating images are blowholes: the kind with the most images (115), so that 10 % of 535 training images can be
drawn from one kind and some remain to be tested. The other four kinds are never seen in training.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from baselines.base import judge
from protocols.commands import PLAIN, budget, changed, finished, folder_name, parser
from protocols.configs import CONFIGS, read_config, within_budget
from protocols.means import SCORE, auroc_by_kind
from protocols.runs import Job
from protocols.station import evaluate_with_weights
from protocols.tables import Table, write_tables

from latentline.errors import run_command
from trainer.config import TrainConfig
from trainer.data.sources import open_source
from trainer.evaluation.report import Scores, read_results

KNOWN = "blowhole"
LOWEST = 0.05
CONFIG = CONFIGS / "magnetic_tile.yaml"
NOISY, CONTAMINATED = "Noisy-AnoGAN", "AnoGAN"
VALUES = {
    "calibrated score": SCORE,
    "L' of the paper": "loss",
    "1 − D(x)": "d_frame",
    "1 − D(G(ẑ))": "d_reconstruction",
}


def known_fraction(level: float, options: argparse.Namespace) -> float:
    """The fraction of all blowholes that makes up `level` of the training images."""
    alone = {"data.known_abnormal_fraction": 0.0, "method": {"kind": "anogan"}, "schedule.discriminator_images": 0}
    config = read_config(CONFIG, changed(options) | alone)
    parts = open_source(config.data).split(options.seed)
    return round(level * len(parts.train)) / len(parts.test_abnormal[KNOWN])


def configuration(level: float, fraction: float, method: str, options: argparse.Namespace) -> TrainConfig:
    """One training; its choice of images, and so its test, depends on `fraction` and seed alone."""
    changes = changed(options, name=f"contamination {level:g} {method}", data__known_abnormal_types=[KNOWN])
    changes["data.known_abnormal_fraction"] = fraction
    if method == NOISY:  # images made or masked by hand would help one side alone
        changes |= {"method.synthetic": 0.0, "method.local": 0.0, "method.pasted": 0.0}
    if method == CONTAMINATED:
        shared = read_config(CONFIG, {}).method.model_dump(include={"r1", "kappa", "finetune_generator"})
        changes["method"] = {"kind": "anogan", **shared}
        changes |= {"data.contamination": level, "schedule.discriminator_images": 0}
    if options.iterations is not None:
        changes["search.iterations"] = options.iterations
    return within_budget(read_config(CONFIG, changes), options.images)


def level_table(level: float, options: argparse.Namespace) -> Table:
    """Finish the two runs of a level; image AUROC of all test images and of each kind."""
    place = options.out / f"level-{100 * level:g}"
    fraction = known_fraction(level or LOWEST, options)
    jobs = {m: Job(place / m, configuration(level, fraction, m, options), options.limit) for m in (NOISY, CONTAMINATED)}
    done = finished(jobs, options)
    table = Table(f"{level:.0%} contamination: image AUROC ({KNOWN} known, other kinds unseen)")
    for method, job in done.items():
        _add(table, method, job.results()[1], VALUES)
    if len(done) == 2:
        lent = done[CONTAMINATED].folder / f"{done[CONTAMINATED].evaluation.name}-lent-weights"
        if not (lent / "scores.json").is_file():
            evaluate_with_weights(done[CONTAMINATED].folder, done[NOISY].folder, lent, options.limit)
        _add(table, CONTAMINATED, read_results(lent)[1], {"calibrated score, Noisy-AnoGAN's weights": SCORE})
    for make in PLAIN:
        baseline = make(jobs[CONTAMINATED].config)
        folder: Path = place / f"{folder_name(baseline)}-{options.limit or 'all'}"
        if not (folder / "scores.json").is_file():
            judge(baseline, jobs[CONTAMINATED].config, folder, options.limit)
        _add(table, f"no model: {baseline.name}", read_results(folder)[1], {"same images taken for normal": SCORE})
    return table


def _add(table: Table, method: str, scores: Scores, values: dict[str, str]) -> None:
    for title, value in values.items():
        table.add(f"{method}: {title}", auroc_by_kind(scores, value))


def main() -> int:
    """Measure and print."""
    made = parser(__doc__)
    made.add_argument("--levels", type=float, nargs="+", default=[0.0, 0.05, 0.1], help="0 to 0.1")
    options = made.parse_args()
    tables = [level_table(level, options) for level in options.levels]
    print(write_tables(options.out, "Contaminated magnetic tiles", budget(options), tables))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))

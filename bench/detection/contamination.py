"""Contaminated "normal" images of magnetic tiles: does it help to know that they are abnormal, also for other defects?

python -m bench.detection.contamination DATA OUT [--levels 0 0.05 0.1] [--images N] [--iterations N] [--report-only]

The level is the number of abnormal images as a fraction of the training images. AnoGAN takes them for normal;
Noisy-AnoGAN knows that they are abnormal (of 15 parts or more, it uses a third to weight its score). Networks, search,
images shown and test images are the same. Noisy-AnoGAN spends a part of its images on fine-tuning the discriminator, so
that the game and the encoder get fewer. Images of one physical tile stay together, so one or two known-abnormal images
may not be among the contaminating ones. At level 0 AnoGAN sees only normal images, and Noisy-AnoGAN knows the abnormal
ones of level 0.05.

All contaminating images are blowholes. Of this kind there are most (115), enough to draw 10 % of 535 training images
from one kind and keep some for the test. Training never sees the other four kinds.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bench.baselines.choice import WITHOUT_NETWORK
from bench.baselines.evaluation import folder_name, kept_results
from bench.configs import CONFIGS, read_config
from bench.detection.protocol.jobs import Job, finished_jobs
from bench.detection.protocol.options import budget_notes, config_changes, option_parser
from bench.detection.protocol.score_figures import SCORE, auroc_by_kind
from bench.detection.protocol.tables import Table, write_tables
from latentline.errors import run_command
from trainer.choose.budget import within_budget
from trainer.config import TrainConfig
from trainer.data.sources import open_source
from trainer.evaluation.report import Scores

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
    """How large a fraction of all blowholes equals the fraction `level` of the training images."""
    alone = {"data.known_abnormal_fraction": 0.0, "method": {"kind": "anogan"}, "schedule.discriminator_images": 0}
    config = read_config(CONFIG, config_changes(options) | alone)
    split = open_source(config.data, config.preprocessing).split(options.seed)
    return round(level * len(split.train)) / len(split.test_abnormal[KNOWN])


def configuration(level: float, fraction: float, method: str, options: argparse.Namespace) -> TrainConfig:
    """Configuration of one training. Its images, and so its test, depend only on `fraction` and seed."""
    changes = config_changes(options, name=f"contamination {level:g} {method}", data__known_abnormal_types=[KNOWN])
    changes["data.known_abnormal_fraction"] = fraction
    if method == NOISY:  # synthetic images and masks would help only this method
        changes |= {"method.synthetic_fraction": 0.0, "method.patch_head": 0.0, "method.pasted_fraction": 0.0}
    if method == CONTAMINATED:
        shared = read_config(CONFIG, {}).method.model_dump(include={"r1", "kappa", "finetune_generator"})
        changes["method"] = {"kind": "anogan", **shared}
        changes |= {"data.contamination": level, "schedule.discriminator_images": 0}
    if options.iterations is not None:
        changes["search.iterations"] = options.iterations
    return within_budget(read_config(CONFIG, changes), options.images)


def level_table(level: float, options: argparse.Namespace) -> Table:
    """Finish the two trainings of a level; image AUROC of all test images and of each kind of defect."""
    place: Path = options.out / f"level-{100 * level:g}"
    fraction = known_fraction(level or LOWEST, options)
    jobs = {
        m: Job(place / m, configuration(level, fraction, m, options), options.limit, device=options.device)
        for m in (NOISY, CONTAMINATED)
    }
    done = finished_jobs(jobs, options.workers, report_only=options.report_only)
    table = Table(f"{level:.0%} contamination: image AUROC ({KNOWN} known, other kinds unseen)")
    for method, job in done.items():
        _add(table, method, job.results()[1], VALUES)
    if len(done) == 2:
        lent = done[CONTAMINATED].scores_with_weights_of(done[NOISY])
        _add(table, CONTAMINATED, lent, {"calibrated score, Noisy-AnoGAN's weights": SCORE})
    for factory in WITHOUT_NETWORK:
        config = jobs[CONTAMINATED].config
        baseline = factory(config)
        folder = place / f"{folder_name(baseline)}-{options.limit or 'all'}"
        scores = kept_results(baseline, config, folder, options.limit).scores
        _add(table, f"no model: {baseline.name}", scores, {"same images taken for normal": SCORE})
    return table


def _add(table: Table, method: str, scores: Scores, values: dict[str, str]) -> None:
    for title, value in values.items():
        table.add(f"{method}: {title}", auroc_by_kind(scores, value))


def main() -> int:
    """Measure and print."""
    parser = option_parser(__doc__)
    parser.add_argument("--levels", type=float, nargs="+", default=[0.0, 0.05, 0.1], help="fractions from 0 to 0.1")
    options = parser.parse_args()
    tables = [level_table(level, options) for level in options.levels]
    print(write_tables(options.out, "Contaminated magnetic tiles", budget_notes(options), tables))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))

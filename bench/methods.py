"""Every method on one set of images, beside what needs no model: what would a user gain, what does it cost?

python bench/methods.py DATA OUT [--dataset magnetic_tile|fabric] [--methods NAME …] [--images N] [--limit N]

Each method of configs/train/methods with its own networks and schedule, on data, preprocessing and augmentation of the
data set's YAML; all train on the same images and are tested on the same. Known-abnormal images, a tenth of each kind
of defect, are shown to Noisy-AnoGAN alone; for all they fix the weights of the score, and are not tested.
"""

from __future__ import annotations

import argparse

from protocols.commands import ALL, baseline_reports, budget, changed, finished, kinds_table, methods_table, parser
from protocols.configs import CONFIGS, method_on, within_budget
from protocols.runs import Job
from protocols.tables import write_tables

from latentline.errors import run_command
from trainer.config import TrainConfig

DATASETS = {"magnetic_tile": CONFIGS / "magnetic_tile.yaml", "fabric": CONFIGS / "bench" / "fabric.yaml"}
METHODS = ("noisy_anogan", "anogan", "f_anogan", "autoencoder_ssim", "autoencoder_l2", "vae", "anovaegan")


def configuration(method: str, options: argparse.Namespace) -> TrainConfig:
    """One training."""
    config = method_on(DATASETS[options.dataset], method, changed(options, name=f"{options.dataset} {method}"))
    if options.iterations is not None and config.search.iterations:
        config = config.model_copy(
            update={"search": config.search.model_copy(update={"iterations": options.iterations})}
        )
    return within_budget(config, options.images)


def main() -> int:
    """Measure and print."""
    made = parser(__doc__)
    made.add_argument("--dataset", choices=DATASETS, default="magnetic_tile")
    made.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    options = made.parse_args()
    jobs = {m: Job(options.out / m, configuration(m, options), options.limit) for m in options.methods}
    done = finished(jobs, options)
    first = next(iter(jobs.values())).config
    place = options.out / ("baselines" if options.limit is None else f"baselines-{options.limit}")
    baselines, missing = baseline_reports(first, place, ALL, options.limit)
    titles = ("every method", "by kind of defect")
    tables = [make(title, done, baselines) for make, title in zip((methods_table, kinds_table), titles, strict=True)]
    notes = {**budget(options), **{"left out": sentence for sentence in missing}}
    print(write_tables(options.out, f"Methods on {options.dataset}", notes, tables))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))

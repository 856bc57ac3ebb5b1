"""Every method on one set of images, beside what needs no model: what would a user gain, what does it cost?

python bench/methods.py DATA OUT [--dataset magnetic_tile|fabric] [--methods NAME …] [--images N] [--limit N]

Each method of configs/train/methods with its own networks and schedule, on data, preprocessing and augmentation of the
data set's YAML; all train on the same images and are tested on the same. Known-abnormal images, a tenth of each kind
of defect, are shown to Noisy-AnoGAN alone; they fix the weights of the other methods' scores (of its own, from 15 parts
on, a third of them), and are not tested. Images of one part (magnetic tile) or strip (fabric) stay on one side.
"""

from __future__ import annotations

import argparse

from protocols.commands import changed, compare_methods, parser
from protocols.configs import CONFIGS, method_on, within_budget
from protocols.runs import Job
from protocols.strips import write_strips

from latentline.errors import run_command
from trainer.config import TrainConfig

DATASETS = {"magnetic_tile": CONFIGS / "magnetic_tile.yaml", "fabric": CONFIGS / "bench" / "fabric.yaml"}
SEARCHING = ("noisy_anogan", "anogan")
METHODS = (*SEARCHING, "f_anogan", "autoencoder_ssim", "autoencoder_l2", "vae", "anovaegan")


def configuration(method: str, options: argparse.Namespace) -> TrainConfig:
    """One training."""
    changes = changed(options, name=f"{options.dataset} {method}")
    if options.dataset == "fabric":
        changes["data.groups"] = str(write_strips(options.data, options.out.resolve() / "strips.csv"))
    config = method_on(DATASETS[options.dataset], method, changes)
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
    print(compare_methods(f"Methods on {options.dataset}", jobs, options))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))

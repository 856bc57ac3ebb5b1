"""Every method and the baselines on the same images: what does each method find, and what does it cost?

python -m bench.detection.methods DATA OUT [--dataset NAME] [--methods NAME …] [--images N] [--limit N]

Each method of configs/train/methods has its own networks and schedule; data, preprocessing and augmentation are those
of the data set's YAML. All train on the same images and are tested on the same images. A tenth of the images of each
kind of defect is known abnormal and not tested: Noisy-AnoGAN trains on them (of 15 parts or more it uses a third to
weight its score), the other methods use them only to weight their scores. Images of one part (magnetic tile) or strip
(fabric) stay on one side of the split. Of grid and NanoTWICE no defect is known: the abnormal tiles of Noisy-AnoGAN are
then made from normal ones.
"""

from __future__ import annotations

import argparse

from bench.configs import CONFIGS, method_on, read_config
from bench.detection.protocol.comparison import compare_methods
from bench.detection.protocol.fabric_strips import write_strip_groups
from bench.detection.protocol.jobs import Job
from bench.detection.protocol.options import config_changes, option_parser
from latentline.errors import run_command
from trainer.choose.budget import within_budget
from trainer.config import TrainConfig

DATASETS = {
    "magnetic_tile": CONFIGS / "magnetic_tile.yaml",
    **{name: CONFIGS / "bench" / f"{name}.yaml" for name in ("fabric", "grid", "nanotwice")},
}
SEARCHING = ("noisy_anogan", "anogan")
METHODS = (*SEARCHING, "f_anogan", "autoencoder_ssim", "autoencoder_l2", "pca", "vae", "anovaegan")


def configuration(method: str, options: argparse.Namespace) -> TrainConfig:
    """Configuration of one training."""
    changes = config_changes(options, name=f"{options.dataset} {method}")
    if options.dataset == "fabric":
        changes["data.groups"] = str(write_strip_groups(options.data, options.out.resolve() / "strips.csv"))
    dataset = DATASETS[options.dataset]
    if method == "noisy_anogan" and not read_config(dataset, {}).data.has_known_abnormal:
        changes["method.synthetic_fraction"] = 1.0
    if method == "noisy_anogan" and options.dataset == "nanotwice":
        changes["method.encoder_loss"] = "ssim"  # chosen on made defects on held-out normal windows
    config = method_on(dataset, method, changes)
    if options.iterations is not None and config.search.iterations:
        config = config.model_copy(
            update={"search": config.search.model_copy(update={"iterations": options.iterations})}
        )
    return within_budget(config, options.images)


def main() -> int:
    """Measure and print."""
    parser = option_parser(__doc__)
    parser.add_argument("--dataset", choices=DATASETS, default="magnetic_tile")
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    options = parser.parse_args()
    jobs = {m: Job(options.out / m, configuration(m, options), options.limit) for m in options.methods}
    print(compare_methods(f"Methods on {options.dataset}", jobs, options))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))

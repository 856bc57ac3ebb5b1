"""NanoTWICE: do autoencoders and Noisy-AnoGAN find the defects of nanofibres, pixel by pixel?

python bench/nanotwice.py DATA OUT [--methods NAME …] [--images N] [--workers 2] [--report-only]

Trained on the five normal images alone, tested on all 40 others (pixel AUROC, AUPRO at FPR up to 0.3). Autoencoders of
the architecture of Bergmann et al. (2018), with batch normalisation, on tiles of 64 px with 64 numbers in z; with 128
px and more numbers they report pixel AUROC 0.966 with SSIM and 0.688 with l2. --paper takes their 128 px and z of 100.
Noisy-AnoGAN has tiles and networks of its own YAML; its known-abnormal tiles are all made from normal ones.
"""

from __future__ import annotations

import argparse

from protocols.commands import changed, compare_methods, parser
from protocols.configs import CONFIGS, method_on, read_config, within_budget
from protocols.runs import Job

from latentline.errors import run_command
from trainer.config import TrainConfig

DATASET = CONFIGS / "bench" / "nanotwice.yaml"
METHODS = ("autoencoder_l2", "autoencoder_ssim", "vae", "noisy_anogan")


def configuration(method: str, options: argparse.Namespace) -> TrainConfig:
    """One training."""
    changes = changed(options, name=f"nanotwice {method}")
    if method == "noisy_anogan":
        changes["method.synthetic_fraction"] = 1.0
    else:
        network = read_config(DATASET, {}).network
        size = network.model_dump(include={"resolution", "latent_size", "autoencoder_width"})
        changes |= {f"network.{key}": value for key, value in size.items()}
        if options.paper:
            changes |= {"network.resolution": 128, "network.latent_size": 100}
    if options.iterations is not None and method == "noisy_anogan":
        changes["search.iterations"] = options.iterations
    return within_budget(method_on(DATASET, method, changes), options.images)


def main() -> int:
    """Measure and print."""
    made = parser(__doc__)
    made.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    made.add_argument("--paper", action="store_true", help="autoencoders with tiles of 128 px and 100 numbers in z")
    options = made.parse_args()
    jobs = {m: Job(options.out / m, configuration(m, options), options.limit) for m in options.methods}
    print(compare_methods("NanoTWICE", jobs, options))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))

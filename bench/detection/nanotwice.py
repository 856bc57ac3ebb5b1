"""NanoTWICE: do autoencoders and Noisy-AnoGAN find the defective pixels of nanofibres?

python -m bench.detection.nanotwice DATA OUT [--methods NAME …] [--images N] [--workers 2] [--report-only]

Trained on the five normal images, tested on the 40 other images (pixel AUROC, and AUPRO up to a false-positive rate of
0.3). The autoencoders have the architecture of Bergmann et al. (2018), with batch normalisation, tiles of 64 px and a
latent of 64 values. Bergmann et al. use 128 px and a longer latent, and report pixel AUROC 0.966 with SSIM and 0.688
with l2; --paper takes 128 px and a latent of 100. Noisy-AnoGAN has the tiles and networks of its own YAML; all its
known-abnormal tiles are synthetic.
"""

from __future__ import annotations

import argparse

from bench.configs import CONFIGS, method_on, read_config
from bench.detection.protocol.comparison import compare_methods
from bench.detection.protocol.jobs import Job
from bench.detection.protocol.options import config_changes, option_parser
from latentline.errors import run_command
from trainer.choose.budget import within_budget
from trainer.config import TrainConfig

DATASET = CONFIGS / "bench" / "nanotwice.yaml"
METHODS = ("autoencoder_l2", "autoencoder_ssim", "vae", "noisy_anogan")


def configuration(method: str, options: argparse.Namespace) -> TrainConfig:
    """Configuration of one training."""
    changes = config_changes(options, name=f"nanotwice {method}")
    if method == "noisy_anogan":
        changes |= {"method.synthetic_fraction": 1.0, "method.encoder_loss": "ssim"}
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
    parser = option_parser(__doc__)
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=METHODS)
    parser.add_argument("--paper", action="store_true", help="autoencoders with tiles of 128 px and a latent of 100")
    options = parser.parse_args()
    jobs = {
        m: Job(options.out / m, configuration(m, options), options.limit, device=options.device)
        for m in options.methods
    }
    print(compare_methods("NanoTWICE", jobs, options))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))

"""IR-MNIST: mosaics of 11 x 11 digits, in which the digit 3 is abnormal. Which method finds the cells with a 3?

python -m bench.detection.ir_mnist DATA OUT [--images N] [--iterations N] [--workers 2] [--report-only]

The mosaics of Kimura & Yanagihara (2018), built from MNIST by seed. In an abnormal mosaic about a tenth of the cells
hold the abnormal digit, and these cells are the mask. Noisy-AnoGAN is shown ten abnormal mosaics, AnoGAN none;
networks, budget and search are the same. DATA is the folder with MNIST's four files.
"""

from __future__ import annotations

import argparse

from bench.configs import CONFIGS, read_config
from bench.detection.protocol.comparison import compare_methods
from bench.detection.protocol.jobs import Job
from bench.detection.protocol.options import config_changes, option_parser
from latentline.errors import run_command
from trainer.choose.budget import within_budget
from trainer.config import TrainConfig

METHODS: dict[str, dict[str, object]] = {
    "noisy_anogan": {},
    "anogan": {
        "method": {"kind": "anogan", "kappa": 0.0, "finetune_generator": True},
        "schedule.discriminator_images": 0,
    },
}


def configuration(method: str, options: argparse.Namespace) -> TrainConfig:
    """Configuration of one training."""
    changes = {**config_changes(options, name=f"ir-mnist {method}", data__seed=options.seed), **METHODS[method]}
    if options.iterations is not None:
        changes["search.iterations"] = options.iterations
    return within_budget(read_config(CONFIGS / "bench" / "ir_mnist.yaml", changes), options.images)


def main() -> int:
    """Measure and print."""
    options = option_parser(__doc__).parse_args()
    jobs = {m: Job(options.out / m, configuration(m, options), options.limit, device=options.device) for m in METHODS}
    print(compare_methods("IR-MNIST", jobs, options))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))

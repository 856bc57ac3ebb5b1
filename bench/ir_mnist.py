"""IR-MNIST: mosaics of 11 x 11 digits in which digit 3 is abnormal. Which method finds its cells?

python bench/ir_mnist.py DATA OUT [--images N] [--iterations N] [--workers 2] [--report-only]

The mosaics of Kimura & Yanagihara (2018), built from MNIST by seed; about a tenth of the cells of an abnormal mosaic
hold the abnormal digit, and they are the mask. Noisy-AnoGAN is shown ten abnormal mosaics, AnoGAN none; same networks,
budget and search. DATA is the folder of MNIST's four files.
"""

from __future__ import annotations

import argparse

from protocols.commands import changed, compare_methods, parser
from protocols.configs import CONFIGS, read_config, within_budget
from protocols.runs import Job

from latentline.errors import run_command
from trainer.config import TrainConfig

METHODS: dict[str, dict[str, object]] = {
    "noisy_anogan": {},
    "anogan": {
        "method": {"kind": "anogan", "kappa": 0.0, "finetune_generator": True},
        "schedule.discriminator_images": 0,
    },
}


def configuration(method: str, options: argparse.Namespace) -> TrainConfig:
    """One training."""
    changes = {**changed(options, name=f"ir-mnist {method}", data__seed=options.seed), **METHODS[method]}
    if options.iterations is not None:
        changes["search.iterations"] = options.iterations
    return within_budget(read_config(CONFIGS / "bench" / "ir_mnist.yaml", changes), options.images)


def main() -> int:
    """Measure and print."""
    options = parser(__doc__).parse_args()
    jobs = {m: Job(options.out / m, configuration(m, options), options.limit) for m in METHODS}
    print(compare_methods("IR-MNIST", jobs, options))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))

"""A real training on this machine's GPU, packaged, calibrated and tested as a station would, on all cores.

python -m bench.gpu.fit_check DATA RUN [--config YAML] [--seconds S | --images N] [--set KEY=VALUE ...] [--limit N]

Without --images a short trial measures the rate, and the training gets the images that fit S seconds at it; all lengths
of the schedule change alike. RUN holds what `latentline-train fit` writes, package/ and evaluation/.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
import time
from pathlib import Path

import torch
import yaml

from bench.configs import CONFIGS, read_config
from bench.detection.protocol.station_evaluation import evaluate_on_station
from latentline.errors import run_command
from trainer.choose.budget import within_budget
from trainer.config import TrainConfig
from trainer.run.fit import fit

LARGE = ("events*", "*.safetensors", "checkpoint")  # of a run, left out of its report
TRIAL = {"cuda": 6000, "cpu": 600}  # images


def main() -> int:
    """Train, test, print the figures."""
    options = _options()
    changes = {key: yaml.safe_load(value) for key, value in (item.split("=", 1) for item in options.set)}
    config = read_config(options.config, {"data.root": str(options.data.resolve()), **changes})
    images = options.images
    figures: dict[str, object] = {"device": options.device, "changes": changes}
    if images is None:
        rate = _trial(config, options.device)
        images = int(rate * options.seconds)
        figures["trial, images/s"] = round(rate, 1)
    start = time.perf_counter()
    fit(within_budget(config, images), options.run, device=options.device)
    seconds = time.perf_counter() - start
    figures |= {"images": images, "training s": round(seconds, 1), "images/s": round(images / seconds, 1)}
    print(json.dumps(figures), flush=True)
    start = time.perf_counter()
    evaluation = options.run / "evaluation"
    evaluate_on_station(options.run, evaluation, options.limit, threads=None)
    figures["packaging and test s"] = round(time.perf_counter() - start, 1)
    report = json.loads((evaluation / "report.json").read_text(encoding="utf-8"))
    figures |= {key: value for key, value in report.items() if not isinstance(value, list | dict)}
    (options.run / "figures.json").write_text(json.dumps(figures, indent=1), encoding="utf-8")
    print(json.dumps(figures), flush=True)
    if options.report:
        shutil.copytree(options.run, options.report, ignore=shutil.ignore_patterns(*LARGE), dirs_exist_ok=True)
    return 0


def _trial(config: TrainConfig, device: str) -> float:
    """Images a second of a short training; the time of its start and its pictures counts, so the rate is a low one."""
    images = TRIAL[torch.device(device).type]
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        fit(within_budget(config, images), Path(folder) / "trial", device=device)
        return images / (time.perf_counter() - start)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="root of the images")
    parser.add_argument("run", type=Path, help="folder of the training")
    parser.add_argument("--config", type=Path, default=CONFIGS / "magnetic_tile.yaml", help="(magnetic_tile.yaml)")
    parser.add_argument("--seconds", type=float, default=150.0, help="of training (150)")
    parser.add_argument("--images", type=int, help="of training, in the place of --seconds")
    parser.add_argument("--set", nargs="*", default=[], metavar="KEY=VALUE", help="changes to the configuration")
    parser.add_argument("--limit", type=int, help="the most test images of each kind, seeded")
    parser.add_argument("--report", type=Path, help="copy the run without its large files to this folder")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(run_command(main))

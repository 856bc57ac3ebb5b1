"""How much faster than a naive loop of 500 steps is the search of a package, and does it detect as well?

python -m bench.speed.naive PACKAGE RUN [--root DIR] [--iterations 500] [--repeats 5] [--threads 2] [--json]

The search of AnoGAN starts at a constant latent and takes hundreds of Adam steps. A package has a start and a number of
steps of its own. RUN is the run folder that it was exported from.

Time: of one tile, one after the other, in turns: the loop in PyTorch as most people write it (autograd,
torch.optim.Adam, every weight requires a gradient), and the search of the package in the station's CPU backend with all
its components and maps, which the loop leaves out.

Detection: image AUROC and pixel AUROC of the whole score on the held-out frames that fix its weights, as
`latentline-export tune` judges; never on test images. The loop's figures come from the exported search with as many
steps from the constant latent. Differences are the package's less those of the loop, with 95 % intervals over parts.
"""

from __future__ import annotations

import argparse
import json
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from tqdm import tqdm

from bench.command_line import bench_parser
from bench.speed.search import milliseconds
from bench.speed.search_variants import make_problem, torch_search
from export.tuning.candidates import package_at
from export.tuning.data import read_tuning_data
from export.tuning.tuner import opened
from latentline.base.counted import counted
from latentline.base.processor import processor
from latentline.errors import ConfigError, run_command
from latentline.package.model_package import ModelPackage, load_package
from latentline.scoring.tuning import TunedSetting
from trainer.evaluation.judged_score import JudgedScore, WeighingFrames, judge_score, weighing_frames
from trainer.evaluation.search_rule import PairedFigures, image_auroc_of, resampled

SEARCHES = 20  # of the package in a repeat: one is over too soon to be timed alone


@dataclass(frozen=True)
class SearchTimes:
    """Milliseconds of one tile in each repeat, [repeats] each; of the package the median of several searches."""

    naive: list[float]
    package: list[float]

    @property
    def ratios(self) -> tuple[float, float, float]:
        """Median, least and most of naive / package within a repeat."""
        ratios = np.array(self.naive) / np.array(self.package)
        return float(np.median(ratios)), float(ratios.min()), float(ratios.max())


def time_searches(package: ModelPackage, checkpoint: Path, iterations: int, repeats: int, threads: int) -> SearchTimes:
    """Both searches of one tile in turns."""
    torch.set_num_threads(threads)
    problem = make_problem(checkpoint, package.tiler.tile_size)
    naive, times = torch_search(problem, optimised=False), SearchTimes([], [])
    naive(2)  # warms up
    with closing(opened(package, threads)) as searcher:
        searcher.search(problem.tile)
        for _ in tqdm(range(repeats), unit="repeat", desc="timing"):
            times.naive.append(milliseconds(partial(naive, iterations)))
            own = [milliseconds(partial(searcher.search, problem.tile)) for _ in range(SEARCHES)]
            times.package.append(float(np.median(own)))
    return times


def judge(package: ModelPackage, frames: WeighingFrames, threads: int, what: str) -> JudgedScore:
    """What the score of a package tells about the frames."""
    with closing(opened(package, threads)) as searcher, tqdm(total=len(frames.masks), unit="img", desc=what) as bar:
        return judge_score(searcher, package.tiler, package.manifest.map, frames, advance=bar.update)


def measure(options: argparse.Namespace) -> dict[str, object]:
    """All figures by name."""
    package = load_package(options.package)
    own = package.manifest.search
    if not package.manifest.has_search_step or package.trunk is not None:
        raise ConfigError(f"{options.package} has no search step, or a trunk; give a GAN's package without one")
    long = TunedSetting(overlap=package.manifest.overlap, iterations=options.iterations, init="random", tiles="all")
    given = read_tuning_data(options.run, options.root, package, options.package)
    frames = weighing_frames(given.held_out, given.config, package.tiler)
    checkpoint = options.run / "checkpoint" if (options.run / "checkpoint").is_dir() else options.run
    times = time_searches(package, checkpoint, options.iterations, options.repeats, options.threads)
    judged = [
        judge(package_at(package, long), frames, options.threads, counted(options.iterations, "step")),
        judge(package, frames, options.threads, "the package"),
    ]
    labels, seed = frames.labels, given.config.schedule.seed
    images = PairedFigures([image_auroc_of(one.scores, labels) for one in judged], resampled(labels, seed))
    result: dict[str, object] = {
        "loop_ms": float(np.median(times.naive)),
        "package_ms": float(np.median(times.package)),
        "loop_over_package": times.ratios,
        "image_auroc": images.values,
        "image_auroc_difference": dict(images.gain(1, 0)),
    }
    curves = [one.pixels for one in judged if one.pixels is not None]
    if len(curves) == len(judged):
        pixels = PairedFigures([curve.auroc for curve in curves], resampled(labels, seed, labels.counted))
        result |= {"pixel_auroc": pixels.values, "pixel_auroc_difference": dict(pixels.gain(1, 0))}
    return result | {
        "start": own.init,
        "steps": own.iterations,
        "loop_steps": options.iterations,
        "frames": len(frames.masks),
        "threads": options.threads,
        "machine": processor(),
    }


def main() -> int:
    """Measure and print."""
    parser = bench_parser(__doc__)
    parser.add_argument("package", type=Path, help="of a GAN, without a trunk")
    parser.add_argument("run", type=Path, help="the run folder that it was exported from")
    parser.add_argument("--root", type=Path, help="where the images are now (default: where the training found them)")
    parser.add_argument("--iterations", type=int, default=500, help="steps of the loop (500)")
    parser.add_argument("--repeats", type=int, default=5, help="timed searches of each (5)")
    parser.add_argument("--threads", type=int, default=2, help="CPU threads of each (2)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    result = measure(options)
    print(json.dumps(result, indent=2) if options.json else "\n".join(f"{k:24}{v}" for k, v in result.items()))
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))

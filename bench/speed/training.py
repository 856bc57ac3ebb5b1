"""How much does a training step cost beyond the forward and backward passes of its networks, and does memory grow?

python -m bench.speed.training [CONFIG] [--repeats R] [--steps N] [--threads T] [--json]

step    a step of `latentline-train fit` at full resolution: tiles from images in memory, forward and backward passes,
        Adam, the running average, the checks for losses that are not finite
floor   the forward and backward passes alone, with random tensors (training_floor.py)

Both run in one process, in turn. A repeat times as many steps of each as the penalty's period, so that each contains
one penalty; the ratio is taken within a repeat. Then --steps more steps are taken while the memory of the process is
sampled. Its growth is the slope of a straight line through the means of equal spans, without the first fifth.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from tqdm import tqdm

from bench.command_line import bench_parser
from bench.conditions import conditions
from bench.configs import CONFIGS, read_config
from bench.speed.training_floor import batch_of, floor_of
from latentline.base.arguments import count
from latentline.errors import ConfigError, run_command
from trainer.config import TrainConfig
from trainer.data.crops import CropSampler
from trainer.loops.autoencoder import AutoencoderTraining
from trainer.loops.gan import GanTraining
from trainer.run.training_data import mix_known_abnormal

SPANS = 20
T_95 = 2.101  # Student's t, 18 degrees of freedom
SIDE, IMAGES = 256, 32  # px, images in memory


@dataclass(frozen=True)
class MemoryGrowth:
    """Resident memory in MiB, and its growth in MiB per 1,000 steps with a 95 % interval [low, high]."""

    steps: int
    first: float
    last: float
    growth: float
    low: float
    high: float


@dataclass(frozen=True)
class TrainingSpeed:
    """What was measured.

    speeds  by name: median, p10 and p90 over the repeats; images/s and the ratio of both
    memory  None when no steps were asked for
    """

    speeds: dict[str, list[float]]
    memory: MemoryGrowth | None


def make_training(config: TrainConfig) -> GanTraining | AutoencoderTraining:
    """The training of the config's method on images of noise, at the start of its last stage."""
    rng, size = np.random.default_rng(0), config.network.resolution
    shape = (SIDE, SIDE, config.preprocessing.channels)
    images = [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(IMAGES)]
    normal = CropSampler(images, size, config.augment)
    if config.method.kind == "pca":
        raise ConfigError("method pca has no training steps to time; give the configuration of another method")
    if not config.method.is_gan:
        return AutoencoderTraining(config, normal)
    abnormal = None
    if config.method.kind == "noisy_anogan":
        masks = [np.pad(np.ones((24, 24), np.bool_), (SIDE - 24) // 2) for _ in images[:8]]
        abnormal = mix_known_abnormal(config.method, CropSampler(images[:8], size, config.augment, masks), normal)
    training = GanTraining(config, normal, abnormal)
    training.images = training.total_images - config.schedule.final_images
    return training


def seconds(step: Callable[[], object], times: int) -> float:
    """Duration of `times` steps."""
    start = time.perf_counter()
    for _ in range(times):
        step()
    return time.perf_counter() - start


def resident_memory() -> float:
    """Resident memory of this process, MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def memory_growth(samples: list[float]) -> MemoryGrowth:
    """Growth of memory, from one sample a step in MiB."""
    settled = np.arange(len(samples) // 5, len(samples))
    spans = np.array_split(settled, SPANS)
    at, means = [span.mean() for span in spans], [np.mean([samples[i] for i in span]) for span in spans]
    (slope, _), covariance = np.polyfit(at, means, 1, cov=True)
    margin = T_95 * np.sqrt(covariance[0, 0])
    per_thousand = [float(1000 * v) for v in (slope, slope - margin, slope + margin)]
    return MemoryGrowth(len(samples), samples[settled[0]], samples[-1], *per_thousand)


def measure(config: TrainConfig, repeats: int, steps: int) -> TrainingSpeed:
    """Time `repeats` repeats, then take `steps` steps and sample the memory."""
    training = make_training(config)
    floor = floor_of(training, config).step
    period, batch = getattr(config.method, "r1_every", 8), batch_of(config)
    times: dict[str, list[float]] = {"step": [], "floor": []}
    for repeat in tqdm(range(-1, repeats), desc="speed"):  # the first warms up
        for name, action in (("step", training.step), ("floor", floor)):
            elapsed = seconds(action, period) / period
            if repeat >= 0:
                times[name].append(elapsed)
    step_time, floor_time = np.array(times["step"]), np.array(times["floor"])
    samples = []
    for _ in tqdm(range(steps), desc="memory"):
        training.step()
        samples.append(resident_memory())
    speeds = {
        "step, images/s": spread(batch / step_time),
        "floor, images/s": spread(batch / floor_time),
        "step / floor, images/s": spread(floor_time / step_time),
    }
    return TrainingSpeed(speeds, memory_growth(samples) if steps else None)


def spread(values: npt.NDArray[np.float64]) -> list[float]:
    """Median, 10 % and 90 % quantiles."""
    return [float(v) for v in np.percentile(values, [50, 10, 90])]


def table(figures: TrainingSpeed, config: TrainConfig) -> str:
    """The figures as Markdown."""
    size = f"{config.method.kind}, {config.network.resolution} px, batch {batch_of(config)}"
    lines = [f"| {size} | median | p10 | p90 |", "|---|---|---|---|"]
    for name, values in figures.speeds.items():
        lines.append(f"| {name} | " + " | ".join(f"{v:.3g}" for v in values) + " |")
    if (m := figures.memory) is not None:
        lines += [
            "",
            f"memory over {m.steps} steps: {m.first:.1f} -> {m.last:.1f} MiB, growth {m.growth:+.2f} MiB per ",
        ]
        lines[-1] += f"1,000 steps (95 %: {m.low:+.2f} … {m.high:+.2f})"
    return "\n".join(lines)


def main() -> int:
    """Measure and print."""
    parser = bench_parser(__doc__)
    default = CONFIGS / "methods" / "noisy_anogan.yaml"
    parser.add_argument("config", type=Path, nargs="?", default=default, help="of a training (default: noisy_anogan)")
    parser.add_argument("--px", type=count, help="resolution (default: the YAML's)")
    parser.add_argument("--repeats", type=count, default=20, help="default: %(default)s")
    parser.add_argument("--steps", type=count, default=2000, help="for the memory, 0 for none (default: %(default)s)")
    parser.add_argument("--threads", type=count, default=1, help="of PyTorch (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = read_config(options.config, {"network.resolution": options.px} if options.px else {})
    figures = measure(config, options.repeats, options.steps)
    if options.json:
        memory = None if figures.memory is None else asdict(figures.memory)
        print(json.dumps({**conditions(), **figures.speeds, "memory": memory}, indent=1))
    else:
        print("\n".join(f"- {name}: {text}" for name, text in conditions().items()))
        print(f"\n{table(figures, config)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))

"""What a training step costs beside the forward and backward passes of its networks, and whether its memory grows.

python bench/training_speed.py [CONFIG] [--repeats R] [--steps N] [--threads T] [--json]

step    a step as `fit` takes it, at full resolution: tiles drawn from images in memory, both passes, Adam, the running
        average, the checks for losses that are not finite
floor   the passes alone, with random tensors (bench/training_parts/floor.py)

Both in one process, in turn: a repeat times as many steps of each as the penalty's period, so that each holds one
penalty. The ratio is that within a repeat. Then so many steps are taken while the memory of the process is watched; its
growth is the slope of a line through means of spans, the first fifth left out.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from protocols.circumstances import circumstances
from protocols.configs import CONFIGS, read_config
from tqdm import tqdm
from training_parts.floor import batch_of, floor_of

from latentline.base.arguments import count
from latentline.errors import run_command
from trainer.config import TrainConfig
from trainer.data.crops import CropSampler
from trainer.loops.autoencoder import AutoencoderTraining
from trainer.loops.gan import GanTraining
from trainer.run.training_data import mix_known_abnormal

SPANS = 20
T_95 = 2.101  # Student's t, 18 degrees of freedom
SIDE, IMAGES = 256, 32  # px, images in memory


@dataclass(frozen=True)
class Memory:
    """Resident memory in MiB, and its growth in MiB per 1,000 steps with a 95 % interval."""

    steps: int
    first: float
    last: float
    growth: float
    low: float
    high: float


def make_training(config: TrainConfig) -> GanTraining | AutoencoderTraining:
    """The method's training over images of noise, at the beginning of its last stage."""
    rng, size = np.random.default_rng(0), config.network.resolution
    shape = (SIDE, SIDE, config.preprocessing.channels)
    images = [rng.integers(0, 256, shape, dtype=np.uint8) for _ in range(IMAGES)]
    normal = CropSampler(images, size, config.augment)
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
    """Time of so many steps."""
    start = time.perf_counter()
    for _ in range(times):
        step()
    return time.perf_counter() - start


def resident_memory() -> float:
    """Of this process, MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


def growth(samples: list[float]) -> Memory:
    """Of one sample a step."""
    settled = np.arange(len(samples) // 5, len(samples))
    spans = np.array_split(settled, SPANS)
    at, means = [span.mean() for span in spans], [np.mean([samples[i] for i in span]) for span in spans]
    (slope, _), covariance = np.polyfit(at, means, 1, cov=True)
    margin = T_95 * np.sqrt(covariance[0, 0])
    per_thousand = [float(1000 * v) for v in (slope, slope - margin, slope + margin)]
    return Memory(len(samples), samples[settled[0]], samples[-1], *per_thousand)


def measure(config: TrainConfig, repeats: int, steps: int) -> dict[str, object]:
    """Figures by name; lists are median, p10, p90 over the repeats."""
    training = make_training(config)
    floor = floor_of(training, config)
    period, batch = getattr(config.method, "r1_every", 8), batch_of(config)
    times: dict[str, list[float]] = {"step": [], "floor": []}
    for repeat in tqdm(range(-1, repeats), desc="speed"):  # the first warms up
        for name, step in (("step", training.step), ("floor", floor)):
            elapsed = seconds(step, period) / period
            if repeat >= 0:
                times[name].append(elapsed)
    step, floor_time = np.array(times["step"]), np.array(times["floor"])
    samples = []
    for _ in tqdm(range(steps), desc="memory"):
        training.step()
        samples.append(resident_memory())
    return {
        "step, images/s": spread(batch / step),
        "floor, images/s": spread(batch / floor_time),
        "step / floor, images/s": spread(floor_time / step),
        "memory": asdict(growth(samples)) if steps else None,
    }


def spread(values: np.ndarray) -> list[float]:
    """Median, 10 % and 90 % quantiles."""
    return [float(v) for v in np.percentile(values, [50, 10, 90])]


def table(figures: dict[str, object], config: TrainConfig) -> str:
    """The figures as Markdown."""
    size = f"{config.method.kind}, {config.network.resolution} px, batch {batch_of(config)}"
    lines = [f"| {size} | median | p10 | p90 |", "|---|---|---|---|"]
    for name, values in figures.items():
        if isinstance(values, list):
            lines.append(f"| {name} | " + " | ".join(f"{v:.3g}" for v in values) + " |")
    memory = figures["memory"]
    if isinstance(memory, dict):
        m = Memory(**memory)
        lines += [
            "",
            f"memory over {m.steps} steps: {m.first:.1f} -> {m.last:.1f} MiB, growth {m.growth:+.2f} MiB per ",
        ]
        lines[-1] += f"1,000 steps (95 %: {m.low:+.2f} … {m.high:+.2f})"
    return "\n".join(lines)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    default = CONFIGS / "methods" / "noisy_anogan.yaml"
    parser.add_argument("config", type=Path, nargs="?", default=default, help="of a training (noisy_anogan)")
    parser.add_argument("--px", type=count, help="resolution (default: the YAML's)")
    parser.add_argument("--repeats", type=count, default=20)
    parser.add_argument("--steps", type=count, default=2000, help="with the memory watched; 0 for none")
    parser.add_argument("--threads", type=count, default=1)
    parser.add_argument("--json", action="store_true", help="print the figures as JSON")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = read_config(options.config, {"network.resolution": options.px} if options.px else {})
    figures = measure(config, options.repeats, options.steps)
    if options.json:
        print(json.dumps({**circumstances(), **figures}, indent=1))
    else:
        print("\n".join(f"- {name}: {text}" for name, text in circumstances().items()))
        print(f"\n{table(figures, config)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(run_command(main))

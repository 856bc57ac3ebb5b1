"""What the trainer does on a GPU: python -m bench.gpu.trainer_check [CHECK ...] [--out FILE] [--seconds S] [--small]

speed   images a second of a step at full resolution: precision, size and batch, GPU against CPU
growth  a progressive training at 256, 512 and 1024 px, some steps of every stage: all losses finite, peak memory
parity  the same seed on CPU and GPU: losses of the first steps, and the weights after them
nccl    the all-reduce of a step's gradients, in a group of one

--small  a rehearsal on the CPU: small networks, few steps; `parity` compares the CPU with itself
Each check prints a line, and adds a line of JSON to FILE. Ends with 1 when one failed.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from bench.gpu.outcome import Outcome, run
from bench.gpu.trainings import Case, full_resolution, training
from latentline.errors import TrainingError
from trainer.loops.gan import GanTraining
from trainer.loops.workers import Workers

CPU, GPU = torch.device("cpu"), torch.device("cuda")
PERIOD = 8  # steps between two gradient penalties: what is timed holds one
FIRST_LOSS_BOUND = 1e-3  # relative, of the same step on CPU and GPU
LARGEST_ON_CPU = 128  # px; a step of a larger network takes the CPU too long to be worth it
SPEED = (
    Case(64, 24),
    Case(64, 256),
    Case(64, 24, patch=1, base=1024),
    Case(128, 32, base=512, most=128),
    Case(256, 16, patch=1, base=4096, most=256),
    Case(512, 8, patch=1, base=4096, most=256),
    Case(1024, 4, patch=1, base=4096, most=256),
)
GROWTH = tuple(Case(px, batch, patch=1, base=4096, most=256) for px, batch in ((256, 16), (512, 8), (1024, 4)))
SMALL = Case(32, 4, patch=1, base=64, most=8)


@dataclass(frozen=True)
class Setting:
    """small: a rehearsal on the CPU; seconds: of each timing."""

    small: bool
    seconds: float

    @property
    def device(self) -> torch.device:
        """What is checked."""
        return CPU if self.small else GPU


def speed(setting: Setting) -> Outcome:
    """Time steps of every case; one that does not fit the GPU's memory is a row that says so."""
    rows: dict[str, object] = {}
    for case in (SMALL,) if setting.small else SPEED:
        on_gpu = [] if setting.small else [(GPU, precision) for precision in ("float32", "bfloat16", "float16")]
        on_cpu = [(CPU, "float32")] if case.px <= LARGEST_ON_CPU else []
        for device, precision in [*on_gpu, *on_cpu]:
            name = f"{case}, {device.type}, {precision}"
            try:
                rows[name] = _timed(full_resolution(case, precision, device), case, device, setting.seconds)
            except (TrainingError, RuntimeError) as error:
                rows[name] = {"error": str(error)[:200]}
            print("   ", name, rows[name], flush=True)
    return Outcome(rows)


def _timed(made: GanTraining, case: Case, device: torch.device, seconds: float) -> dict[str, object]:
    _reset_peak(device)
    start = time.perf_counter()
    _period(made, device)
    ready = time.perf_counter() - start
    times: list[float] = []
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds or len(times) < 2:
        start = time.perf_counter()
        _period(made, device)
        times.append((time.perf_counter() - start) / PERIOD)
    step = float(np.median(times))
    return {
        "step ms": round(1e3 * step, 2),
        "images/s": round(case.batch / step, 1),
        "first steps s": round(ready, 1),
        "peak MiB": _peak(device),
    }


def _period(made: GanTraining, device: torch.device) -> None:
    for _ in range(PERIOD):
        made.step()
    if device.type == "cuda":
        torch.cuda.synchronize()


def _reset_peak(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def _peak(device: torch.device) -> int | None:
    return torch.cuda.max_memory_allocated() >> 20 if device.type == "cuda" else None


def growth(setting: Setting) -> Outcome:
    """Train through all stages, some steps each."""
    rows: dict[str, object] = {}
    failures = []
    for case in (SMALL,) if setting.small else GROWTH:
        for precision in ("float32",) if setting.small else ("bfloat16", "float32"):
            name = f"{case}, {precision}"
            try:
                rows[name], finite = _grown(case, precision, setting.device)
            except TrainingError as error:
                rows[name], finite = {"error": str(error)}, False
            if not finite:
                failures.append(f"{name}: a loss is not finite")
            print("   ", name, rows[name], flush=True)
    return Outcome(rows, failures)


def _grown(case: Case, precision: str, device: torch.device) -> tuple[dict[str, object], bool]:
    _reset_peak(device)
    lengths = {"fade_images": 4 * case.batch, "stable_images": 2 * case.batch, "final_images": 8 * case.batch}
    made = training(case, precision, device, **lengths)
    start = time.perf_counter()
    reports = []
    while made.images < made.total_images:
        reports.append(made.step())
    figures: dict[str, object] = {
        "stages": len({report.stage for report in reports}),
        "steps": len(reports),
        "seconds": round(time.perf_counter() - start, 1),
        "peak MiB": _peak(device),
    }
    return figures, all(np.isfinite(list(report.losses.values())).all() for report in reports)


def parity(setting: Setting) -> Outcome:
    """Step the same training on the CPU and on the device, in float32 without TF32."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    case = SMALL if setting.small else Case(64, 8)
    trainings = [full_resolution(case, "float32", device) for device in (CPU, setting.device)]
    losses = [[made.step().losses for made in trainings] for _ in range(2 if setting.small else 10)]
    first, last = (_relative(*pair) for pair in (losses[0], losses[-1]))
    found: dict[str, object] = {"first loss, relative": first, f"loss {len(losses)}, relative": last}
    for name in ("generator", "discriminator"):
        a, b = (_weights(getattr(made, name)) for made in trainings)
        found[f"{name}, weights afterwards, relative"] = float((a - b).norm() / a.norm())
    wrong = [f"the first {name} loss is {error:.1e} apart" for name, error in first.items() if error > FIRST_LOSS_BOUND]
    return Outcome(found, wrong)


def _relative(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {name: abs(value - other[name]) / max(1e-6, abs(value)) for name, value in one.items()}


def _weights(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.detach().cpu().float().reshape(-1) for p in network.parameters()])


def nccl(setting: Setting) -> Outcome:
    """Average gradients by NCCL (by Gloo in a rehearsal). The group of one says it is two: the mean is then a half."""
    backend = "gloo" if setting.small else "nccl"
    maps, count = (8, 2) if setting.small else (256, 20)
    with tempfile.TemporaryDirectory() as folder:
        dist.init_process_group(backend, init_method=f"file://{folder}/store", rank=0, world_size=1)
        try:
            tensors = [torch.randn(maps, maps, 3, 3, device=setting.device) for _ in range(count)]
            before = [tensor.clone() for tensor in tensors]
            workers = Workers(0, 2, setting.device)
            workers.average(tensors)
            halves = all(torch.allclose(t, b / 2) for t, b in zip(tensors, before, strict=True))
            times = [_seconds(partial(workers.average, tensors), setting.device) for _ in range(10)]
        finally:
            dist.destroy_process_group()
    megabytes = sum(tensor.nbytes for tensor in tensors) / 1e6
    found: dict[str, object] = {"backend": backend, "MB": megabytes, "ms": 1e3 * float(np.median(times))}
    return Outcome(found, [] if halves else ["the mean over the processes is wrong"])


def _seconds(work: Callable[[], None], device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize()
    start = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - start


CHECKS: dict[str, Callable[[Setting], Outcome]] = {"parity": parity, "nccl": nccl, "growth": growth, "speed": speed}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the checks that were named, or all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checks", nargs="*", metavar="CHECK", help=f"of {', '.join(CHECKS)} (default: all)")
    parser.add_argument("--out", type=Path, help="a file for the lines of JSON")
    parser.add_argument("--seconds", type=float, default=1.5, help="of each timing (1.5)")
    parser.add_argument("--small", action="store_true", help="rehearse on the CPU")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.checks if name not in CHECKS]:
        parser.error(f"no check {', '.join(unknown)}; there are {', '.join(CHECKS)}")
    if not options.small and not torch.cuda.is_available():
        parser.error("PyTorch finds no CUDA here; --small rehearses on the CPU")
    failed = 0
    for name in options.checks or CHECKS:
        line = run(name, partial(CHECKS[name], Setting(options.small, options.seconds)))
        print(line, flush=True)
        if options.out:
            line.append_to(options.out)
        failed += not line.passed
    return 1 if failed else 0


if __name__ == "__main__":
    raise SystemExit(main())

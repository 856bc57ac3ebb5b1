"""What other threads do with CUDA while a frame's graph is captured."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from bench.gpu.outcome import Outcome
from latentline.errors import BackendError
from latentline.package.model_package import ModelPackage
from tests.gpu.driver_checks.frames import demo, tiled
from tests.gpu.driver_checks.rig import Rig

KEPT = 3  # messages of a kind in the report
PAUSE = 1e-4  # seconds between two waits for the device


@dataclass
class Beside:
    """A thread that does the same thing again and again: how often, and what went wrong."""

    turns: int = 0
    errors: list[str] = field(default_factory=list)


def default_stream(rig: Rig) -> Outcome:
    """Captures go on while another thread allocates, copies and computes on CUDA's default stream."""
    sizes = np.random.default_rng(0)

    def work() -> None:
        import torch

        a = torch.randn(512, 512, device="cuda")
        (a @ a).cpu()
        torch.empty(int(sizes.integers(1, 64)) << 20, dtype=torch.uint8, device="cuda")
        torch.cuda.empty_cache()  # frees memory, for which the driver waits for the device

    made, failures, beside = _capture_beside(rig, work, rig.count(24, 2))
    if beside.errors:
        failures.append(f"the other thread failed: {beside.errors[0]}")
    return Outcome({"captured": made, "turns of the other thread": beside.turns}, failures)


def whole_device(rig: Rig) -> Outcome:
    """What a capture says while another thread waits for the whole device, which breaks it. Reported, not judged."""

    def work() -> None:
        import torch

        torch.cuda.synchronize()
        time.sleep(PAUSE)

    made, failures, beside = _capture_beside(rig, work, rig.count(12, 1))
    found = {"captured": made, "failed": failures, "turns": beside.turns, "errors of the other": beside.errors[:KEPT]}
    return Outcome(found)


def _capture_beside(rig: Rig, work: Callable[[], None], captures: int) -> tuple[int, list[str], Beside]:
    """Capture a graph for each of several frame shapes beside `work`: how many were made, and what failed."""
    package = demo(rig.count(10, 2))
    made, failures = 0, []
    with rig.opened(package) as searcher:
        searcher.reconstruct(tiled(package, 1, 1))
        with _repeated(work, idle=rig.emulation is not None) as beside:
            for frame in _shapes(package, captures):
                try:
                    searcher.reconstruct(frame)
                    made += 1
                except BackendError as error:
                    failures.append(str(error)[:200])
        try:
            if not np.isfinite(searcher.reconstruct(tiled(package, 1, 1)).anomaly_map).all():
                failures.append("the frame after them has a map that is not finite")
        except BackendError as error:
            failures.append(f"the frame after them failed: {error}"[:200])
    return made, failures[:KEPT], beside


def _shapes(package: ModelPackage, count: int) -> Iterator[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
    size, channels = package.spec.tile_size, package.spec.channels
    for i in range(count):
        yield np.random.default_rng(i).integers(0, 256, (size + 3 * i, size + 5 * i, channels), np.uint8)


@contextmanager
def _repeated(work: Callable[[], None], idle: bool) -> Iterator[Beside]:
    """Do `work` in another thread until the block ends; not at all if `idle`: PyTorch has no GPU on the emulation."""
    stop, beside = threading.Event(), Beside()

    def repeat() -> None:
        while not stop.is_set():
            try:
                work()
                beside.turns += 1
            except Exception as error:
                beside.errors.append(f"{type(error).__name__}: {error}"[:200])

    thread = threading.Thread(target=repeat)
    if not idle:
        thread.start()
    try:
        yield beside
    finally:
        stop.set()
        if not idle:
            thread.join()

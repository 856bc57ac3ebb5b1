"""Two frames in flight: every result belongs to its frame; and how much time that saves."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from bench.gpu.outcome import Outcome
from latentline.inspection.reconstructor import ReconstructedFrame
from tests.gpu.driver_checks.frames import UInt8, demo, same_bits, tiled
from tests.gpu.driver_checks.rig import Rig

if TYPE_CHECKING:
    from latentline.backends.tensorrt.searcher import TensorRtSearcher

FRAMES = 8  # different ones, taken in turn


def check(rig: Rig) -> Outcome:
    """Compare each result with that of its frame alone, and time both ways."""
    package = demo(rig.count(10, 2))
    side = rig.count(3, 2)
    frames = [tiled(package, side, side, seed) for seed in range(FRAMES)]
    turns = rig.count(200, 6)
    found: dict[str, object] = {}
    failures = []
    for precision in rig.precisions:
        with rig.opened(package, precision) as searcher:
            alone = [searcher.reconstruct(frame) for frame in frames[: min(turns, FRAMES)]]
            start = time.perf_counter()
            for turn in range(turns):
                searcher.reconstruct(frames[turn % FRAMES])
            one = time.perf_counter() - start
            start = time.perf_counter()
            wrong = _overlapped(searcher, frames, alone, turns)
            two = time.perf_counter() - start
            clock = [searcher.measure(frames[0]).device_ms for _ in range(rig.count(50, 2))]
        if wrong:
            failures.append(f"{precision}: {wrong} of {turns} results were not those of their frames")
        found[precision] = {
            "tiles": side * side,
            "ms a frame, one at a time": 1e3 * one / turns,
            "ms a frame, two in flight": 1e3 * two / turns,
            "ms a frame, GPU's clock": float(np.median(clock)),
        }
    return Outcome(found, failures)


def _overlapped(
    searcher: TensorRtSearcher, frames: Sequence[UInt8], alone: Sequence[ReconstructedFrame], turns: int
) -> int:
    """Search `turns` frames with as many in flight as the searcher takes; gives how many results were wrong."""
    wrong = 0
    pending = deque((turn, searcher.begin(frames[turn % FRAMES])) for turn in range(min(turns, searcher.ahead)))
    following = len(pending)
    while pending:
        turn, finish = pending.popleft()
        wrong += not same_bits(finish(), alone[turn % FRAMES])
        if following < turns:
            pending.append((following, searcher.begin(frames[following % FRAMES])))
            following += 1
    return wrong

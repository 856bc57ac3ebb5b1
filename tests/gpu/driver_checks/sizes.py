"""Time against tiles and iterations: recording, nodes, the launch by the GPU's clock, memory. Reported, not judged."""

from __future__ import annotations

import time

import numpy as np

from bench.gpu.outcome import Outcome
from latentline.backends.settings import Precision
from tests.gpu.driver_checks.frames import demo, tiled
from tests.gpu.driver_checks.rig import Rig

# iterations, tiles down, tiles across
ON_GPU = (
    *((10, side, side) for side in (1, 2, 3, 4, 8, 15)),
    *((iterations, 3, 3) for iterations in (50, 100, 500)),
    (100, 10, 10),
    (500, 8, 8),
)
EMULATED = ((4, 1, 1), (2, 2, 2))
LIMIT = 60.0  # seconds, after which no further case begins


def check(rig: Rig) -> Outcome:
    """Search one frame of each size."""
    rows: dict[str, object] = {}
    start = time.perf_counter()
    for precision in rig.precisions:
        for iterations, down, across in ON_GPU if rig.emulation is None else EMULATED:
            name = f"{precision}, {down * across} tiles, {iterations} iterations"
            if time.perf_counter() - start > LIMIT:
                rows[name] = "not run: out of time"
                continue
            rows[name] = _row(rig, precision, iterations, down, across)
            print("   ", name, rows[name], flush=True)
    return Outcome(rows)


def _row(rig: Rig, precision: Precision, iterations: int, down: int, across: int) -> dict[str, object]:
    package = demo(iterations)
    frame = tiled(package, down, across)
    with rig.opened(package, precision) as searcher:
        start = time.perf_counter()
        searcher.reconstruct(frame)
        recorded = time.perf_counter() - start
        measured = [searcher.measure(frame) for _ in range(rig.count(20, 1))]
        with searcher._session.working("the GPU's memory cannot be read"):
            free = rig.free_mib()
    return {
        "tiles": measured[0].tiles,
        "nodes": measured[0].nodes,
        "first frame, with recording, s": round(recorded, 3),
        "device ms": float(np.median([one.device_ms for one in measured])),
        "free MiB": free,
    }

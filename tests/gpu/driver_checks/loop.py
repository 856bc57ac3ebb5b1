"""The search as a loop of the graph gives the bits of the unrolled one, in a graph that does not grow."""

from __future__ import annotations

import time

import numpy as np

from bench.gpu.outcome import Outcome
from latentline.backends.settings import Precision
from latentline.backends.tensorrt.gpu.presence import import_pycuda
from tests.gpu.driver_checks.frames import demo, same_bits, tiled
from tests.gpu.driver_checks.rig import Rig

FIRST_WITH_LOOPS = 12040  # as the driver says its version


def check(rig: Rig) -> Outcome:
    """Compare both ways bit by bit; report nodes, recording and time of each.

    A driver from before loops passes, without one.
    """
    rows: dict[str, object] = {}
    failures = []
    for precision in rig.precisions:
        nodes = set()
        for iterations in (10, 100, 500) if rig.emulation is None else (2, 3):
            name = f"{precision}, {iterations} iterations"
            row, wrong = _row(rig, precision, iterations)
            rows[name] = row
            print("   ", name, row, flush=True)
            failures += [f"{name}: {sentence}" for sentence in wrong]
            nodes.add(row["nodes"][0])
        if len(nodes) > 1 and import_pycuda().get_driver_version() >= FIRST_WITH_LOOPS:
            failures.append(f"{precision}: the graph with a loop grows with the iterations, {sorted(nodes)} nodes")
    return Outcome(rows, failures)


def _row(rig: Rig, precision: Precision, iterations: int) -> tuple[dict[str, list[float]], list[str]]:
    """The figures of a loop and of an unrolled search, in this order, and what is wrong with them."""
    package, failures = demo(iterations), []
    frame = tiled(package, 2, 3)
    results = []
    found: dict[str, list[float]] = {"nodes": [], "first frame, with recording, s": [], "device ms": []}
    for unrolled in (False, True):
        with rig.opened(package, precision, batch=4, unrolled=unrolled) as searcher:
            start = time.perf_counter()
            reconstructed = searcher.reconstruct(frame)
            found["first frame, with recording, s"].append(time.perf_counter() - start)
            tiles = reconstructed.plan.cut(reconstructed.prepared)
            results.append((reconstructed, searcher.search(tiles).z, searcher.trace(tiles)))
            measured = [searcher.measure(frame) for _ in range(rig.count(20, 1))]
        found["nodes"].append(measured[0].nodes)
        found["device ms"].append(float(np.median([one.device_ms for one in measured])))
        if not unrolled and measured[0].unrolled is not None:
            reason = f"there is no loop: {measured[0].unrolled}"
            print("   ", reason, flush=True)
            failures += [reason] if import_pycuda().get_driver_version() >= FIRST_WITH_LOOPS else []
    (one, z, losses), (other, other_z, other_losses) = results
    if not same_bits(one, other):
        failures.append("the loop gives another score, map or picture than the unrolled search")
    if not (np.array_equal(z, other_z) and np.array_equal(losses, other_losses)):
        failures.append("the loop gives another z or loss curve than the unrolled search")
    return found, failures

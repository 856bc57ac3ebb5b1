"""The least time of one search on a device, calculated from the peaks of its datasheet."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from bench.roofline.datasheets import DevicePeaks
from bench.roofline.graph_cost import GraphCost, Precision
from latentline.package.manifest import ModelSpec
from latentline.package.model_package import DISCRIMINATOR, ENCODER, GENERATOR, SEARCH_STEP


@dataclass(frozen=True)
class SearchFloor:
    """Least time of one search of `batch` tiles on a device, milliseconds.

    fused_ms      sum over the layers; each takes the longer of its multiply-adds and its memory traffic
    minimum_ms    the longer of all multiply-adds, and weights, tiles and results through memory once
    memory_share  share of `fused_ms` in layers that wait for memory, not for arithmetic
    """

    device: str
    iterations: int
    batch: int
    fused_ms: float
    minimum_ms: float
    memory_share: float


def executions(spec: ModelSpec, iterations: int) -> dict[str, int]:
    """How often one search runs each graph. D runs on the tiles and on the reconstruction, G once at the end."""
    start = {ENCODER: 1} if spec.search.init == "encoder" else {}
    return {DISCRIMINATOR: 2, **start, SEARCH_STEP: iterations, GENERATOR: 1}


def search_floor(
    device: DevicePeaks, costs: Mapping[str, GraphCost], runs: Mapping[str, int], precision: Precision, batch: int
) -> SearchFloor:
    """The floor of one search.

    costs  of each graph, counted for `batch` and `precision`
    runs   how often one search runs each graph
    """
    peak, bandwidth = device.peak(precision), 1e9 * device.bandwidth
    used = {name: times for name, times in runs.items() if times}
    computing = fused = waiting = 0.0
    for name, times in used.items():
        for layer in costs[name].layers:
            products, memory = 2 * layer.multiply_adds / peak, layer.bytes / bandwidth
            computing += times * products
            fused += times * max(products, memory)
            waiting += times * memory if memory > products else 0.0
    once = sum(costs[name].weight_bytes for name in used)
    once += costs[GENERATOR].port_bytes + costs[DISCRIMINATOR].port_bytes  # ẑ and reconstruction; tiles and verdict
    minimum = max(computing, once / bandwidth)
    return SearchFloor(device.name, runs[SEARCH_STEP], batch, 1e3 * fused, 1e3 * minimum, waiting / fused)
